//! Columns become instances, as their classes declare them.

use std::sync::Arc;

use restock_cim::{CimType, Class, DateTime, Instance, Property, Schema, Value};
use restock_names::{Timestamp, Zone};
use rusqlite::types::ValueRef;
use serde_json::Value as Json;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::QueryFailed;
use super::compile::{Layout, Part};

/// A row of either engine. A column that holds something else than is asked for is an error.
pub(crate) trait AnyRow {
    fn integer(&self, column: usize) -> Result<Option<i64>, Unfit>;
    fn real(&self, column: usize) -> Result<Option<f64>, Unfit>;
    fn text(&self, column: usize) -> Result<Option<&str>, Unfit>;
    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Unfit>;
}

/// Why a column is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("a value of the type {0}")]
    Type(rusqlite::types::Type),
    #[error("text that is not UTF-8")]
    Utf8,
    #[error("no column")]
    Missing,
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
}

impl AnyRow for PgRow {
    fn integer(&self, column: usize) -> Result<Option<i64>, Unfit> {
        Ok(self.try_get(column)?)
    }

    fn real(&self, column: usize) -> Result<Option<f64>, Unfit> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: usize) -> Result<Option<&str>, Unfit> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Unfit> {
        Ok(self.try_get(column)?)
    }
}

/// SQLite's columns have no type of their own: that of the value counts.
impl AnyRow for rusqlite::Row<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, Unfit> {
        match cell(self, column)? {
            ValueRef::Integer(number) => Ok(Some(number)),
            other => null(other),
        }
    }

    fn real(&self, column: usize) -> Result<Option<f64>, Unfit> {
        match cell(self, column)? {
            ValueRef::Real(number) => Ok(Some(number)),
            #[expect(clippy::cast_precision_loss, reason = "a whole number of a real column is small")]
            ValueRef::Integer(number) => Ok(Some(number as f64)),
            other => null(other),
        }
    }

    fn text(&self, column: usize) -> Result<Option<&str>, Unfit> {
        match cell(self, column)? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_invalid| Unfit::Utf8),
            other => null(other),
        }
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Unfit> {
        match cell(self, column)? {
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            other => null(other),
        }
    }
}

fn cell<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> Result<ValueRef<'r>, Unfit> {
    row.get_ref(column).map_err(|_invalid| Unfit::Missing)
}

/// Anything but `NULL` is something else than was asked for.
fn null<T>(value: ValueRef<'_>) -> Result<Option<T>, Unfit> {
    match value {
        ValueRef::Null => Ok(None),
        other => Err(Unfit::Type(other.data_type())),
    }
}

/// Makes instances of the rows of one statement.
pub(crate) struct Decoder {
    layout: Layout,
    parts: Vec<Columns>,
    zone: Arc<Zone>,
    schema: &'static Schema,
}

/// How the columns of one instance are read.
struct Columns {
    part: Part,
    /// For each property of the part.
    forms: Vec<Form>,
    /// Where a class of [`Part::concrete`] has each property; its superclass's are among its own.
    places: Vec<Vec<Option<usize>>>,
    /// For each of [`Part::own`] and each of [`Part::concrete`]: the form of the property.
    own: Vec<Vec<Option<Form>>>,
    /// How they are read when they are few of their class.
    few: Option<Few>,
}

/// Properties in the order of their class.
struct Few {
    places: Arc<[u16]>,
    /// Where the property's column stands among them, and what it holds.
    columns: Vec<(usize, Form)>,
}

