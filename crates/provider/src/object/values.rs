//! Values against their declarations: types, ranges, sizes.

use restock_cim::{Class, DataType, Method, Name, Property, Value};

use crate::Refusal;

/// The longest text of a property, in characters.
const TEXT_CHARS_MAX: usize = 65_536;
/// The most elements of an array property; of bytes, one MiB.
const ELEMENTS_MAX: usize = 1_048_576;

/// The values of a Put by declared name and type; each property at most once.
///
/// Errors: `UNKNOWN_PROPERTY`, `TYPE`, both naming the property.
pub(crate) fn typed(class: &Class, values: Vec<(Name, Value)>) -> Result<Vec<(Name, Value)>, Refusal> {
    let mut typed: Vec<(Name, Value)> = Vec::with_capacity(values.len());
    for (name, value) in values {
        if is_system(name.as_str()) {
            typed.push((name, value));
            continue;
        }
        let property = class.property(name.as_str()).ok_or_else(|| {
            let text = format!("{} has no property {}", class.name, super::context::shown(name.as_str()));
            Refusal::core("UNKNOWN_PROPERTY", text)
        })?;
        if typed.iter().any(|(known, _)| *known == property.name) {
            let text = format!("property {}.{} is given twice", class.name, property.name);
            return Err(Refusal::core("TYPE", text));
        }
        let value = of_type(&property.data_type, value).map_err(|error| {
            Refusal::core("TYPE", format!("property {}.{}: {error}", class.name, property.name))
        })?;
        typed.push((property.name.clone(), value));
    }
    Ok(typed)
}

/// True for what describes an object without being part of it: `__PATH`, `@odata.etag`.
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with("__") || name.contains('@')
}

fn of_type(data_type: &DataType, value: Value) -> Result<Value, String> {
    data_type.check(value).map_err(|error| error.to_string())
}

/// Checks a value that is to be written against what its property may hold.
///
/// Errors: `RANGE` or `REQUIRED`, naming the property.
pub(crate) fn check_bounds(class: &Class, property: &Property, value: &Value) -> Result<(), Refusal> {
    let of = || format!("property {}.{}", class.name, property.name);
    let refuse = |code: &str, text: String| Err(Refusal::provider(code, format!("{}: {text}", of())));
    if *value == Value::Null {
        if property.has("Not_Null") {
            return refuse("REQUIRED", "it must have a value".to_owned());
        }
        return Ok(());
    }
    if let Value::Array(items) = value {
        let declared = property.qualifier("Max").and_then(Value::as_integer);
        let most = declared.and_then(|most| usize::try_from(most).ok()).unwrap_or(ELEMENTS_MAX);
        if items.len() > most {
            let text = format!("{} elements were given, at most {most} are allowed", items.len());
            return refuse("RANGE", text);
        }
    }
    let size =
        property.qualifier("SizeLimit").and_then(Value::as_str).and_then(|size| size.parse::<usize>().ok());
    if let Value::String(text) = value {
        let (size, length) = (size.unwrap_or(TEXT_CHARS_MAX), text.chars().count());
        if length > size {
            return refuse("RANGE", format!("{length} characters were given, at most {size} are allowed"));
        }
    }
    if let Some(range) = property.qualifier("Range").and_then(Value::as_str)
        && !is_within(range, value)
    {
        return refuse("RANGE", format!("a value of {range} is wanted"));
    }
    Ok(())
}

/// True when a value lies in a range such as `0-31` or `a-z`, or has none to lie in.
fn is_within(range: &str, value: &Value) -> bool {
    // The border lies after the first character, so that a lowest value may be negative.
    let Some((low, high)) = range.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| {
        let (low, high) = range.split_at(at);
        (low.trim(), high.trim_start_matches('-').trim())
    }) else {
        return true;
    };
    match value {
        Value::String(text) => {
            let (low, high) = (low.to_lowercase(), high.to_lowercase());
            text.to_lowercase().chars().all(|c| {
                low.chars().next().is_none_or(|low| c >= low)
                    && high.chars().next().is_none_or(|high| c <= high)
            })
        }
        value => value.as_integer().is_none_or(|number| {
            low.parse::<i128>().is_ok_and(|low| number >= low)
                && high.parse::<i128>().is_ok_and(|high| number <= high)
        }),
    }
}

/// The arguments of a call by declared name and type, in declared order.
///
/// Errors: `INVALID_PARAMETER` for one that is unknown, given twice, answered only, or missing;
/// `TYPE`. Both name the parameter.
pub(crate) fn arguments(
    class: &Class,
    method: &Method,
    given: Vec<(Name, Value)>,
) -> Result<Vec<(Name, Value)>, Refusal> {
    let of = |name: &Name| {
        format!("{}.{}: parameter {}", class.name, method.name, super::context::shown(name.as_str()))
    };
    let wrong = |name: &Name, what: &str| Refusal::core("INVALID_PARAMETER", format!("{} {what}", of(name)));
    let inward: Vec<_> = method
        .parameters
        .iter()
        .filter(|parameter| parameter.direction != restock_cim::Direction::Out)
        .collect();
    for (place, (name, _)) in given.iter().enumerate() {
        if !inward.iter().any(|parameter| parameter.name == *name) {
            let what = if inward.is_empty() {
                "is sent, the method takes none"
            } else {
                "is not one of the method's"
            };
            return Err(wrong(name, what));
        }
        if given.iter().take(place).any(|(other, _)| other == name) {
            return Err(wrong(name, "is given twice"));
        }
    }
    let mut arguments = Vec::with_capacity(inward.len());
    for parameter in inward {
        let value = given.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value.clone());
        match value {
            None if parameter.is_optional => {}
            None => return Err(wrong(&parameter.name, "is missing")),
            Some(value) => {
                let value = of_type(&parameter.data_type, value)
                    .map_err(|error| Refusal::core("TYPE", format!("{}: {error}", of(&parameter.name))))?;
                arguments.push((parameter.name.clone(), value));
            }
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::is_within;
    use restock_cim::Value;

    #[test]
    fn ranges_bound_numbers_and_letters() {
        let number = |n| Value::Signed(n);
        assert!(is_within("0-31", &number(31)) && !is_within("0-31", &number(32)));
        assert!(is_within("-5-5", &number(-5)) && !is_within("-5-5", &number(-6)));
        let text = |t: &str| Value::String(t.to_owned());
        assert!(is_within("a-z", &text("Q")) && is_within("a-z", &text("")) && !is_within("a-z", &text("1")));
    }
}
