//! Pages: where one ended and the next begins.
//!
//! A page goes on by seeking: the order is made total by the keys, and the next page is what
//! comes after the values of the last row. So rows that come or go between two pages shift
//! nothing. Where a page ended is told the client as a sealed token, bound to the account and to
//! the query; it grants nothing, for each page is a query of its own under the rights of its time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use restock_cim::query::{Column, Comparison, Condition, Literal, Operand, Order, Query, Select, Selected};
use restock_cim::{Class, DateTime, Instance, Name, Value};
use restock_names::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The seal of this process; tokens end with it.
pub(crate) struct Seal(LessSafeKey);

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// What the last row has in the columns of the order.
    values: Vec<Mark>,
    /// Rows that `$top` still allows.
    left: Option<u64>,
    /// Rows of a page: who follows a link gets pages like the first, whatever headers come along.
    pub(crate) page_rows: usize,
}

/// The value of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Mark {
    Null,
    Boolean(bool),
    Signed(i64),
    Unsigned(u64),
    Real(f64),
    Text(String),
    Moment(i64),
    Local(i64),
    Interval(i64),
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// A fresh key. Errors: the machine gave no randomness.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the cipher's length");
        Ok(Self(LessSafeKey::new(key)))
    }

    /// A token for `place` that only `bound_to` opens. `None`: the machine gave no randomness.
    pub(crate) fn seal(&self, place: &Place, bound_to: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(place).ok()?;
        let aad = Aad::from(bound_to.as_bytes());
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let sealed = [&nonce[..], &text].concat();
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The place in a token; `None` for one of another process, account or query, or no token.
    pub(crate) fn open(&self, token: &str, bound_to: &str) -> Option<Place> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.open_in_place(nonce, Aad::from(bound_to.as_bytes()), text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

/// A query cut into pages.
#[derive(Debug)]
pub(crate) struct Paged {
    /// Columns of the order, by which a page goes on, and whether each descends.
    order: Vec<(Name, bool)>,
    /// Columns that are read for the order alone.
    pub(crate) hidden: Vec<Name>,
    /// Rows of a page, as asked for.
    page_rows: usize,
    /// Rows of this page.
    pub(crate) rows: u64,
    /// Rows that `$top` allows from this page on.
    pub(crate) left: Option<u64>,
}

impl Paged {
    /// Makes `query` ask for one page, and for one row more that tells whether another follows.
    ///
    /// `None`: the query has no total order to seek by (a class without keys, an order by something
    /// that is no property of the class); it is then answered whole.
    pub(crate) fn cut(
        query: &mut Query,
        class: &Class,
        page_rows: usize,
        place: Option<Place>,
    ) -> Option<Self> {
        let mut order = Vec::new();
        for Order { by, is_descending } in &query.order {
            let Operand::Column(column) = by else { return None };
            class.property(column.property.as_str())?;
            order.push((column.property.clone(), *is_descending));
        }
        let keys: Vec<Name> = class.keys().map(|key| key.name.clone()).collect();
        if keys.is_empty() {
            return None;
        }
        for key in keys {
            if !order.iter().any(|(name, _)| *name == key) {
                order.push((key, false));
            }
        }
        let column = |name: &Name| Column { alias: None, property: name.clone() };
        query.order = order
            .iter()
            .map(|(name, is_descending)| Order {
                by: Operand::Column(column(name)),
                is_descending: *is_descending,
            })
            .collect();
        let mut hidden = Vec::new();
        if let Select::Columns(columns) = &mut query.select {
            for (name, _) in &order {
                let is_selected =
                    columns.iter().any(|c| matches!(c, Selected::Column(c) if c.property == *name));
                if !is_selected {
                    hidden.push(name.clone());
                    columns.push(Selected::Column(column(name)));
                }
            }
        }
        let left = match &place {
            Some(place) => place.left,
            None => query.limit,
        };
        if let Some(place) = place {
            let after = after(&order, &place.values)?;
            query.filter = Some(match query.filter.take() {
                None => after,
                Some(filter) => and(vec![filter, after]),
            });
            query.offset = 0;
        }
        let rows = left.map_or(page_rows as u64, |left| left.min(page_rows as u64));
        query.limit = Some(match left {
            // The page is the last one: nothing tells of more.
            Some(left) if left <= rows => left,
            _ => rows.saturating_add(1),
        });
        Some(Self { order, hidden, page_rows, rows, left })
    }

    /// The place after `row`, the last of a full page. `None`: a column was not read.
    pub(crate) fn place_after(&self, row: &Instance) -> Option<Place> {
        let values = self.order.iter().map(|(name, _)| mark(row.get(name.as_str())?));
        Some(Place {
            values: values.collect::<Option<_>>()?,
            left: self.left.map(|left| left.saturating_sub(self.rows)),
            page_rows: self.page_rows,
        })
    }
}

fn and(parts: Vec<Condition>) -> Condition {
    let flat = parts.into_iter().flat_map(|part| match part {
        Condition::And(parts) => parts,
        other => vec![other],
    });
    Condition::And(flat.collect())
}

/// What comes after `values` in the order: the first column is after its value, or equal and the
/// second is after its own, and so on. `NULL` comes before all values.
fn after(order: &[(Name, bool)], values: &[Mark]) -> Option<Condition> {
    if order.len() != values.len() {
        return None;
    }
    let mut ways = Vec::new();
    for (at, ((name, is_descending), value)) in order.iter().zip(values).enumerate() {
        let operand = |name: &Name| Operand::Column(Column { alias: None, property: name.clone() });
        let equal = order[..at].iter().zip(values).map(|((name, _), value)| match value {
            Mark::Null => Condition::IsNull(operand(name)),
            value => Condition::Compare(operand(name), Comparison::Equal, Operand::Literal(value.literal())),
        });
        let mut parts: Vec<Condition> = equal.collect();
        let is_null = || Condition::IsNull(operand(name));
        let compared =
            |comparison| Condition::Compare(operand(name), comparison, Operand::Literal(value.literal()));
        match (value, is_descending) {
            (Mark::Null, false) => parts.push(Condition::Not(Box::new(is_null()))),
            // Nothing comes after the last of all.
            (Mark::Null, true) => continue,
            (_, false) => parts.push(compared(Comparison::Greater)),
            (_, true) => parts.push(Condition::Or(vec![compared(Comparison::Less), is_null()])),
        }
        ways.push(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::And(parts) });
    }
    let flat: Vec<Condition> = ways
        .into_iter()
        .flat_map(|way| match way {
            Condition::Or(parts) => parts,
            other => vec![other],
        })
        .collect();
    match flat.len() {
        0 => None,
        1 => flat.into_iter().next(),
        _ => Some(Condition::Or(flat)),
    }
}

fn mark(value: &Value) -> Option<Mark> {
    Some(match value {
        Value::Null => Mark::Null,
        Value::Boolean(is) => Mark::Boolean(*is),
        Value::Signed(number) => Mark::Signed(*number),
        Value::Unsigned(number) => Mark::Unsigned(*number),
        Value::Real(number) => Mark::Real(*number),
        Value::String(text) => Mark::Text(text.clone()),
        Value::DateTime(DateTime::Moment(at, _)) => Mark::Moment(at.0),
        Value::DateTime(DateTime::Local(digits)) => Mark::Local(*digits),
        Value::DateTime(DateTime::Interval(length)) => Mark::Interval(*length),
        Value::Reference(path) => Mark::Text(path.to_string()),
        Value::Char(_) | Value::Object(_) | Value::Array(_) => return None,
    })
}

impl Mark {
    fn literal(&self) -> Literal {
        match self {
            Self::Null => Literal::Null,
            Self::Boolean(is) => Literal::Boolean(*is),
            Self::Signed(number) => Literal::Integer((*number).into()),
            Self::Unsigned(number) => Literal::Integer((*number).into()),
            Self::Real(number) => Literal::Real(*number),
            Self::Text(text) => Literal::String(text.clone()),
            Self::Moment(micros) => Literal::DateTime(DateTime::utc(Timestamp(*micros))),
            Self::Local(digits) => Literal::DateTime(DateTime::Local(*digits)),
            Self::Interval(length) => Literal::DateTime(DateTime::Interval(*length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Place, Seal};

    #[test]
    fn a_token_opens_only_for_the_account_and_query_it_was_made_for() {
        let seal = Seal::new().unwrap();
        let values = vec![Mark::Text("XYZ00001".to_owned()), Mark::Null];
        let place = Place { values, left: Some(3), page_rows: 20 };
        let token = seal.seal(&place, "anna\0/SMS_Package").unwrap();
        assert_eq!(seal.open(&token, "anna\0/SMS_Package"), Some(place));
        assert!(!token.contains("XYZ"));
        assert_eq!(seal.open(&token, "bert\0/SMS_Package"), None);
        assert_eq!(seal.open(&token, "anna\0/SMS_Site"), None);
        assert_eq!(Seal::new().unwrap().open(&token, "anna\0/SMS_Package"), None);
        let mut forged = token.into_bytes();
        forged[20] ^= 1;
        assert_eq!(seal.open(std::str::from_utf8(&forged).unwrap(), "anna\0/SMS_Package"), None);
        assert_eq!(seal.open("", "anna"), None);
    }
}
