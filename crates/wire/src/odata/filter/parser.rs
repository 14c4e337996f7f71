//! The grammar of OData expressions: recursive descent with a limited depth.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use restock_cim::query::{
    Comparison, Condition, DateUnit, Literal, Operand, Order, Pattern, PatternPart, QueryError,
    QueryErrorKind, limits,
};

use super::lexer::{Spanned, Token, tokens};
use crate::odata::address::shortened;

/// Operators that are refused by name.
const REFUSED_OPERATORS: &[&str] = &["add", "sub", "mul", "div", "divby", "mod", "has"];
/// What `substring(x, n)` reads: to the end, which no text reaches.
const TO_THE_END: i128 = 2_147_483_647;

pub(super) fn filter(text: &str) -> Result<Condition, QueryError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, conditions: 0, values: 0 };
    let node = parser.any()?;
    let filter = parser.test(node)?;
    parser.need(&Token::End)?;
    Ok(filter)
}

pub(super) fn order(text: &str) -> Result<Vec<Order>, QueryError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, conditions: 0, values: 0 };
    let mut order = Vec::new();
    loop {
        let by = match parser.unary()? {
            Node::Value(Operand::Literal(_)) | Node::Test(_) => return Err(parser.expected("a property")),
            Node::Value(by) => by,
        };
        let is_descending = parser.take_word("desc");
        if !is_descending {
            parser.take_word("asc");
        }
        order.push(Order { by, is_descending });
        if order.len() > limits::ORDER_MAX {
            return Err(parser.over("entries of $orderby", limits::ORDER_MAX));
        }
        if parser.token() != &Token::Comma {
            break;
        }
        parser.advance();
    }
    parser.need(&Token::End)?;
    Ok(order)
}

/// What an expression is: OData has one grammar for both.
enum Node {
    Test(Condition),
    Value(Operand),
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
    conditions: usize,
    values: usize,
}

impl Parser {
    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Token {
        self.tokens.get(self.at.saturating_add(by)).map_or(&Token::End, |spanned| &spanned.token)
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn fault(&self, kind: QueryErrorKind, message: impl Into<String>) -> QueryError {
        let column = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |spanned| spanned.column);
        QueryError::at(kind, column, message)
    }

    fn expected(&self, what: &str) -> QueryError {
        self.fault(QueryErrorKind::FilterSyntax, format!("expected {what}, found {}", self.token()))
    }

    fn unsupported(&self, what: &str) -> QueryError {
        self.fault(QueryErrorKind::Unsupported, format!("{what} is not supported"))
    }

    fn over(&self, what: &str, most: usize) -> QueryError {
        self.fault(QueryErrorKind::Limit, format!("more than {most} {what}"))
    }

    fn need(&mut self, token: &Token) -> Result<(), QueryError> {
        if self.token() != token {
            return Err(self.expected(&token.to_string()));
        }
        self.advance();
        Ok(())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(word);
        if is_there {
            self.advance();
        }
        is_there
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        if self.depth >= limits::DEPTH_MAX {
            let what = format!("nested more than {} deep", limits::DEPTH_MAX);
            return Err(self.fault(QueryErrorKind::FilterDepth, what));
        }
        self.depth = self.depth.saturating_add(1);
        let result = inner(self);
        self.depth = self.depth.saturating_sub(1);
        result
    }

    fn count_condition(&mut self) -> Result<(), QueryError> {
        self.conditions = self.conditions.saturating_add(1);
        if self.conditions > limits::CONDITIONS_MAX {
            return Err(self.over("conditions", limits::CONDITIONS_MAX));
        }
        Ok(())
    }

    /// The node as a condition: a property by itself is one when it is true.
    fn test(&mut self, node: Node) -> Result<Condition, QueryError> {
        match node {
            Node::Test(condition) => Ok(condition),
            Node::Value(operand @ (Operand::Column(_) | Operand::Literal(Literal::Boolean(_)))) => {
                self.count_condition()?;
                let truth = Operand::Literal(Literal::Boolean(true));
                Ok(Condition::compare(operand, Comparison::Equal, truth))
            }
            Node::Value(_) => Err(self.expected("a comparison")),
        }
    }

