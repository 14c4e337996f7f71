//! Objects with anything in their fields: each is taken, refused or put aside, and the link goes on.

use proptest::prelude::*;

use serde_json::{Value, json};

use super::cases::{OBJECTS_1, code, say};
use super::net::{Node, join};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
    ]
}

/// Puts `with` in place of the `which`-th field of the object, its body included.
fn spoil(object: &mut Value, which: usize, with: Value) {
    let names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    let inner: Vec<String> =
        object["body"].as_object().map(|body| body.keys().cloned().collect()).unwrap_or_default();
    let place = which % (names.len() + inner.len());
    match names.get(place) {
        Some(name) => object[name] = with,
        None => object["body"][&inner[place - names.len()]] = with,
    }
}

proptest! {
    #[test]
    fn whatever_bytes_come_they_are_an_object_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200), place in 0..4_000_usize) {
        restock_sitedb::replica::fuzz_one(&bytes);
        let mut sample = OBJECTS_1.as_bytes()[2..].to_vec();
        let at = place % sample.len();
        sample.splice(at..at, bytes);
        restock_sitedb::replica::fuzz_one(&sample);
        for object in serde_json::from_str::<Vec<Value>>(OBJECTS_1).unwrap() {
            restock_sitedb::replica::fuzz_one(object.to_string().as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn no_object_holds_up_a_link(spoilt in prop::collection::vec((0..100_usize, 0..100_usize, value()), 60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (above, below) = (Node::new(code("AAA")).await, Node::new(code("BBB")).await);
            join(&above, &below).await;
            let all: Vec<Value> = serde_json::from_str(OBJECTS_1).unwrap();
            for (which, field, with) in spoilt {
                let mut object = all[which % all.len()].clone();
                spoil(&mut object, field, with);
                say(&above, &below, vec![object]).await;
            }
            // What is right is still taken.
            let mut package = all.iter().find(|object| object["kind"] == "package").unwrap().clone();
            package["key"] = json!("AAA00077");
            assert_eq!(say(&above, &below, vec![package]).await.refused, []);
            let id = "AAA00077".parse().unwrap();
            assert!(below.read(move |tx| Box::pin(tx.package(id))).await.is_some());
        });
    }
}
