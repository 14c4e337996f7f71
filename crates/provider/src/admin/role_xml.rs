//! Roles as files: the XML that Configuration Manager's consoles export and import.
//!
//! `<SMS_Roles><SMS_Role CopiedFromID="" RoleName="" RoleDescription=""><Operations><Operation
//! GrantedOperations="" ObjectTypeID=""/>…`. Elements and attributes that are not known are passed
//! over; a document type declaration is refused before anything else is looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};

/// The longest file in bytes.
const BYTES_MAX: usize = 512 * 1_024;
/// Roles in one file at most.
const ROLES_MAX: usize = 100;
/// Elements within each other at most.
const DEPTH_MAX: usize = 16;
/// Elements at most.
const ELEMENTS_MAX: usize = 10_000;

/// A role as a file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RoleText {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) copied_from: String,
    pub(crate) operations: BTreeMap<u32, u32>,
}

/// Why a text is no file of roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no file of roles: {0}")]
pub(crate) struct RoleXmlError(String);

fn wrong(what: impl Into<String>) -> RoleXmlError {
    RoleXmlError(what.into())
}

/// Reads the roles of a file; at least one.
///
/// Limits: 512 KiB, 100 roles, 10,000 elements, 16 within each other.
pub(crate) fn parse(text: &str) -> Result<Vec<RoleText>, RoleXmlError> {
    if text.len() > BYTES_MAX {
        return Err(wrong(format!("it has {} bytes, at most {BYTES_MAX} are read", text.len())));
    }
    let text = text.trim_start_matches('\u{feff}');
    if text.to_ascii_uppercase().contains("<!DOCTYPE") {
        return Err(wrong("it has a document type declaration"));
    }
    let mut reader = Reader::from_str(text);
    let (mut path, mut elements): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let mut roles: Vec<RoleText> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|error| wrong(format!("the XML is broken: {error}")))?;
        let (start, is_empty) = match &event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::DocType(_) => return Err(wrong("it has a document type declaration")),
            Event::Eof => break,
            _ => continue,
        };
        elements += 1;
        if elements > ELEMENTS_MAX || path.len() >= DEPTH_MAX {
            return Err(wrong("it has too many elements, or too many within each other"));
        }
        path.push(start.local_name().as_ref().to_vec());
        let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match names.as_slice() {
            [b"SMS_Roles", b"SMS_Role"] => {
                if roles.len() == ROLES_MAX {
                    return Err(wrong(format!("it has more than {ROLES_MAX} roles")));
                }
                roles.push(role(start)?);
            }
            [b"SMS_Roles", b"SMS_Role", b"Operations", b"Operation"] => {
                let role = roles.last_mut().ok_or_else(|| wrong("an operation stands outside a role"))?;
                let (object_type, bits) = operation(start)?;
                *role.operations.entry(object_type).or_default() |= bits;
            }
            [root] if root != b"SMS_Roles" => return Err(wrong("its root element is not SMS_Roles")),
            _ => {}
        }
        if is_empty {
            path.pop();
        }
    }
    if !path.is_empty() {
        return Err(wrong("it ends within an element"));
    }
    if roles.is_empty() {
        return Err(wrong("it has no role"));
    }
    Ok(roles)
}

fn role(start: &BytesStart<'_>) -> Result<RoleText, RoleXmlError> {
    let mut role = RoleText::default();
    for (name, value) in attributes(start)? {
        match name.as_str() {
            "RoleName" => role.name = value,
            "RoleDescription" => role.description = value,
            "CopiedFromID" => role.copied_from = value,
            _ => {}
        }
    }
    if role.name.is_empty() { Err(wrong("a role has no RoleName")) } else { Ok(role) }
}

