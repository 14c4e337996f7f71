//! Conditions.

use restock_cim::query::{self, Comparison, Domain, Expression, Field, Filter, Pattern, Resolved};

use super::expression::bound;
use super::{Compiler, Scope};
use crate::query::dialect::LikeRange;
use crate::query::sql::Bound;

/// Properties whose values have one spelling wherever they stand: two of them are compared as they are,
/// so that the index of a primary key serves.
const SPELLED_ALIKE: [&str; 1] = ["PackageID"];

impl Compiler<'_> {
    /// A condition in parentheses, unless it needs none.
    pub(super) fn condition(&mut self, scope: &Scope<'_>, filter: &Filter) {
        match filter {
            Filter::And(parts) => self.parts(scope, parts, " AND "),
            Filter::Or(parts) => self.parts(scope, parts, " OR "),
            Filter::Not(part) => {
                self.sql.push("(NOT ");
                self.condition(scope, part);
                self.sql.push(")");
            }
            Filter::Constant(is_true) => {
                self.sql.push(if *is_true { "(1 = 1)" } else { "(1 = 0)" });
            }
            Filter::Compare { domain, left, comparison, right } => {
                self.compare(scope, *domain, left, *comparison, right);
            }
            Filter::Like { text, pattern } => {
                let is_indexed = matches!(text, Expression::Field(_));
                self.like(pattern, is_indexed, |compiler| compiler.expression(scope, text));
            }
            Filter::In { domain, operand, values } => {
                self.one_of(*domain, values, |compiler| compiler.expression(scope, operand));
            }
            Filter::InQuery { domain, operand, query } => {
                self.sql.push("(");
                self.expression(scope, operand);
                self.in_query(*domain, query);
                self.sql.push(")");
            }
            Filter::Contains { domain, array, values } => {
                self.any_element(scope, *array, |compiler| {
                    compiler.one_of(*domain, values, |compiler| compiler.element(*domain));
                });
            }
            Filter::ContainsQuery { domain, array, query } => {
                self.any_element(scope, *array, |compiler| {
                    compiler.element(*domain);
                    compiler.in_query(*domain, query);
                });
            }
            Filter::ContainsLike { array, pattern } => {
                self.any_element(scope, *array, |compiler| {
                    compiler.like(pattern, false, |compiler| compiler.element(Domain::Text));
                });
            }
            Filter::IsNull(expression) => {
                self.sql.push("(");
                self.expression(scope, expression);
                self.sql.push(" IS NULL)");
            }
            Filter::IsClass { source, classes } => {
                self.sql.push("(");
                self.class_name(scope, *source);
                self.sql.push(" COLLATE nocase IN (");
                self.sql.list(classes, ", ", |sql, class| {
                    sql.bind(Bound::Text(class.as_str().to_owned()));
                });
                self.sql.push("))");
            }
        }
    }

    /// All of `parts`, which may be none.
    pub(super) fn all(&mut self, scope: &Scope<'_>, parts: &[&Filter]) {
        self.sql.push("1 = 1");
        for part in parts {
            self.sql.push(" AND ");
            self.condition(scope, part);
        }
    }

    fn parts(&mut self, scope: &Scope<'_>, parts: &[Filter], between: &str) {
        self.sql.push("(");
        for (index, part) in parts.iter().enumerate() {
            self.sql.push(if index == 0 { "" } else { between });
            self.condition(scope, part);
        }
        self.sql.push(")");
    }

    fn compare(
        &mut self,
        scope: &Scope<'_>,
        domain: Domain,
        left: &Expression,
        comparison: Comparison,
        right: &Expression,
    ) {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let sign = match comparison {
            Equal => " = ",
            NotEqual => " <> ",
            Less => " < ",
            LessOrEqual => " <= ",
            Greater => " > ",
            GreaterOrEqual => " >= ",
        };
        if domain == Domain::Text {
            return self.compare_text(scope, left, comparison, sign, right);
        }
        self.sql.push("(");
        self.expression(scope, left);
        self.sql.push(sign);
        self.expression(scope, right);
        self.sql.push(")");
    }

    fn compare_text(
        &mut self,
        scope: &Scope<'_>,
        left: &Expression,
        comparison: Comparison,
        sign: &str,
        right: &Expression,
    ) {
        if matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            let special = match right {
                Expression::Value(query::Bound::Text(text)) if self.engine().needs_expression(text) => {
                    Some(text)
                }
                _ => None,
            };
            self.sql.push(match (special, comparison) {
                (Some(_), Comparison::NotEqual) => "(NOT ",
                _ => "(",
            });
            self.expression(scope, left);
            if let Some(text) = special {
                let exactly = self.engine().exactly(text);
                self.sql.push(" REGEXP ").bind(Bound::Text(exactly));
            } else {
                let is_spelled_alike = |side: &Expression| match side {
                    Expression::Field(field) => scope.query.property(*field).is_some_and(|property| {
                        SPELLED_ALIKE.iter().any(|name| property.name.is(name))
                            && !property.data_type.is_array
                    }),
                    _ => false,
                };
                let are_spelled_alike = is_spelled_alike(left) && is_spelled_alike(right);
                self.sql.push(if are_spelled_alike { "" } else { " COLLATE nocase" }).push(sign);
                self.expression(scope, right);
            }
            self.sql.push(")");
            return;
        }
        // Less and greater go by the order that ORDER BY has, so that pages can begin behind a row.
        let (before, after) = self.engine().order_text();
        self.sql.push("(").push(before);
        self.expression(scope, left);
        self.sql.push(after).push(sign).push(before);
        self.expression(scope, right);
        self.sql.push(after).push(")");
    }

    /// With `is_indexed`, what the pattern begins with is also asked as a range, or only so if that says
    /// it all: an index answers that, and the statement need not be planned again for each pattern.
    fn like(&mut self, pattern: &Pattern, is_indexed: bool, text: impl Fn(&mut Self)) {
        let range = self.engine().like_range(pattern).filter(|_| is_indexed);
        self.sql.push(if range.is_some() { "(" } else { "" });
        let (is_ranged, is_all) = range.as_ref().map_or((false, false), |range| (true, range.is_all));
        if let Some(LikeRange { first, end, .. }) = range {
            text(self);
            self.sql.push(" COLLATE nocase >= ").bind(Bound::Text(first)).push(" AND ");
            text(self);
            self.sql.push(" COLLATE nocase < ").bind(Bound::Text(end));
        }
        if !is_all {
            let like = self.engine().like(pattern);
            self.sql.push(if is_ranged { " AND " } else { "" }).push(like.before);
            text(self);
            self.sql.push(like.between).bind(Bound::Text(like.pattern)).push(like.after);
        }
        self.sql.push(if is_ranged { ")" } else { "" });
    }

    fn one_of(&mut self, domain: Domain, values: &[query::Bound], operand: impl Fn(&mut Self)) {
        let needs = |value: &query::Bound| match value {
            query::Bound::Text(text) => self.sql.engine.needs_expression(text),
            _ => false,
        };
        let (special, plain): (Vec<_>, Vec<_>) = values.iter().partition(|value| needs(value));
        self.sql.push("(");
        if !plain.is_empty() {
            operand(self);
            self.sql.push(if domain == Domain::Text { " COLLATE nocase IN (" } else { " IN (" });
            self.sql.list(plain.iter(), ", ", |sql, value| {
                sql.bind(bound(value));
            });
            self.sql.push(")");
        }
        for (index, value) in special.into_iter().enumerate() {
            let query::Bound::Text(text) = value else { continue };
            self.sql.push(if index == 0 && plain.is_empty() { "" } else { " OR " });
            operand(self);
            let exactly = self.engine().exactly(text);
            self.sql.push(" REGEXP ").bind(Bound::Text(exactly));
        }
        self.sql.push(")");
    }

    /// Is one of the values of a sub-select, which has names of its own.
    fn in_query(&mut self, domain: Domain, query: &Resolved) {
        self.selects += 1;
        let prefix = format!("q{}_", self.selects);
        self.sql.push(if domain == Domain::Text { " COLLATE nocase IN (" } else { " IN (" });
        let is_value = std::mem::replace(&mut self.is_value, true);
        self.select(query, prefix);
        self.is_value = is_value;
        self.sql.push(")");
    }

    /// Whether a condition holds for an element; unknown when there is no array.
    fn any_element(&mut self, scope: &Scope<'_>, array: Field, condition: impl FnOnce(&mut Self)) {
        let (before, after) = self.engine().elements();
        self.sql.push("(CASE WHEN ");
        self.field(scope, array);
        self.sql.push(" IS NOT NULL THEN EXISTS (SELECT 1 FROM ").push(before);
        self.field(scope, array);
        self.sql.push(after).push(" WHERE ");
        condition(self);
        self.sql.push(") END)");
    }

    fn element(&mut self, domain: Domain) {
        let text = match domain {
            Domain::Text => "e.value",
            _ => self.engine().element_integer(),
        };
        self.sql.push(text);
    }
}
