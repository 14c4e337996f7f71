//! The namespace in which clients look for namespaces.
//!
//! Source: DSP1094 (namespace registration); DSP0004, annex F.

use std::sync::{Arc, LazyLock};

use restock_cim::{Instance, KeyValue, Keys, ObjectPath, Schema, Value};

use crate::handler::Handler;

const MOF: &str = r#"
    [Version("2.6.0"), Description("A domain in which classes and their instances are named.")]
    class CIM_Namespace {
        [Key] string SystemCreationClassName;
        [Key] string SystemName;
        [Key] string ObjectManagerCreationClassName;
        [Key] string ObjectManagerName;
        [Key] string CreationClassName;
        [Key, Description("The name, its parts parted by a slash.")] string Name;
        uint16 ClassType;
    };
"#;

/// `CIM_Namespace`.
pub(super) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::parse(&[("interop.mof", MOF)]).expect("a test reads the declaration"));
    &SCHEMA
}

/// The namespaces of this door.
pub(super) fn instances(handler: &Handler) -> Vec<Instance> {
    let Some(class) = schema().class("CIM_Namespace") else { return Vec::new() };
    let names = [handler.namespace.replace('\\', "/"), "root/sms".to_owned(), "interop".to_owned()];
    let make = |name: String| {
        let mut instance = Instance::new(Arc::clone(class));
        let text = |text: &str| Value::String(text.to_owned());
        instance.set("SystemCreationClassName", text("CIM_ComputerSystem"));
        instance.set("SystemName", text(&handler.provider.config().host));
        instance.set("ObjectManagerCreationClassName", text("CIM_ObjectManager"));
        instance.set("ObjectManagerName", text("Restock"));
        instance.set("CreationClassName", text("CIM_Namespace"));
        instance.set("Name", Value::String(name));
        // "Inherited": classes of all kinds.
        instance.set("ClassType", Value::Unsigned(2));
        instance
    };
    names.into_iter().map(make).collect()
}

/// True when a path names an instance, in any letter case.
pub(super) fn is_at(instance: &Instance, path: &ObjectPath) -> bool {
    let Keys::Named(keys) = &path.keys else { return false };
    keys.len() == instance.class.keys().count()
        && keys.iter().all(|(name, value)| match (instance.get(name.as_str()), value) {
            (Some(Value::String(own)), KeyValue::String(asked)) => own.eq_ignore_ascii_case(asked),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn the_declaration_is_read() {
        assert_eq!(schema().class("cim_namespace").map(|class| class.keys().count()), Some(6));
    }
}
