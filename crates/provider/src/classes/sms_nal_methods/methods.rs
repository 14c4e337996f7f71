//! `SMS_NAL_Methods`: the parts of NAL paths, `["Q"]TYPE:["C"]\\SERVER\`.
//!
//! A NAL path is a list of display qualifiers in brackets, a type and a colon, a list of connection
//! qualifiers in brackets, and the path by which the network knows the place. Lists hold quoted
//! texts parted by commas and may be left out. Source: `SMS_NAL_Methods` of the SDK.

use restock_cim::Value;
use restock_sitedb::Tx;

use crate::Refusal;
use crate::object::{MethodAnswer, MethodContext, shown};

/// The longest NAL path in characters.
const PATH_CHARS_MAX: usize = 4_096;

/// A NAL path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    display: Vec<String>,
    kind: String,
    connection: Vec<String>,
    network: String,
}

/// Puts a NAL path together.
pub(crate) async fn pack_nal_path(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let texts = |name: &str| match call.argument(name) {
        Value::Null => Ok(Vec::new()),
        _ => call.texts(name).map(|texts| texts.into_iter().map(str::to_owned).collect()),
    };
    let parts = Parts {
        display: texts("DisplayQualifiers")?,
        kind: call.text("NALType")?.to_owned(),
        connection: texts("NetworkConnectionQualifiers")?,
        network: call.text("NetworkOSPath")?.to_owned(),
    };
    let path = pack(&parts)?;
    Ok(MethodAnswer::with(vec![("NALPath", Value::String(path))]))
}

/// Takes a NAL path apart.
pub(crate) async fn un_pack_nal_path(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let parts = unpack(call.text("NALPath")?)?;
    let list = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    Ok(MethodAnswer::with(vec![
        ("DisplayQualifiers", list(parts.display)),
        ("NALType", Value::String(parts.kind)),
        ("NetworkOSPath", Value::String(parts.network)),
        ("NetworkConnectionQualifiers", list(parts.connection)),
    ]))
}

fn invalid(what: &str) -> Refusal {
    Refusal::provider("NAL_PATH_INVALID", what.to_owned())
}

fn pack(parts: &Parts) -> Result<String, Refusal> {
    let is_kind =
        !parts.kind.is_empty() && parts.kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_kind {
        return Err(invalid(&format!(
            "{} is no type of a NAL path: letters and digits are wanted",
            shown(&parts.kind)
        )));
    }
    let list = |texts: &[String]| -> Result<String, Refusal> {
        if texts.is_empty() {
            return Ok(String::new());
        }
        if let Some(text) = texts.iter().find(|text| text.contains(['"', '\n', '\r'])) {
            return Err(invalid(&format!("the qualifier {} holds a quote or a line break", shown(text))));
        }
        let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        Ok(format!("[{}]", quoted.join(",")))
    };
    if parts.network.is_empty() || parts.network.chars().any(char::is_control) {
        return Err(invalid("NetworkOSPath is empty or holds control characters"));
    }
    let path =
        format!("{}{}:{}{}", list(&parts.display)?, parts.kind, list(&parts.connection)?, parts.network);
    if path.chars().count() > PATH_CHARS_MAX {
        return Err(invalid(&format!("a NAL path has at most {PATH_CHARS_MAX} characters")));
    }
    Ok(path)
}

fn unpack(text: &str) -> Result<Parts, Refusal> {
    let wrong = || invalid(&format!("{} is not of the form [\"…\"]TYPE:[\"…\"]\\\\SERVER\\", shown(text)));
    if text.chars().count() > PATH_CHARS_MAX {
        return Err(invalid(&format!("a NAL path has at most {PATH_CHARS_MAX} characters")));
    }
    let (display, rest) = qualifiers(text).ok_or_else(wrong)?;
    let (kind, rest) = rest.split_once(':').ok_or_else(wrong)?;
    let (connection, network) = qualifiers(rest).ok_or_else(wrong)?;
    let parts = Parts { display, kind: kind.to_owned(), connection, network: network.to_owned() };
    // Whatever can be put together again is well formed.
    pack(&parts).map_err(|_unfit| wrong())?;
    Ok(parts)
}

/// A list of quoted texts in brackets at the beginning, and what follows it.
fn qualifiers(text: &str) -> Option<(Vec<String>, &str)> {
    let Some(mut rest) = text.strip_prefix('[') else { return Some((Vec::new(), text)) };
    let mut texts = Vec::new();
    loop {
        rest = rest.trim_start().strip_prefix('"')?;
        let (quoted, after) = rest.split_once('"')?;
        texts.push(quoted.to_owned());
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((texts, rest.strip_prefix(']')?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{Parts, pack, unpack};

    #[test]
    fn the_golden_nal_path_is_taken_apart_and_put_together() {
        let text = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
        let parts = unpack(text).expect("well formed");
        assert_eq!(parts.display, [r"Display=\\DP01\"]);
        assert_eq!((parts.kind.as_str(), parts.network.as_str()), ("MSWNET", r"\\DP01\"));
        assert_eq!(parts.connection, ["SMS_SITE=XYZ"]);
        assert_eq!(pack(&parts).expect("well formed"), text);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in r#"[\[\]",:\\A-Za-z=]{0,60}"#) {
            if let Ok(parts) = unpack(&text) {
                let packed = pack(&parts).expect("what was taken apart is well formed");
                prop_assert_eq!(unpack(&packed).ok(), Some(parts));
            }
        }
    }

    #[test]
    fn what_is_no_nal_path_is_refused() {
        for text in ["", "DP01", "[\"a\"", "[a]MSWNET:x", ":x", "MSWNET:", "[\"a\"]:x", "[]MSWNET:x"] {
            assert!(unpack(text).is_err(), "{text}");
        }
        let parts = Parts {
            display: vec!["a\"b".to_owned()],
            kind: "MSWNET".to_owned(),
            connection: Vec::new(),
            network: "x".to_owned(),
        };
        assert!(pack(&parts).is_err());
    }
}
