//! Columns become instances, as their classes declare them.

use std::sync::Arc;

use restock_cim::{CimType, Class, DataType, DateTime, Instance, Property, Schema, Value};
use restock_names::{Timestamp, Zone};
use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use super::QueryFailed;
use super::compile::{Layout, Part};

/// A row of either engine. A column that holds something else than is asked for is an error.
pub(crate) trait Columns {
    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error>;
    fn real(&self, column: usize) -> Result<Option<f64>, sqlx::Error>;
    fn text(&self, column: usize) -> Result<Option<String>, sqlx::Error>;
    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error>;
}

impl Columns for PgRow {
    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn real(&self, column: usize) -> Result<Option<f64>, sqlx::Error> {
        self.try_get(column)
    }

    fn text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(column)
    }
}

/// SQLite's columns have no type of their own: that of the value is looked at, since the library
/// would turn any value into any type.
fn sqlite<'r, T>(row: &'r SqliteRow, column: usize, types: &[&str]) -> Result<Option<T>, sqlx::Error>
where
    T: sqlx::Decode<'r, sqlx::Sqlite>,
{
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    let found = value.type_info();
    if !types.contains(&found.name()) {
        return Err(sqlx::Error::Decode(format!("a value of the type {}", found.name()).into()));
    }
    T::decode(value).map(Some).map_err(sqlx::Error::Decode)
}

impl Columns for SqliteRow {
    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        // A text column may be declared BOOLEAN; its values are integers all the same.
        sqlite(self, column, &["INTEGER", "BOOLEAN"])
    }

    fn real(&self, column: usize) -> Result<Option<f64>, sqlx::Error> {
        sqlite(self, column, &["REAL", "INTEGER"])
    }

    fn text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        sqlite(self, column, &["TEXT"])
    }

    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        sqlite(self, column, &["BLOB"])
    }
}

/// Makes instances of the rows of one statement.
pub(crate) struct Decoder {
    pub(crate) layout: Layout,
    pub(crate) zone: Arc<Zone>,
    pub(crate) schema: &'static Schema,
}

impl Decoder {
    pub(crate) fn instance(&self, row: &impl Columns) -> Result<Instance, QueryFailed> {
        let mut column = 0;
        match &self.layout {
            Layout::Count(class) => {
                let count = self.integer(row, 0, class)?.unwrap_or(0);
                let count = u64::try_from(count).unwrap_or(0);
                let mut instance = Instance::new(Arc::clone(class));
                instance.set("Count", Value::Unsigned(count));
                Ok(instance)
            }
            Layout::Instance(part) => {
                let found = self.part(row, part, &mut column)?;
                Ok(found.unwrap_or_else(|| Instance::new(Arc::clone(&part.class))))
            }
            Layout::Embedded(class, parts) => {
                let mut instance = Instance::new(Arc::clone(class));
                for (place, part) in instance.values.iter_mut().zip(parts) {
                    let found = self.part(row, part, &mut column)?;
                    *place = Some(found.map_or(Value::Null, |object| Value::Object(Box::new(object))));
                }
                Ok(instance)
            }
        }
    }

    fn integer(&self, row: &impl Columns, column: usize, class: &Class) -> Result<Option<i64>, QueryFailed> {
        row.integer(column).map_err(|error| unfit(class, "Count", &error))
    }

    /// The instance of one part; `None` when an outer join found none.
    fn part(
        &self,
        row: &impl Columns,
        part: &Part,
        column: &mut usize,
    ) -> Result<Option<Instance>, QueryFailed> {
        let mut next = || std::mem::replace(column, *column + 1);
        let mut class = &part.class;
        let mut is_there = true;
        if !part.concrete.is_empty() {
            let name = row.text(next()).map_err(|error| unfit(class, "__CLASS", &error))?;
            is_there = name.is_some();
            let of_row = name.and_then(|name| part.concrete.iter().find(|class| class.name.is(&name)));
            class = of_row.unwrap_or(class);
        }
        if part.has_presence {
            let present = row.integer(next()).map_err(|error| unfit(class, "__PRESENT", &error))?;
            is_there = present.is_some();
        }
        let mut instance = Instance::new(Arc::clone(class));
        for index in &part.properties {
            let property = &part.class.properties[*index];
            let value = self.value(row, next(), &part.class, property)?;
            // A subclass has its superclass's properties among its own.
            let place = if Arc::ptr_eq(class, &part.class) {
                Some(*index)
            } else {
                class.property_index(property.name.as_str())
            };
            if let Some(place) = place {
                instance.values[place] = Some(value);
            }
        }
        Ok(is_there.then_some(instance))
    }

