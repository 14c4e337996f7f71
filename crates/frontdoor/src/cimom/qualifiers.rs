//! Declarations of qualifiers, as they are used in the classes.
//!
//! The declarations say of a qualifier its type and where it may stand; both are read off the
//! classes that carry it. Source: DSP0200, 5.3.2.16 and 5.3.2.17; DSP0201, 5.2.4.11.

use std::collections::BTreeMap;

use restock_cim::{CimType, Class, Name, Qualifier, Schema, Value};
use restock_wire::cimxml::{CimCode, Intrinsic};
use restock_wire::xml::Writer;

use super::fault::Fault;
use super::read::required;
use super::{Operation, Space, interop};
use crate::content::Content;

/// Where a qualifier may stand, in the order of the standard.
const SCOPES: [&str; 6] = ["CLASS", "ASSOCIATION", "REFERENCE", "PROPERTY", "METHOD", "PARAMETER"];

/// What the classes say of a qualifier.
#[derive(Debug)]
struct Declared {
    name: Name,
    kind: &'static str,
    is_array: bool,
    /// One for each of [`SCOPES`].
    scopes: [bool; 6],
}

impl Operation<'_> {
    pub(super) fn get_qualifier(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["QualifierName"])?;
        let name = required(call.text("QualifierName")?, "QualifierName")?;
        let all = declared(self.schema());
        let found = all.get(&Name::from(name.trim())).ok_or_else(|| {
            let short: String = name.chars().take(100).collect();
            Fault::new(CimCode::NotFound, "NOT_FOUND", format!("no qualifier {short} is declared"))
        })?;
        Ok(self.qualifiers([found]))
    }

    pub(super) fn enumerate_qualifiers(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&[])?;
        let all = declared(self.schema());
        Ok(self.qualifiers(all.values()))
    }

    fn qualifiers<'d>(&self, all: impl IntoIterator<Item = &'d Declared>) -> Content {
        let mut reply = self.reply();
        reply.begin_values();
        for declared in all {
            declared.write(reply.writer());
        }
        Content::Text(reply.finish().into())
    }

    fn schema(&self) -> &'static Schema {
        match self.space {
            Space::Interop => interop::schema(),
            Space::Site | Space::Locator => self.handler.provider.schema(),
        }
    }
}

impl Declared {
    fn write(&self, writer: &mut Writer) {
        writer.open("QUALIFIER.DECLARATION");
        writer.attribute("NAME", self.name.as_str());
        writer.attribute("TYPE", self.kind);
        writer.attribute("ISARRAY", if self.is_array { "true" } else { "false" });
        writer.open("SCOPE");
        for (scope, is_used) in SCOPES.iter().zip(self.scopes) {
            if is_used {
                writer.attribute(scope, "true");
            }
        }
        writer.close();
        writer.close();
    }
}

fn declared(schema: &Schema) -> BTreeMap<Name, Declared> {
    let mut all = BTreeMap::new();
    for class in schema.classes() {
        of_class(class, &mut |qualifier, scope| add(&mut all, qualifier, scope));
    }
    all
}

/// Every qualifier of a class with the place in [`SCOPES`] of what it stands on.
fn of_class(class: &Class, found: &mut dyn FnMut(&Qualifier, usize)) {
    let own = usize::from(class.has("Association"));
    class.qualifiers.iter().for_each(|qualifier| found(qualifier, own));
    for property in &class.properties {
        let scope = if property.data_type.cim == CimType::Reference { 2 } else { 3 };
        property.qualifiers.iter().for_each(|qualifier| found(qualifier, scope));
    }
    for method in &class.methods {
        method.qualifiers.iter().for_each(|qualifier| found(qualifier, 4));
        for parameter in &method.parameters {
            let flags = [("In", true), ("Out", true), ("Optional", parameter.is_optional)];
            for (name, _) in flags.into_iter().filter(|(_, is_used)| *is_used) {
                found(&Qualifier { name: name.into(), value: Value::Boolean(true) }, 5);
            }
            if parameter.data_type.cim == CimType::Object {
                let value = Value::String(String::new());
                found(&Qualifier { name: "EmbeddedInstance".into(), value }, 5);
            }
        }
    }
}

fn add(all: &mut BTreeMap<Name, Declared>, qualifier: &Qualifier, scope: usize) {
    let of = |value: &Value| match value {
        Value::Boolean(_) => "boolean",
        Value::Unsigned(_) => "uint64",
        Value::Signed(_) => "sint64",
        Value::Real(_) => "real64",
        _ => "string",
    };
    let declared = all.entry(qualifier.name.clone()).or_insert_with(|| Declared {
        name: qualifier.name.clone(),
        kind: match &qualifier.value {
            Value::Array(items) => items.first().map_or("string", of),
            value => of(value),
        },
        is_array: matches!(qualifier.value, Value::Array(_)),
        scopes: [false; 6],
    });
    if let Some(is_used) = declared.scopes.get_mut(scope) {
        *is_used = true;
    }
}

#[cfg(test)]
mod tests {
    use restock_cim::Schema;

    use super::{SCOPES, declared};

    #[test]
    fn a_qualifier_may_stand_where_the_classes_use_it() {
        let mof = r#"
            [Description("a")] class A { [Key] string ID; [Values{"x"}] uint32 V; uint32 Do([in, optional] string X); };
            [Association, EqualOn{"a.ID", "b.ID"}] class AB { [Key] A REF a; [Key] A REF b; };
        "#;
        let schema = Schema::parse(&[("test.mof", mof)]).expect("the test's own MOF");
        let all: Vec<String> = declared(&schema)
            .values()
            .map(|found| {
                let scopes: Vec<&str> =
                    SCOPES.iter().zip(found.scopes).filter(|(_, is)| *is).map(|(scope, _)| *scope).collect();
                let array = if found.is_array { "[]" } else { "" };
                format!("{} {}{array} {}", found.name, found.kind, scopes.join("+"))
            })
            .collect();
        assert_eq!(
            all,
            [
                "Association boolean ASSOCIATION",
                "Description string CLASS",
                "EqualOn string[] ASSOCIATION",
                "In boolean PARAMETER",
                "Key boolean REFERENCE+PROPERTY",
                "Optional boolean PARAMETER",
                "Out boolean PARAMETER",
                "Values string[] PROPERTY",
            ]
        );
    }
}
