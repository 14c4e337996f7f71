//! Declarations of a MOF text, not yet linked to each other.

use super::lexer::{Token, tokens};
use super::{MofError, TEXT_BYTES_MAX};
use crate::{CimType, DataType, Direction, Name, Parameter, Qualifier, Value};

/// A class as it stands in the text: own members only.
pub(crate) struct ClassText {
    pub(crate) line: usize,
    pub(crate) name: Name,
    pub(crate) superclass: Option<Name>,
    pub(crate) qualifiers: Vec<Qualifier>,
    pub(crate) properties: Vec<PropertyText>,
    pub(crate) methods: Vec<MethodText>,
}

pub(crate) struct PropertyText {
    pub(crate) line: usize,
    pub(crate) name: Name,
    pub(crate) data_type: DataType,
    pub(crate) default: Option<Value>,
    pub(crate) qualifiers: Vec<Qualifier>,
}

pub(crate) struct MethodText {
    pub(crate) name: Name,
    pub(crate) returns: DataType,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) qualifiers: Vec<Qualifier>,
}

/// Reads the classes of `text`; qualifier declarations are checked for form and passed over.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<ClassText>, MofError> {
    if text.len() > TEXT_BYTES_MAX {
        let what = format!("the text has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len());
        return Err(MofError::new(file, 0, what));
    }
    let mut parser = Parser { file, tokens: tokens(file, text)?, at: 0 };
    let mut classes = Vec::new();
    while *parser.peek() != Token::End {
        if parser.is_word("qualifier") {
            parser.qualifier_declaration()?;
        } else {
            classes.push(parser.class()?);
        }
    }
    Ok(classes)
}