    fn any(&mut self) -> Result<Node, QueryError> {
        let first = self.all()?;
        if !self.is_word("or") {
            return Ok(first);
        }
        let mut parts = vec![self.test(first)?];
        while self.take_word("or") {
            let next = self.all()?;
            parts.push(self.test(next)?);
        }
        Ok(Node::Test(Condition::or(parts)))
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let first = self.compared()?;
        if !self.is_word("and") {
            return Ok(first);
        }
        let mut parts = vec![self.test(first)?];
        while self.take_word("and") {
            let next = self.compared()?;
            parts.push(self.test(next)?);
        }
        Ok(Node::Test(Condition::and(parts)))
    }

    fn compared(&mut self) -> Result<Node, QueryError> {
        let left = self.unary()?;
        self.rest_of_comparison(left)
    }

    fn comparison(&self) -> Option<Comparison> {
        let Token::Word(word) = self.token() else { return None };
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Comparison::Equal,
            "ne" => Comparison::NotEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessOrEqual,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterOrEqual,
            _ => return None,
        })
    }

    fn rest_of_comparison(&mut self, left: Node) -> Result<Node, QueryError> {
        if let Token::Word(word) = self.token()
            && REFUSED_OPERATORS.iter().any(|refused| word.eq_ignore_ascii_case(refused))
        {
            return Err(self.unsupported(&format!("the operator {word}")));
        }
        if self.take_word("in") {
            let Node::Value(left) = left else { return Err(self.expected("and, or or the end")) };
            self.count_condition()?;
            return Ok(Node::Test(Condition::In(left, self.list()?)));
        }
        let Some(comparison) = self.comparison() else { return Ok(left) };
        self.advance();
        let right = self.unary()?;
        match (left, right) {
            (Node::Value(left), Node::Value(right)) => {
                self.count_condition()?;
                Ok(Node::Test(Condition::compare(left, comparison, right)))
            }
            (Node::Test(test), Node::Value(Operand::Literal(Literal::Boolean(wanted))))
            | (Node::Value(Operand::Literal(Literal::Boolean(wanted))), Node::Test(test)) => {
                let is_equal = match comparison {
                    Comparison::Equal => true,
                    Comparison::NotEqual => false,
                    _ => return Err(self.unsupported("a condition beside another operator than eq and ne")),
                };
                Ok(Node::Test(if is_equal == wanted { test } else { Condition::Not(Box::new(test)) }))
            }
            _ => Err(self.unsupported("comparing a condition with something else than true and false")),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, QueryError> {
        self.need(&Token::Open)?;
        let mut values = Vec::new();
        loop {
            if self.is_word("null") {
                return Err(self.unsupported("null in a list (use eq null)"));
            }
            let Some(value) = self.literal()? else { return Err(self.expected("a value")) };
            values.push(value);
            if values.len() > limits::LIST_MAX {
                return Err(self.over("values of in", limits::LIST_MAX));
            }
            if self.token() != &Token::Comma {
                break;
            }
            self.advance();
        }
        self.need(&Token::Close)?;
        Ok(values)
    }

    fn unary(&mut self) -> Result<Node, QueryError> {
        if self.token() == &Token::Minus {
            return Err(self.unsupported("the operator -"));
        }
        if !self.take_word("not") {
            return self.primary();
        }
        let mut inner = self.deeper(Self::unary)?;
        // `not Name eq 'x'`: a value has no opposite, so the comparison is meant.
        if matches!(inner, Node::Value(_)) {
            inner = self.rest_of_comparison(inner)?;
        }
        Ok(Node::Test(Condition::Not(Box::new(self.test(inner)?))))
    }

    fn primary(&mut self) -> Result<Node, QueryError> {
        if self.token() == &Token::Open {
            self.advance();
            let inner = self.deeper(Self::any)?;
            self.need(&Token::Close)?;
            return Ok(inner);
        }
        if let Some(literal) = self.literal()? {
            return Ok(Node::Value(Operand::Literal(literal)));
        }
        let Token::Word(word) = self.token() else { return Err(self.expected("a property or a value")) };
        let word = word.clone();
        if self.ahead(1) == &Token::Open {
            return self.function(&word);
        }
        if self.ahead(1) == &Token::Slash {
            return Err(self.unsupported(&format!("the path {}/…", shortened(&word))));
        }
        if word.contains(['.', '@']) {
            return Err(self.unsupported(&format!("the name {}", shortened(&word))));
        }
        self.advance();
        Ok(Node::Value(Operand::column(&word)))
    }

    /// A value, when one comes.
    fn literal(&mut self) -> Result<Option<Literal>, QueryError> {
        let literal = match self.token() {
            Token::Value(literal) => literal.clone(),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "null" => Literal::Null,
                "true" => Literal::Boolean(true),
                "false" => Literal::Boolean(false),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.values = self.values.saturating_add(1);
        if self.values > limits::VALUES_MAX {
            return Err(self.over("values", limits::VALUES_MAX));
        }
        self.advance();
        Ok(Some(literal))
    }

    fn function(&mut self, name: &str) -> Result<Node, QueryError> {
        let part = |unit| move |of| Operand::DatePart(unit, Box::new(of));
        let function = name.to_ascii_lowercase();
        let known = [
            "startswith",
            "endswith",
            "contains",
            "substringof",
            "tolower",
            "toupper",
            "substring",
            "year",
            "month",
            "day",
            "hour",
            "minute",
            "second",
            "now",
        ];
        if !known.contains(&function.as_str()) {
            return Err(self.unsupported(&format!("the function {}", shortened(name))));
        }
        self.advance();
        self.advance();
        let node = self.deeper(|parser| {
            Ok(match function.as_str() {
                "startswith" | "endswith" | "contains" | "substringof" => {
                    Node::Test(parser.part_of_text(&function)?)
                }
                "tolower" => Node::Value(Operand::Lower(Box::new(parser.operand()?))),
                "toupper" => Node::Value(Operand::Upper(Box::new(parser.operand()?))),
                "substring" => Node::Value(parser.substring()?),
                "year" => Node::Value(part(DateUnit::Year)(parser.operand()?)),
                "month" => Node::Value(part(DateUnit::Month)(parser.operand()?)),
                "day" => Node::Value(part(DateUnit::Day)(parser.operand()?)),
                "hour" => Node::Value(part(DateUnit::Hour)(parser.operand()?)),
                "minute" => Node::Value(part(DateUnit::Minute)(parser.operand()?)),
                "second" => Node::Value(part(DateUnit::Second)(parser.operand()?)),
                _ => Node::Value(Operand::GetDate),
            })
        })?;
        self.need(&Token::Close)?;
        Ok(node)
    }

    fn operand(&mut self) -> Result<Operand, QueryError> {
        match self.unary()? {
            Node::Value(operand) => Ok(operand),
            Node::Test(_) => Err(self.expected("a value, not a condition")),
        }
    }

    fn part_of_text(&mut self, function: &str) -> Result<Condition, QueryError> {
        self.count_condition()?;
        let first = self.operand()?;
        self.need(&Token::Comma)?;
        let second = self.operand()?;
        let (of, part) = if function == "substringof" { (second, first) } else { (first, second) };
        let Operand::Literal(Literal::String(part)) = part else {
            return Err(self.unsupported(&format!("{function} with something else than a text in quotes")));
        };
        let text = PatternPart::Text(part);
        let pattern = match function {
            "startswith" => Pattern::new([text, PatternPart::Any]),
            "endswith" => Pattern::new([PatternPart::Any, text]),
            _ => Pattern::new([PatternPart::Any, text, PatternPart::Any]),
        };
        Ok(Condition::Like(of, pattern))
    }

    /// `substring(x, n)` and `substring(x, n, length)`; OData counts from 0, WQL from 1.
    fn substring(&mut self) -> Result<Operand, QueryError> {
        let text = Box::new(self.operand()?);
        self.need(&Token::Comma)?;
        let start = match self.operand()? {
            Operand::Literal(Literal::Integer(start @ 0..=TO_THE_END)) => start.saturating_add(1),
            _ => return Err(self.unsupported("substring from something else than a whole number")),
        };
        let length = if self.token() == &Token::Comma {
            self.advance();
            self.operand()?
        } else {
            Operand::Literal(Literal::Integer(TO_THE_END))
        };
        Ok(Operand::Substring(text, Box::new(Operand::Literal(Literal::Integer(start))), Box::new(length)))
    }
}
