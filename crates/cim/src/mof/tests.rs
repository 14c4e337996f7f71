use proptest::prelude::*;

use crate::{CimType, Direction, Schema, Value};

const TEXT: &str = r#"
// Qualifiers.
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride);
[Abstract]
class A
{
    [Key, SizeLimit("8")] string Id = "";
    [Read] uint32 Count = 7;
    uint8 Data[];
};
[Secured, Tier("fir" "st")]
class B : A
{
    [Override("Count")] uint32 Count = 9; /* wider */
    [EmbeddedInstance("A"), Lazy] string Parts[];
    A REF owner;
    [Values{"no", "yes"}] sint16 State = -1;
    [Static] sint32 Do([In] string Names[], [In(false), Out] boolean Done, [In, Out, Optional] uint64 N);
};
"#;

#[test]
fn members_are_inherited_overridden_and_sorted() {
    let schema = Schema::parse(&[("t.mof", TEXT)]).expect("the text is right");
    let b = schema.class("b").expect("B is there in any case");
    let names: Vec<&str> = b.properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Count", "Data", "Id", "owner", "Parts", "State"]);
    let count = b.property("count").expect("Count");
    assert_eq!((count.default.clone(), count.is_read_only()), (Value::Unsigned(9), false));
    assert!(b.property("Id").expect("Id").is_key());
    assert_eq!(b.property("State").expect("State").default, Value::Signed(-1));
    let parts = &b.property("Parts").expect("Parts").data_type;
    assert_eq!((parts.cim, parts.is_array, parts.to_string()), (CimType::Object, true, "object:A[]".into()));
    assert_eq!(b.qualifier("Tier"), Some(&Value::String("first".into())));
    assert!(b.is_a("a") && schema.subclasses("A").count() == 1);
    let method = b.method("do").expect("Do");
    assert!(method.is_static);
    let directions: Vec<Direction> = method.parameters.iter().map(|p| p.direction).collect();
    assert_eq!(directions, [Direction::In, Direction::Out, Direction::InOut]);
    assert!(method.parameters[2].is_optional);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, message) in [
        ("class A\n{ string X; string x; };", "t.mof:2: A.x is declared twice"),
        ("class A : B { };", "t.mof:1: superclass B is not declared before"),
        ("class A { };\nclass a { };", "t.mof:2: class a is declared twice"),
        ("class A { uint8 X = 256; };", "t.mof:1: default of X: 256 is no uint8"),
        ("class A { string X };", "t.mof:1: ';' is wanted, not '}'"),
        ("class A { blob X; };", "t.mof:1: blob is no type; a class in that place wants REF after it"),
        ("class A { string X; };\nclass B : A { string X; };", "t.mof:2: X overrides A without Override"),
        (
            "class A { [EmbeddedInstance(\"Z\")] string X; };",
            "schema:0: class A speaks of Z, which is not declared",
        ),
        ("class A { string X = \"a", "t.mof:1: a text does not end"),
        ("instance of A { };", "t.mof:1: \"class\" is wanted, not \"instance\""),
        ("/* x", "t.mof:1: a comment does not end"),
    ] {
        let error = Schema::parse(&[("t.mof", text)]).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        super::fuzz_one(&bytes);
    }

    #[test]
    fn no_cut_and_no_changed_character_makes_the_reader_panic(at in 0..TEXT.len(), other in "[{}()\\[\\]\"=;:a1 ]") {
        let mut text = TEXT.to_owned();
        text.truncate(at);
        super::fuzz_one(text.as_bytes());
        text.push_str(&other);
        text.push_str(TEXT.get(at + 1..).unwrap_or_default());
        super::fuzz_one(text.as_bytes());
    }
}