impl Few {
    /// `None` when they are many, or when one comes twice.
    fn new(part: &Part, forms: &[Form]) -> Option<Self> {
        if !part.concrete.is_empty() || part.properties.len() * 2 >= part.class.properties.len() {
            return None;
        }
        let mut order: Vec<usize> = (0..part.properties.len()).collect();
        order.sort_unstable_by_key(|column| part.properties[*column]);
        let places = order.iter().map(|column| u16::try_from(part.properties[*column]).ok());
        let places: Arc<[u16]> = places.collect::<Option<_>>()?;
        let columns = order.into_iter().map(|column| (column, forms[column])).collect();
        places.is_sorted_by(|one, next| one < next).then_some(Self { places, columns })
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Boolean,
    Signed(CimType),
    Unsigned(CimType),
    Real,
    Char,
    /// UTC microseconds, shown as UTC or by the site's clock.
    Moment,
    Local,
    Reference,
    /// Bytes, each an element.
    Bytes,
    /// An array or an object.
    Json,
}

impl Form {
    /// The form of a property, or with `is_array` false of one of its elements.
    fn new(property: &Property, is_array: bool) -> Self {
        let cim = property.data_type.cim;
        match cim {
            CimType::UInt8 if is_array => Self::Bytes,
            _ if is_array => Self::Json,
            CimType::Object => Self::Json,
            CimType::String => Self::Text,
            CimType::Reference => Self::Reference,
            CimType::Boolean => Self::Boolean,
            CimType::DateTime if property.is_local_time() => Self::Local,
            CimType::DateTime => Self::Moment,
            CimType::Real32 | CimType::Real64 => Self::Real,
            CimType::Char16 => Self::Char,
            CimType::SInt8 | CimType::SInt16 | CimType::SInt32 | CimType::SInt64 => Self::Signed(cim),
            _ => Self::Unsigned(cim),
        }
    }
}

impl Columns {
    fn new(part: &Part) -> Self {
        let property = |index: &usize| &part.class.properties[*index];
        let forms: Vec<Form> = part
            .properties
            .iter()
            .map(|index| Form::new(property(index), property(index).data_type.is_array))
            .collect();
        let place = |class: &Arc<Class>, index| class.property_index(property(index).name.as_str());
        let of_class = |class| part.properties.iter().map(|index| place(class, index)).collect();
        let places = part.concrete.iter().map(of_class).collect();
        let form = |(class, place): (&Arc<Class>, &Option<usize>)| {
            let property = &class.properties[(*place)?];
            Some(Form::new(property, property.data_type.is_array))
        };
        let own = part.own.iter().map(|own| part.concrete.iter().zip(&own.places).map(form).collect());
        let own = own.collect();
        let few = Few::new(part, &forms);
        Self { part: part.clone(), forms, places, own, few }
    }
}

impl Decoder {
    pub(crate) fn new(layout: Layout, zone: Arc<Zone>, schema: &'static Schema) -> Self {
        let parts = match &layout {
            Layout::Count(_) => Vec::new(),
            Layout::Instance(part) => vec![Columns::new(part)],
            Layout::Embedded(_, parts) => parts.iter().map(Columns::new).collect(),
        };
        Self { layout, parts, zone, schema }
    }

    pub(crate) fn instance(&self, row: &impl AnyRow) -> Result<Instance, QueryFailed> {
        let mut column = 0;
        match &self.layout {
            Layout::Count(class) => {
                let count = row.integer(0).map_err(|error| unfit(class, "Count", &error))?;
                let count = u64::try_from(count.unwrap_or(0)).unwrap_or(0);
                let mut instance = Instance::new(Arc::clone(class));
                instance.set("Count", Value::Unsigned(count));
                Ok(instance)
            }
            Layout::Instance(part) => {
                let found = self.part(row, &self.parts[0], &mut column)?;
                Ok(found.unwrap_or_else(|| Instance::new(Arc::clone(&part.class))))
            }
            Layout::Embedded(class, _) => {
                let mut instance = Instance::new(Arc::clone(class));
                for (place, columns) in instance.values.iter_mut().zip(&self.parts) {
                    let found = self.part(row, columns, &mut column)?;
                    *place = Some(found.map_or(Value::Null, |object| Value::Object(Box::new(object))));
                }
                Ok(instance)
            }
        }
    }

