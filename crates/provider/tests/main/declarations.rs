//! Every declared class beside the published schema, both ways, and beside another MOF compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use restock_cim::{CimType, DataType, Direction, Value};
use restock_provider::classes::declarations::{TEXTS, schema};
use serde_json::Value as Json;

/// The classes as Microsoft's reference pages give them, one JSON object by class name.
fn published() -> serde_json::Map<String, Json> {
    let text = include_str!("../schema.json");
    let json: Json = serde_json::from_str(text).unwrap();
    json["classes"].as_object().unwrap().clone()
}

/// The published spelling of a type.
fn shown(data_type: &DataType) -> String {
    let class = data_type.class.as_ref().map_or("", |class| class.as_str());
    match data_type.cim {
        CimType::Boolean => "Boolean".to_owned(),
        CimType::String => "String".to_owned(),
        CimType::DateTime => "DateTime".to_owned(),
        CimType::Reference => format!("ref:{class}"),
        CimType::Object => class.to_owned(),
        other => {
            let (kind, bits) = other.mof().split_once("int").unwrap();
            format!("{}Int{bits}", kind.to_uppercase())
        }
    }
}

fn flag(json: &Json, name: &str) -> bool {
    json[name].as_bool().unwrap_or(false)
}

fn text<'j>(json: &'j Json, name: &str) -> &'j str {
    json[name].as_str().unwrap_or_default()
}

#[test]
fn every_published_class_is_declared_and_no_other() {
    let declared: BTreeSet<String> = schema().classes().map(|c| c.name.to_string()).collect();
    let published: BTreeSet<String> = published().keys().cloned().collect();
    assert_eq!(declared, published);
    assert_eq!(published.len(), 101);
}

#[test]
fn every_class_has_its_published_superclass_tier_and_qualifiers() {
    for (name, class) in published() {
        let found = schema().class(&name).unwrap();
        let superclass = found.derivation.first().map(ToString::to_string);
        assert_eq!(superclass.as_deref(), class["superclass"].as_str(), "{name}");
        assert_eq!(found.qualifier("Tier"), Some(&Value::String(text(&class, "tier").into())), "{name}");
        let said: Vec<&str> =
            class["class_qualifiers"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        for word in ["Abstract", "Association", "Embedded", "Secured", "Read"] {
            let published = said.iter().any(|q| q.starts_with(word));
            assert_eq!(found.has(word), published, "{name} [{word}]");
        }
    }
}

#[test]
fn every_property_is_the_published_one() {
    for (name, class) in published() {
        let found = schema().class(&name).unwrap();
        let mut wanted = BTreeMap::new();
        for property in class["properties"].as_array().unwrap() {
            wanted.insert(text(property, "name").to_owned(), property.clone());
        }
        let names: BTreeSet<&str> = found.properties.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, wanted.keys().map(String::as_str).collect::<BTreeSet<_>>(), "{name}");
        for property in &found.properties {
            let place = format!("{name}.{}", property.name);
            let published = &wanted[property.name.as_str()];
            assert_eq!(shown(&property.data_type), text(published, "type"), "{place}");
            assert_eq!(property.data_type.is_array, flag(published, "is_array"), "{place}");
            assert_eq!(property.is_key(), flag(published, "key"), "{place}");
            assert_eq!(property.is_lazy(), flag(published, "lazy"), "{place}");
            let qualifiers = published["qualifiers"].as_array().unwrap();
            let is_read =
                qualifiers.iter().any(|q| q.as_str().is_some_and(|q| q.eq_ignore_ascii_case("read")));
            let is_read_only = text(published, "access") == "Read-only" || is_read;
            assert_eq!(property.is_read_only(), is_read_only, "{place}");
            if let (Some(default), false) = (published["default"].as_str(), property.data_type.is_array) {
                assert_eq!(default_shown(&property.default, default), default, "{place}");
            }
        }
    }
}

/// The default in the published form, which names some numbers: `ACTIVE (1)`.
fn default_shown(value: &Value, published: &str) -> String {
    let number = |n: &dyn std::fmt::Display| match published.split_once(" (") {
        Some((name, _)) => format!("{name} ({n})"),
        None => n.to_string(),
    };
    match value {
        Value::Boolean(is) => is.to_string(),
        Value::Unsigned(n) => number(n),
        Value::Signed(n) => number(n),
        Value::String(text) => text.clone(),
        Value::DateTime(time) => time.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_method_and_parameter_is_the_published_one() {
    for (name, class) in published() {
        let found = schema().class(&name).unwrap();
        let published: Vec<&Json> = class["methods"].as_array().into_iter().flatten().collect();
        let own: BTreeSet<&str> = published.iter().map(|m| text(m, "name")).collect();
        assert_eq!(found.methods.iter().map(|m| m.name.as_str()).collect::<BTreeSet<_>>(), own, "{name}");
        for method in published {
            let place = format!("{name}.{}", text(method, "name"));
            let declared = found.method(text(method, "name")).unwrap();
            assert_eq!(shown(&declared.returns), text(method, "return_type"), "{place}");
            assert_eq!(declared.is_static, flag(method, "static"), "{place}");
            let parameters = method["params"].as_array().unwrap();
            assert_eq!(declared.parameters.len(), parameters.len(), "{place}");
            for (declared, published) in declared.parameters.iter().zip(parameters) {
                let place = format!("{place}({})", declared.name);
                assert_eq!(declared.name.as_str(), text(published, "name"), "{place}");
                let mark = if flag(published, "is_ref") { "ref:" } else { "" };
                let wanted = format!("{mark}{}", text(published, "type"));
                assert_eq!(shown(&declared.data_type), wanted, "{place}");
                assert_eq!(declared.data_type.is_array, flag(published, "is_array"), "{place}");
                assert_eq!(declared.is_optional, flag(published, "optional"), "{place}");
                let direction = match declared.direction {
                    Direction::In => "in",
                    Direction::Out => "out",
                    Direction::InOut => "in/out",
                };
                assert_eq!(direction, published["direction"].as_str().unwrap_or("in"), "{place}");
            }
        }
    }
}

#[test]
fn no_name_is_longer_than_postgresql_keeps() {
    for class in schema().classes() {
        let names = class.properties.iter().map(|p| &p.name).chain([&class.name]);
        for name in names {
            assert!(name.as_str().len() <= 63, "{name}");
        }
    }
}

#[test]
fn the_declarations_compile_with_another_mof_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = match std::env::var_os("RESTOCK_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => root.join(".venv/bin/python3"),
    };
    let all: String = TEXTS.iter().map(|(_, text)| *text).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.mof");
    std::fs::write(&file, all).unwrap();
    let script = "import sys, pywbem
repo = pywbem.MOFWBEMConnection()
compiler = pywbem.MOFCompiler(repo, verbose=False, log_func=None)
compiler.compile_file(sys.argv[1], 'root/test')
print('\\n'.join(sorted(repo.classes['root/test'].keys())))";
    let done = Command::new(python).args(["-c", script]).arg(&file).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let compiled = String::from_utf8(done.stdout).unwrap().to_lowercase();
    let compiled: BTreeSet<&str> = compiled.lines().collect();
    let declared: Vec<String> = schema().classes().map(|c| c.name.as_str().to_lowercase()).collect();
    assert_eq!(compiled, declared.iter().map(String::as_str).collect());
}