fn operation(start: &BytesStart<'_>) -> Result<(u32, u32), RoleXmlError> {
    let (mut object_type, mut bits) = (None, None);
    for (name, value) in attributes(start)? {
        // Some tools write the highest bit as a sign.
        let number = value.parse::<i64>().ok();
        let number = number.and_then(|number| {
            u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
        });
        match name.as_str() {
            "ObjectTypeID" => object_type = number,
            "GrantedOperations" => bits = number,
            _ => {}
        }
    }
    match (object_type, bits) {
        (Some(object_type), Some(bits)) => Ok((object_type, bits)),
        _ => Err(wrong("an operation wants ObjectTypeID and GrantedOperations, both whole numbers")),
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, RoleXmlError> {
    let attribute = |found: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
        let found = found.map_err(|error| wrong(format!("an attribute is broken: {error}")))?;
        let name = String::from_utf8_lossy(found.key.local_name().as_ref()).into_owned();
        let raw = std::str::from_utf8(&found.value).map_err(|error| wrong(error.to_string()))?;
        let value = quick_xml::escape::unescape(raw)
            .map_err(|error| wrong(format!("an attribute is broken: {error}")))?;
        Ok((name, value.into_owned()))
    };
    start.attributes().map(attribute).collect()
}

/// Writes roles as a file.
pub(crate) fn write(roles: &[RoleText]) -> String {
    let mut text = String::from("<SMS_Roles>\n");
    for role in roles {
        let (name, description) = (attribute_text(&role.name), attribute_text(&role.description));
        writeln!(
            text,
            "  <SMS_Role CopiedFromID=\"{}\" RoleName=\"{name}\" RoleDescription=\"{description}\">\n    <Operations>",
            attribute_text(&role.copied_from)
        )
        .expect("a String takes all text");
        for (object_type, bits) in &role.operations {
            writeln!(text, "      <Operation GrantedOperations=\"{bits}\" ObjectTypeID=\"{object_type}\"/>")
                .expect("a String takes all text");
        }
        text.push_str("    </Operations>\n  </SMS_Role>\n");
    }
    text.push_str("</SMS_Roles>\n");
    text
}

fn attribute_text(text: &str) -> String {
    // A line break in an attribute would be read as a space.
    escape(text).replace('\n', "&#10;")
}

/// Reads any bytes; for tests that look for panics.
#[cfg(test)]
pub(crate) fn fuzz_one(bytes: &[u8]) {
    if let Ok(roles) = parse(&String::from_utf8_lossy(bytes)) {
        let again = parse(&write(&roles));
        assert_eq!(again.as_ref(), Ok(&roles), "what was read can be written");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RoleText, fuzz_one, parse, write};

    const EXPORTED: &str = r#"<SMS_Roles>
  <SMS_Role CopiedFromID="SMS0009R" RoleName="Package team &amp; co" RoleDescription="Makes &quot;packages&quot;">
    <Operations>
      <Operation GrantedOperations="805446679" ObjectTypeID="2" />
      <Operation GrantedOperations="1" ObjectTypeID="6"/><Operation GrantedOperations="-1" ObjectTypeID="31"/>
    </Operations>
  </SMS_Role>
</SMS_Roles>"#;

    #[test]
    fn an_exported_role_is_read() {
        let roles = parse(EXPORTED).unwrap();
        assert_eq!(
            roles,
            [RoleText {
                name: "Package team & co".to_owned(),
                description: "Makes \"packages\"".to_owned(),
                copied_from: "SMS0009R".to_owned(),
                operations: [(2, 805_446_679), (6, 1), (31, u32::MAX)].into(),
            }]
        );
    }

    #[test]
    fn what_is_no_file_of_roles_is_refused_by_name() {
        let cases = [
            ("", "no role"),
            ("<SMS_Roles/>", "no role"),
            ("<Roles><SMS_Role RoleName='x'/></Roles>", "root element"),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><SMS_Roles/>", "document type"),
            ("<SMS_Roles><SMS_Role RoleName=''/></SMS_Roles>", "RoleName"),
            ("<SMS_Roles><SMS_Role RoleName='x'>", "ends within"),
            (
                "<SMS_Roles><SMS_Role RoleName='x'><Operations><Operation ObjectTypeID='two'/></Operations></SMS_Role></SMS_Roles>",
                "whole numbers",
            ),
        ];
        for (text, why) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = format!("{}{}", "<SMS_Roles>".repeat(20), "</SMS_Roles>".repeat(20));
        assert!(parse(&deep).unwrap_err().to_string().contains("within each other"));
    }

    proptest! {
        #[test]
        fn written_roles_are_read_again(
            name in "[ -~äß<>&\"']{0,40}[a-z]", description in "[ -~\n]{0,40}",
            operations in prop::collection::btree_map(any::<u32>(), any::<u32>(), 0..20),
        ) {
            let roles = vec![RoleText { name, description, copied_from: "SMS0001R".to_owned(), operations }];
            prop_assert_eq!(parse(&write(&roles)), Ok(roles));
        }

        #[test]
        fn any_text_is_read_or_refused(text in r#"(<|/|>|SMS_Roles?|Operations?| RoleName="x"|ObjectTypeID='1'|&amp;|.){0,60}"#) {
            fuzz_one(text.as_bytes());
            fuzz_one(&[b"<SMS_Roles><SMS_Role RoleName='x'>", text.as_bytes(), b"</SMS_Role></SMS_Roles>"].concat());
        }
    }
}