struct Parser<'a> {
    file: &'a str,
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(_, line)| *line)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = self.at.saturating_add(1);
        token
    }

    fn fail<T>(&self, wanted: &str) -> Result<T, MofError> {
        let found = match self.peek() {
            Token::Word(word) => format!("{word:.40?}"),
            Token::Text(text) => format!("the text {text:.40?}"),
            Token::Integer(number) => number.to_string(),
            Token::Real(number) => number.to_string(),
            Token::Mark(mark) => format!("{mark:?}"),
            Token::End => "the end of the text".to_owned(),
        };
        Err(MofError::new(self.file, self.line(), format!("{wanted} is wanted, not {found}")))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_it = self.is_word(word);
        if is_it {
            self.next();
        }
        is_it
    }

    fn take(&mut self, mark: char) -> bool {
        let is_it = *self.peek() == Token::Mark(mark);
        if is_it {
            self.next();
        }
        is_it
    }

    fn mark(&mut self, mark: char) -> Result<(), MofError> {
        if self.take(mark) { Ok(()) } else { self.fail(&format!("{mark:?}")) }
    }

    fn word(&mut self, wanted: &str) -> Result<Name, MofError> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.next();
                Ok(word.into())
            }
            _ => self.fail(wanted),
        }
    }

    /// `Qualifier Key : boolean = false, Scope(…), Flavor(…);`
    fn qualifier_declaration(&mut self) -> Result<(), MofError> {
        self.next();
        self.word("the name of a qualifier")?;
        while !self.take(';') {
            if matches!(self.peek(), Token::End | Token::Mark('}')) {
                return self.fail("\";\"");
            }
            self.next();
        }
        Ok(())
    }

    fn class(&mut self) -> Result<ClassText, MofError> {
        let qualifiers = self.qualifiers()?;
        let line = self.line();
        if !self.take_word("class") {
            return self.fail("\"class\"");
        }
        let name = self.word("the name of a class")?;
        let superclass = if self.take(':') { Some(self.word("the name of a class")?) } else { None };
        self.mark('{')?;
        let mut class =
            ClassText { line, name, superclass, qualifiers, properties: Vec::new(), methods: Vec::new() };
        while !self.take('}') {
            self.member(&mut class)?;
        }
        self.mark(';')?;
        Ok(class)
    }

    fn member(&mut self, class: &mut ClassText) -> Result<(), MofError> {
        let qualifiers = self.qualifiers()?;
        let (line, data_type) = (self.line(), self.data_type(&qualifiers)?);
        let name = self.word("the name of a property or method")?;
        if self.take('(') {
            let parameters = self.parameters()?;
            self.mark(';')?;
            class.methods.push(MethodText { name, returns: data_type, parameters, qualifiers });
            return Ok(());
        }
        let data_type = self.array_mark(data_type)?;
        let default = if self.take('=') { Some(self.value()?) } else { None };
        self.mark(';')?;
        class.properties.push(PropertyText { line, name, data_type, default, qualifiers });
        Ok(())
    }

    fn parameters(&mut self) -> Result<Vec<Parameter>, MofError> {
        let mut parameters = Vec::new();
        if self.take(')') {
            return Ok(parameters);
        }
        loop {
            let qualifiers = self.qualifiers()?;
            let data_type = self.data_type(&qualifiers)?;
            let name = self.word("the name of a parameter")?;
            let data_type = self.array_mark(data_type)?;
            let says = |name: &str| qualifiers.iter().find(|q| q.name.is(name)).map(|q| q.value.clone());
            let is_in = says("In") != Some(Value::Boolean(false));
            let direction = match (is_in, says("Out") == Some(Value::Boolean(true))) {
                (true, false) => Direction::In,
                (false, true) => Direction::Out,
                (true, true) => Direction::InOut,
                (false, false) => return self.fail("a parameter that is sent or answered"),
            };
            let is_optional = says("Optional") == Some(Value::Boolean(true));
            parameters.push(Parameter { name, data_type, direction, is_optional });
            if !self.take(',') {
                self.mark(')')?;
                return Ok(parameters);
            }
        }
    }

    /// `[Key, Values{"a", "b"}]`, or nothing.
    fn qualifiers(&mut self) -> Result<Vec<Qualifier>, MofError> {
        let mut qualifiers = Vec::new();
        if !self.take('[') {
            return Ok(qualifiers);
        }
        loop {
            let name = self.word("the name of a qualifier")?;
            let value = if self.take('(') {
                let value = self.value()?;
                self.mark(')')?;
                value
            } else if *self.peek() == Token::Mark('{') {
                self.value()?
            } else {
                Value::Boolean(true)
            };
            qualifiers.push(Qualifier { name, value });
            if !self.take(',') {
                self.mark(']')?;
                return Ok(qualifiers);
            }
        }
    }

    fn data_type(&mut self, qualifiers: &[Qualifier]) -> Result<DataType, MofError> {
        let word = self.word("a type")?;
        let embedded = qualifiers.iter().find(|q| q.name.is("EmbeddedInstance")).map(|q| &q.value);
        let of = |cim, class| DataType { cim, is_array: false, class };
        if self.take_word("ref") {
            return Ok(of(CimType::Reference, Some(word)));
        }
        match (CimType::of_mof(word.as_str()), embedded) {
            (Some(CimType::String), Some(Value::String(class))) => {
                Ok(of(CimType::Object, Some(class.as_str().into())))
            }
            (Some(cim), None) => Ok(of(cim, None)),
            (Some(_), Some(_)) => self.fail("the type string and the name of a class with EmbeddedInstance"),
            (None, _) => {
                let what = format!("{word} is no type; a class in that place wants REF after it");
                Err(MofError::new(self.file, self.line(), what))
            }
        }
    }

    fn array_mark(&mut self, mut data_type: DataType) -> Result<DataType, MofError> {
        if self.take('[') {
            if let Token::Integer(_) = self.peek() {
                self.next();
            }
            self.mark(']')?;
            data_type.is_array = true;
        }
        Ok(data_type)
    }

    fn value(&mut self) -> Result<Value, MofError> {
        if !self.take('{') {
            return self.literal();
        }
        let mut values = Vec::new();
        if self.take('}') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.literal()?);
            if !self.take(',') {
                self.mark('}')?;
                return Ok(Value::Array(values));
            }
        }
    }

    fn literal(&mut self) -> Result<Value, MofError> {
        let value = match self.peek().clone() {
            Token::Text(mut text) => {
                // Texts that follow each other are one.
                while let Some((Token::Text(more), _)) = self.tokens.get(self.at.saturating_add(1)) {
                    text.push_str(more);
                    self.next();
                }
                Value::String(text)
            }
            Token::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => Value::Unsigned(number),
                (_, Ok(number)) => Value::Signed(number),
                _ => return self.fail("a number of 64 bits"),
            },
            Token::Real(number) => Value::Real(number),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Boolean(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Boolean(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Value::Null,
            _ => return self.fail("a value"),
        };
        self.next();
        Ok(value)
    }
}
