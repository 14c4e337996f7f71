//! The grammar of WQL: recursive descent over [`Token`]s with a limited depth.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod associations;
mod condition;
mod operand;

pub(super) use operand::UNITS;

use super::lexer::{Spanned, Token, shown, tokens};
use super::{QueryError, QueryErrorKind, Statement};
use crate::Name;
use crate::query::{
    ClassReference, Column, From, Join, JoinKind, Operand, Order, Query, Select, Selected, limits,
};

/// Words that end a class reference or a select list, and so are no alias without `AS`.
const RESERVED: &[&str] = &[
    "AND", "AS", "ASC", "BY", "CROSS", "DESC", "DISTINCT", "FROM", "FULL", "GROUP", "HAVING", "IN", "INNER",
    "IS", "ISA", "JOIN", "LEFT", "LIKE", "NATURAL", "NOT", "NULL", "ON", "OR", "ORDER", "OUTER", "RIGHT",
    "SELECT", "UNION", "WHERE", "WITHIN",
];

/// Statements and clauses of other languages, refused by name.
const OTHER_STATEMENTS: &[&str] = &["INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "MERGE", "EXEC"];

pub(super) fn statement(text: &str) -> Result<Statement, QueryError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, used: Used::default() };
    let statement = if parser.is_word("ASSOCIATORS") || parser.is_word("REFERENCES") {
        parser.associations()?
    } else {
        if let Token::Word(word) = parser.token()
            && OTHER_STATEMENTS.iter().any(|other| word.eq_ignore_ascii_case(other))
        {
            let what = format!("{} is not supported: a query is a SELECT", word.to_ascii_uppercase());
            return Err(parser.fault(QueryErrorKind::Unsupported, what));
        }
        Statement::Select(Box::new(parser.query()?))
    };
    match parser.token() {
        Token::End => Ok(statement),
        _ => Err(parser.expected("the end of the query")),
    }
}

/// How much of the limits one text has used.
#[derive(Default)]
struct Used {
    classes: usize,
    conditions: usize,
    values: usize,
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
    used: Used,
}

