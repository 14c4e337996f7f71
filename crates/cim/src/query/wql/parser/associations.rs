//! `ASSOCIATORS OF` and `REFERENCES OF` in their plain form.

use super::{Parser, Token};
use crate::query::wql::{Associators, References, Statement};
use crate::query::{QueryError, QueryErrorKind};
use crate::{Name, ObjectPath};

impl Parser {
    pub(super) fn associations(&mut self) -> Result<Statement, QueryError> {
        let is_associators = self.is_word("ASSOCIATORS");
        self.advance();
        self.need_word("OF")?;
        let Token::Braced(text) = self.token() else { return Err(self.expected("a path in braces")) };
        let path: ObjectPath = text.parse().map_err(|error| {
            self.fault(QueryErrorKind::WqlSyntax, format!("the path in braces cannot be read: {error}"))
        })?;
        self.advance();
        let mut found = Associators {
            path,
            association: None,
            result_class: None,
            role: None,
            result_role: None,
            is_keys_only: false,
        };
        if self.take_word("WHERE") {
            self.restriction(&mut found, is_associators)?;
            while *self.token() != Token::End {
                self.restriction(&mut found, is_associators)?;
            }
        }
        Ok(if is_associators {
            Statement::Associators(Box::new(found))
        } else {
            let Associators { path, result_class, role, is_keys_only, .. } = found;
            Statement::References(Box::new(References { path, result_class, role, is_keys_only }))
        })
    }

    fn restriction(&mut self, found: &mut Associators, is_associators: bool) -> Result<(), QueryError> {
        for refused in ["ClassDefsOnly", "SchemaOnly", "RequiredQualifier", "RequiredAssocQualifier"] {
            if self.is_word(refused) {
                return Err(self.fault(QueryErrorKind::Unsupported, format!("{refused} is not supported")));
            }
        }
        if self.take_word("KeysOnly") {
            found.is_keys_only = true;
            return Ok(());
        }
        let place = if self.take_word("ResultClass") {
            &mut found.result_class
        } else if self.take_word("Role") {
            &mut found.role
        } else if is_associators && self.take_word("AssocClass") {
            &mut found.association
        } else if is_associators && self.take_word("ResultRole") {
            &mut found.result_role
        } else {
            let associators = "AssocClass, ResultClass, Role, ResultRole or KeysOnly";
            return Err(self.expected(if is_associators {
                associators
            } else {
                "ResultClass, Role or KeysOnly"
            }));
        };
        self.need(&Token::Equal)?;
        let name: Name = self.name("a name")?;
        *place = Some(name);
        Ok(())
    }
}