    /// The instance of one part; `None` when an outer join found none.
    fn part(
        &self,
        row: &impl AnyRow,
        columns: &Columns,
        column: &mut usize,
    ) -> Result<Option<Instance>, QueryFailed> {
        fn next(column: &mut usize) -> usize {
            std::mem::replace(column, *column + 1)
        }
        let part = &columns.part;
        let mut class = &part.class;
        let mut of_row = None;
        let mut is_there = true;
        if !part.concrete.is_empty() {
            let name = row.text(next(column)).map_err(|error| unfit(class, "__CLASS", &error))?;
            is_there = name.is_some();
            of_row = name.and_then(|name| part.concrete.iter().position(|class| class.name.is(name)));
            if let Some(index) = of_row {
                class = &part.concrete[index];
            }
        }
        let places = of_row.map(|index| &columns.places[index]);
        if part.has_presence {
            let present = row.integer(next(column)).map_err(|error| unfit(class, "__PRESENT", &error))?;
            is_there = present.is_some();
        }
        let class = Arc::clone(class);
        if let Some(few) = &columns.few {
            let first = *column;
            *column += part.properties.len() + part.own.len();
            let mut values = Vec::with_capacity(few.places.len());
            for (property, (column, form)) in few.places.iter().zip(&few.columns) {
                let value = self.value(row, first + column, &class, usize::from(*property), *form);
                values.push(Some(value.map_err(|failed| *failed)?));
            }
            return Ok(is_there.then(|| Instance::of_few(class, &few.places, values)));
        }
        let mut instance = Instance::new(class);
        for (index, (property, form)) in part.properties.iter().zip(&columns.forms).enumerate() {
            let value = self.value(row, next(column), &part.class, *property, *form);
            let value = value.map_err(|failed| *failed)?;
            let place = places.map_or(Some(*property), |places| places[index]);
            if let Some(place) = place {
                instance.values[place] = Some(value);
            }
        }
        for (own, forms) in part.own.iter().zip(&columns.own) {
            let column = next(column);
            let Some((place, form)) = of_row.and_then(|index| own.places[index].zip(forms[index])) else {
                continue;
            };
            let class = &part.concrete[of_row.unwrap_or_default()];
            let value = self.value(row, column, class, place, form);
            instance.values[place] = Some(value.map_err(|failed| *failed)?);
        }
        Ok(is_there.then_some(instance))
    }

    /// The value of one column. Failures are rare and large: values are moved without room for them.
    fn value(
        &self,
        row: &impl AnyRow,
        column: usize,
        class: &Class,
        property: usize,
        form: Form,
    ) -> Result<Value, Box<QueryFailed>> {
        let property = &class.properties[property];
        let failed = |error: Unfit| Box::new(unfit(class, property.name.as_str(), &error));
        let refused = |found: &str| {
            Box::new(QueryFailed::Value {
                class: class.name.to_string(),
                property: property.name.to_string(),
                found: found.chars().take(80).collect(),
            })
        };
        match form {
            Form::Text => {
                let text = row.text(column).map_err(failed)?;
                Ok(text.map_or(Value::Null, |text| Value::String(text.to_owned())))
            }
            Form::Real => Ok(row.real(column).map_err(failed)?.map_or(Value::Null, Value::Real)),
            Form::Bytes => {
                let element = |byte: &u8| Value::Unsigned(u64::from(*byte));
                let bytes = row.bytes(column).map_err(failed)?;
                let array = |bytes: &[u8]| Value::Array(bytes.iter().map(element).collect());
                Ok(bytes.map_or(Value::Null, array))
            }
            Form::Json | Form::Reference => {
                let Some(text) = row.text(column).map_err(failed)? else { return Ok(Value::Null) };
                let value = if matches!(form, Form::Reference) {
                    text.parse().ok().map(|path| Value::Reference(Box::new(path)))
                } else {
                    let json = serde_json::from_str(text).ok();
                    json.and_then(|json| self.json(property, property.data_type.is_array, json))
                };
                value.ok_or_else(|| refused(text))
            }
            _ => {
                let Some(number) = row.integer(column).map_err(failed)? else { return Ok(Value::Null) };
                self.number(form, number).ok_or_else(|| refused(&number.to_string()))
            }
        }
    }

    /// The value that a whole number is.
    fn number(&self, form: Form, number: i64) -> Option<Value> {
        Some(match form {
            Form::Boolean => Value::Boolean(number != 0),
            Form::Moment => Value::DateTime(DateTime::Moment(Timestamp(number), 0)),
            Form::Local => Value::DateTime(DateTime::Local(self.zone.utc_to_local(Timestamp(number)))),
            Form::Char => Value::Char(u16::try_from(number).ok()?),
            Form::Signed(cim) => in_range(cim, number).then_some(Value::Signed(number))?,
            Form::Unsigned(cim) => {
                in_range(cim, number).then(|| u64::try_from(number).ok()).flatten().map(Value::Unsigned)?
            }
            Form::Text | Form::Real | Form::Reference | Form::Bytes | Form::Json => return None,
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
            (_, Json::Number(number)) => self.number(Form::new(property, false), number.as_i64()?)?,
            _ => return None,
        })
    }
}

fn in_range(cim: CimType, number: i64) -> bool {
    cim.range().is_none_or(|(least, most)| (least..=most).contains(&i128::from(number)))
}

fn unfit(class: &Class, property: &str, error: &Unfit) -> QueryFailed {
    QueryFailed::Value {
        class: class.name.to_string(),
        property: property.to_owned(),
        found: error.to_string(),
    }
}