impl Parser {
    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Token {
        self.tokens.get(self.at.saturating_add(by)).map_or(&Token::End, |spanned| &spanned.token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |spanned| spanned.column)
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn fault(&self, kind: QueryErrorKind, message: impl Into<String>) -> QueryError {
        QueryError::at(kind, self.column(), message)
    }

    fn expected(&self, what: &str) -> QueryError {
        self.fault(QueryErrorKind::WqlSyntax, format!("expected {what}, found {}", self.token()))
    }

    /// True, and one further, when `token` comes.
    fn take(&mut self, token: &Token) -> bool {
        let is_there = self.token() == token;
        if is_there {
            self.advance();
        }
        is_there
    }

    fn need(&mut self, token: &Token) -> Result<(), QueryError> {
        if self.take(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    fn is_word(&self, keyword: &str) -> bool {
        self.is_word_ahead(0, keyword)
    }

    fn is_word_ahead(&self, by: usize, keyword: &str) -> bool {
        matches!(self.ahead(by), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// True, and one further, when the keyword comes.
    fn take_word(&mut self, keyword: &str) -> bool {
        let is_there = self.is_word(keyword);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn need_word(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.take_word(keyword) { Ok(()) } else { Err(self.expected(keyword)) }
    }

    /// A name that is no keyword.
    fn name(&mut self, what: &str) -> Result<Name, QueryError> {
        match self.token() {
            Token::Word(word) if !is_reserved(word) => {
                let name = Name::from(word.as_str());
                self.advance();
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        if self.depth >= limits::DEPTH_MAX {
            let what = format!("nested more than {} deep", limits::DEPTH_MAX);
            return Err(self.fault(QueryErrorKind::Limit, what));
        }
        self.depth = self.depth.saturating_add(1);
        let result = inner(self);
        self.depth = self.depth.saturating_sub(1);
        result
    }

    fn over(&self, what: &str, most: usize) -> QueryError {
        self.fault(QueryErrorKind::Limit, format!("more than {most} {what} in one query"))
    }

    fn query(&mut self) -> Result<Query, QueryError> {
        self.need_word("SELECT")?;
        let is_distinct = self.take_word("DISTINCT");
        let select = self.select(is_distinct)?;
        self.need_word("FROM")?;
        let from = self.from()?;
        let filter = if self.take_word("WHERE") { Some(self.condition()?) } else { None };
        for clause in ["GROUP", "HAVING", "UNION"] {
            if self.is_word(clause) {
                return Err(self.fault(QueryErrorKind::Unsupported, format!("{clause} is not supported")));
            }
        }
        let mut order = Vec::new();
        if self.take_word("ORDER") {
            self.need_word("BY")?;
            loop {
                order.push(self.order()?);
                if order.len() > limits::ORDER_MAX {
                    return Err(self.over("entries of ORDER BY", limits::ORDER_MAX));
                }
                if !self.take(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Query { is_distinct, select, from, filter, order, limit: None, offset: 0 })
    }

    fn select(&mut self, is_distinct: bool) -> Result<Select, QueryError> {
        if self.take(&Token::Star) {
            return Ok(Select::All);
        }
        if self.is_word("COUNT") && *self.ahead(1) == Token::Open {
            if is_distinct || self.is_word_ahead(2, "DISTINCT") {
                let what = "COUNT together with DISTINCT is not supported";
                return Err(self.fault(QueryErrorKind::Unsupported, what));
            }
            self.advance();
            self.advance();
            let of = if self.take(&Token::Star) { None } else { Some(self.column_name()?) };
            self.need(&Token::Close)?;
            return Ok(Select::Count(of));
        }
        let mut columns = Vec::new();
        loop {
            columns.push(self.selected()?);
            if columns.len() > limits::COLUMNS_MAX {
                return Err(self.over("selected columns", limits::COLUMNS_MAX));
            }
            if !self.take(&Token::Comma) {
                return Ok(Select::Columns(columns));
            }
        }
    }

    fn selected(&mut self) -> Result<Selected, QueryError> {
        if let Token::Word(word) = self.token()
            && *self.ahead(1) == Token::Open
        {
            let what = format!("the function {} in a select list is not supported", shown(word));
            return Err(self.fault(QueryErrorKind::Unsupported, what));
        }
        if let Token::Word(word) = self.token()
            && word.eq_ignore_ascii_case("TOP")
            && matches!(self.ahead(1), Token::Integer(_))
        {
            return Err(self.fault(QueryErrorKind::Unsupported, "TOP is not supported"));
        }
        if *self.ahead(1) == Token::Dot && *self.ahead(2) == Token::Star {
            let alias = self.name("an alias")?;
            self.advance();
            self.advance();
            return Ok(Selected::AllOf(alias));
        }
        Ok(Selected::Column(self.column_name()?))
    }

    /// `Property` or `alias.Property`; of the system properties only `__CLASS`.
    fn column_name(&mut self) -> Result<Column, QueryError> {
        let first = self.name("a property")?;
        let column = if self.take(&Token::Dot) {
            Column { alias: Some(first), property: self.name("a property")? }
        } else {
            Column { alias: None, property: first }
        };
        let name = column.property.as_str();
        if name.starts_with("__") && !column.property.is("__CLASS") {
            // The name is the token before this one.
            self.at = self.at.saturating_sub(1);
            let what = format!("the system property {} cannot be queried, only __CLASS", shown(name));
            return Err(self.fault(QueryErrorKind::Unsupported, what));
        }
        Ok(column)
    }

    fn from(&mut self) -> Result<From, QueryError> {
        let first = self.class_reference()?;
        let mut joins = Vec::new();
        loop {
            if self.take(&Token::Comma) {
                joins.push(Join { kind: JoinKind::Inner, right: self.class_reference()?, on: None });
                continue;
            }
            let Some(kind) = self.join_kind()? else { break };
            let right = self.class_reference()?;
            self.need_word("ON")?;
            joins.push(Join { kind, right, on: Some(self.condition()?) });
        }
        if self.is_word("WITHIN") {
            let what = format!("event queries ({} … WITHIN) are not supported", first.class);
            return Err(self.fault(QueryErrorKind::Unsupported, what));
        }
        Ok(From { first, joins })
    }

    fn join_kind(&mut self) -> Result<Option<JoinKind>, QueryError> {
        for refused in ["CROSS", "NATURAL"] {
            if self.is_word(refused) {
                let what = format!("{refused} JOIN is not supported: use INNER JOIN … ON");
                return Err(self.fault(QueryErrorKind::Unsupported, what));
            }
        }
        if self.take_word("JOIN") {
            return Ok(Some(JoinKind::Inner));
        }
        let kinds = [
            ("INNER", JoinKind::Inner),
            ("LEFT", JoinKind::Left),
            ("RIGHT", JoinKind::Right),
            ("FULL", JoinKind::Full),
        ];
        for (word, kind) in kinds {
            if self.take_word(word) {
                if kind != JoinKind::Inner {
                    self.take_word("OUTER");
                }
                self.need_word("JOIN")?;
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    fn class_reference(&mut self) -> Result<ClassReference, QueryError> {
        self.used.classes = self.used.classes.saturating_add(1);
        if self.used.classes > limits::CLASSES_MAX {
            return Err(self.over("classes", limits::CLASSES_MAX));
        }
        if *self.token() == Token::Open {
            return Err(self.fault(QueryErrorKind::Unsupported, "a SELECT within FROM is not supported"));
        }
        if self.is_word("meta_class") {
            return Err(self.fault(QueryErrorKind::Unsupported, "queries of meta_class are not supported"));
        }
        let class = self.name("a class")?;
        let is_alias_next = matches!(self.token(), Token::Word(word) if !is_reserved(word));
        let alias =
            if self.take_word("AS") || is_alias_next { self.name("an alias")? } else { class.clone() };
        Ok(ClassReference { class, alias })
    }

    fn order(&mut self) -> Result<Order, QueryError> {
        let by = self.operand()?;
        if let Operand::Literal(_) = by {
            let what = "ORDER BY needs a property or a function of one";
            return Err(self.fault(QueryErrorKind::Unsupported, what));
        }
        let is_descending = self.take_word("DESC");
        if !is_descending {
            self.take_word("ASC");
        }
        Ok(Order { by, is_descending })
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}
