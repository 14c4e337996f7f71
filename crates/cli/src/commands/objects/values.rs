//! `NAME=VALUE` on the command line as JSON, by the declarations.

use restock_cim::{CimType, Class, DataType, Direction, ObjectPath};
use restock_provider::classes::declarations::schema;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::output::shown;

/// Properties of the class of `path`. What is not declared is sent as text, and the site refuses it.
pub(super) fn of_object(path: &str, words: &[String]) -> Result<Map<String, Value>, Failure> {
    let class = class_of(path);
    values(words, |name| Some(class?.property(name)?.data_type.clone()))
}

/// Parameters of a method of the class of `path`.
pub(super) fn of_call(path: &str, method: &str, words: &[String]) -> Result<Map<String, Value>, Failure> {
    let method = class_of(path).and_then(|class| class.method(method));
    values(words, |name| {
        let mut parameters = method?.parameters.iter();
        let found = parameters.find(|p| p.name.is(name) && p.direction != Direction::Out)?;
        Some(found.data_type.clone())
    })
}

fn class_of(path: &str) -> Option<&'static Class> {
    let path: ObjectPath = path.parse().ok()?;
    schema().class(path.class.as_str()).map(|class| &**class)
}

fn values(
    words: &[String],
    declared: impl Fn(&str) -> Option<DataType>,
) -> Result<Map<String, Value>, Failure> {
    let mut values: Map<String, Value> = Map::new();
    for word in words {
        let Some((name, text)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let failure = Failure::usage(format!("{} is not NAME=VALUE", shown(word)));
            return Err(failure.hint("NAME= gives an empty text"));
        };
        let value = value(name, text, declared(name).as_ref())?;
        let key = values.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        match key.and_then(|key| values.get_mut(&key)) {
            None => {
                values.insert(name.to_owned(), value);
            }
            Some(Value::Array(items)) => match value {
                Value::Array(more) => items.extend(more),
                one => items.push(one),
            },
            Some(_) => return Err(Failure::usage(format!("{} is given twice and is no array", shown(name)))),
        }
    }
    Ok(values)
}

/// One value by its declared type. A text that does not fit is sent as it is: the site says why.
fn value(name: &str, text: &str, declared: Option<&DataType>) -> Result<Value, Failure> {
    let Some(declared) = declared else { return Ok(Value::String(text.to_owned())) };
    if text == "null" && (declared.is_array || declared.cim != CimType::String) {
        return Ok(Value::Null);
    }
    if declared.is_array && text.starts_with('[') || declared.cim == CimType::Object {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(items)) => return Ok(Value::Array(items)),
            Ok(one) if declared.is_array => return Ok(Value::Array(vec![one])),
            Ok(one) => return Ok(one),
            // A NAL path is a text that begins like an array.
            Err(_) if declared.cim == CimType::String => {}
            Err(error) => {
                let failure = format!("TYPE: {} wants {declared} as JSON: {error}", shown(name));
                return Err(Failure::usage(failure));
            }
        }
    }
    if declared.is_array && declared.cim == CimType::UInt8 {
        // Bytes are base64 text.
        return Ok(Value::String(text.to_owned()));
    }
    let one = plain(text, declared.cim);
    Ok(if declared.is_array { Value::Array(vec![one]) } else { one })
}

fn plain(text: &str, cim: CimType) -> Value {
    let as_text = || Value::String(text.to_owned());
    match cim {
        CimType::Boolean if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        CimType::Boolean if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        CimType::String | CimType::DateTime | CimType::Reference | CimType::Char16 | CimType::Boolean => {
            as_text()
        }
        CimType::Real32 | CimType::Real64 => text.parse::<f64>().map_or_else(|_| as_text(), Value::from),
        _ => match (number::<u64>(text), text.parse::<i64>()) {
            (Some(number), _) => Value::from(number),
            (None, Ok(number)) => Value::from(number),
            (None, Err(_)) => as_text(),
        },
    }
}

/// Decimal, or hexadecimal after `0x`.
fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    T::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{of_call, of_object};

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[track_caller]
    fn check(given: &[&str], expected: Value) {
        assert_eq!(Value::Object(of_object("SMS_Package", &words(given)).unwrap()), expected);
    }

    #[test]
    fn values_get_their_types_from_the_class() {
        check(&["Name=2", "PkgSourceFlag=2"], json!({"Name": "2", "PkgSourceFlag": 2}));
        check(&["pkgflags=0x1000000", "Name=a=b"], json!({"pkgflags": 16_777_216, "Name": "a=b"}));
        check(
            &["RefreshPkgSourceFlag=TRUE", "Description="],
            json!({"RefreshPkgSourceFlag": true, "Description": ""}),
        );
        check(&["RefreshSchedule=[]"], json!({"RefreshSchedule": []}));
        check(&["RefreshSchedule={\"DaySpan\":1}"], json!({"RefreshSchedule": [{"DaySpan": 1}]}));
        check(&["Priority=high", "Nonsense=1"], json!({"Priority": "high", "Nonsense": "1"}));
        check(&["Priority=null", "Name=null"], json!({"Priority": null, "Name": "null"}));
    }

    #[test]
    fn a_nal_path_is_no_array() {
        let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
        let given = words(&[&format!("NALPath={nal}"), "SiteCode=[\"XYZ\"]"]);
        let values = of_call("SMS_Package", "AddDistributionPoints", &given).unwrap();
        assert_eq!(Value::Object(values), json!({"SiteCode": ["XYZ"], "NALPath": [nal]}));
    }

    #[test]
    fn a_repeated_parameter_is_an_array() {
        let given = words(&["SiteCode=XYZ", "NALPath=a", "sitecode=XYZ", "NALPath=b"]);
        let values = of_call("SMS_Package", "AddDistributionPoints", &given).unwrap();
        assert_eq!(Value::Object(values), json!({"SiteCode": ["XYZ", "XYZ"], "NALPath": ["a", "b"]}));
        let twice = of_object("SMS_Package", &words(&["Name=a", "Name=b"])).unwrap_err();
        assert_eq!(twice.message, "Name is given twice and is no array");
        assert!(of_object("SMS_Package", &words(&["=1"])).is_err());
        assert!(of_object("SMS_Package", &words(&["Name"])).is_err());
    }
}
