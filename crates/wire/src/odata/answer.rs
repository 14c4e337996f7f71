//! Answers that are no instances: method calls, and the list of classes.

use restock_cim::{Method, Name, Value};
use restock_names::Zone;

use super::time::Clock;
use super::value::{text, write};

/// Which list of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceDocument<'a> {
    /// `wmi/` with these entity sets.
    Wmi(&'a [Name]),
    /// `v1.0/`: none.
    Versioned,
}

/// The list of classes. `base`: `https://host/AdminService/wmi/`.
pub fn service_document(base: &str, document: ServiceDocument<'_>) -> String {
    let mut out = String::from("{\"@odata.context\":");
    text(&mut out, &format!("{base}$metadata"));
    out.push_str(",\"value\":[");
    let sets = match document {
        ServiceDocument::Wmi(sets) => sets,
        ServiceDocument::Versioned => &[],
    };
    for (at, name) in sets.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str("{\"name\":");
        text(&mut out, name.as_str());
        out.push_str(",\"kind\":\"EntitySet\",\"url\":");
        text(&mut out, name.as_str());
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// What a method answered: `ReturnValue` and the out-parameters.
///
/// `with_value` adds the member `value`, which generic OData clients read instead of `ReturnValue`.
pub fn method_answer(
    base: &str,
    method: &Method,
    return_value: &Value,
    out_parameters: &[(Name, Value)],
    with_value: bool,
    zone: &Zone,
) -> String {
    let mut out = String::from("{\"@odata.context\":");
    text(&mut out, &format!("{base}$metadata#__PARAMETERS"));
    let mut names = vec!["ReturnValue"];
    if with_value {
        names.push("value");
    }
    for name in names {
        out.push(',');
        text(&mut out, name);
        out.push(':');
        write(&mut out, return_value, &method.returns, Clock::Utc, zone);
    }
    for (name, value) in out_parameters {
        let Some(parameter) = method.parameters.iter().find(|p| p.name == *name) else { continue };
        out.push(',');
        text(&mut out, parameter.name.as_str());
        out.push(':');
        write(&mut out, value, &parameter.data_type, Clock::Utc, zone);
    }
    out.push('}');
    out
}