    fn value(
        &self,
        row: &impl Columns,
        column: usize,
        class: &Class,
        property: &Property,
    ) -> Result<Value, QueryFailed> {
        let DataType { cim, is_array, .. } = &property.data_type;
        let failed = |error: sqlx::Error| unfit(class, property.name.as_str(), &error);
        if *is_array && *cim == CimType::UInt8 {
            let bytes = row.bytes(column).map_err(failed)?;
            let element = |byte| Value::Unsigned(u64::from(byte));
            return Ok(
                bytes.map_or(Value::Null, |bytes| Value::Array(bytes.into_iter().map(element).collect()))
            );
        }
        if *is_array || *cim == CimType::Object {
            let Some(text) = row.text(column).map_err(failed)? else { return Ok(Value::Null) };
            let found = serde_json::from_str(&text).ok();
            return found.and_then(|json| self.json(property, *is_array, json)).ok_or_else(|| {
                QueryFailed::Value {
                    class: class.name.to_string(),
                    property: property.name.to_string(),
                    found: text.chars().take(80).collect(),
                }
            });
        }
        let refused = |found: String| QueryFailed::Value {
            class: class.name.to_string(),
            property: property.name.to_string(),
            found: found.chars().take(80).collect(),
        };
        match cim {
            CimType::String => {
                let text = row.text(column).map_err(failed)?;
                Ok(text.map_or(Value::Null, Value::String))
            }
            CimType::Reference => match row.text(column).map_err(failed)? {
                None => Ok(Value::Null),
                Some(text) => match text.parse() {
                    Ok(path) => Ok(Value::Reference(Box::new(path))),
                    Err(_unfit) => Err(refused(text)),
                },
            },
            CimType::Real32 | CimType::Real64 => {
                Ok(row.real(column).map_err(failed)?.map_or(Value::Null, Value::Real))
            }
            _ => {
                let Some(number) = row.integer(column).map_err(failed)? else { return Ok(Value::Null) };
                self.number(property, number).ok_or_else(|| refused(number.to_string()))
            }
        }
    }

    /// The value that a whole number is in a property.
    fn number(&self, property: &Property, number: i64) -> Option<Value> {
        Some(match property.data_type.cim {
            CimType::Boolean => Value::Boolean(number != 0),
            CimType::DateTime if property.is_local_time() => {
                Value::DateTime(DateTime::Local(self.zone.utc_to_local(Timestamp(number))))
            }
            CimType::DateTime => Value::DateTime(DateTime::Moment(Timestamp(number), 0)),
            CimType::Char16 => Value::Char(u16::try_from(number).ok()?),
            CimType::SInt8 | CimType::SInt16 | CimType::SInt32 | CimType::SInt64 => {
                in_range(property.data_type.cim, number).then_some(Value::Signed(number))?
            }
            cim => {
                in_range(cim, number).then(|| u64::try_from(number).ok()).flatten().map(Value::Unsigned)?
            }
        })
    }

    /// A value written as JSON. Embedded objects name their class; a property they leave out is
    /// `Null`.
    fn json(&self, property: &Property, is_array: bool, json: Json) -> Option<Value> {
        if is_array {
            let Json::Array(elements) = json else {
                return json.is_null().then_some(Value::Null);
            };
            let values = elements.into_iter().map(|element| self.json(property, false, element));
            return values.collect::<Option<Vec<_>>>().map(Value::Array);
        }
        Some(match (property.data_type.cim, json) {
            (_, Json::Null) => Value::Null,
            (CimType::String, Json::String(text)) => Value::String(text),
            (CimType::Boolean, Json::Bool(is_true)) => Value::Boolean(is_true),
            (CimType::DateTime, Json::String(text)) => Value::DateTime(text.parse().ok()?),
            (CimType::Reference, Json::String(text)) => Value::Reference(Box::new(text.parse().ok()?)),
            (CimType::Real32 | CimType::Real64, Json::Number(number)) => Value::Real(number.as_f64()?),
            (CimType::UInt64, Json::Number(number)) => Value::Unsigned(number.as_u64()?),
            (CimType::Object, Json::Object(mut members)) => {
                let Some(Json::String(name)) = members.remove("class") else { return None };
                let class = self.schema.class(&name)?;
                let mut instance = Instance::new(Arc::clone(class));
                instance.values.fill(Some(Value::Null));
                for (name, json) in members {
                    let index = class.property_index(&name)?;
                    let member = &class.properties[index];
                    instance.values[index] = Some(self.json(member, member.data_type.is_array, json)?);
                }
                Value::Object(Box::new(instance))
            }
            (_, Json::Number(number)) => self.number(property, number.as_i64()?)?,
            _ => return None,
        })
    }
}

fn in_range(cim: CimType, number: i64) -> bool {
    cim.range().is_none_or(|(least, most)| (least..=most).contains(&i128::from(number)))
}

fn unfit(class: &Class, property: &str, error: &sqlx::Error) -> QueryFailed {
    QueryFailed::Value {
        class: class.name.to_string(),
        property: property.to_owned(),
        found: error.to_string(),
    }
}
