//! Whatever bytes come, the decoders answer.

use proptest::prelude::*;
use restock_wire::odata::{fuzz_body, fuzz_path};

use crate::SCHEMA;

/// Text that looks like a body more often than random bytes do.
fn bodies() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("Name"),
        Just("Priority"),
        Just("Big"),
        Just("Icon"),
        Just("Seen"),
        Just("RefreshSchedule"),
        Just("@odata.type"),
        Just("IsGMT"),
        Just("StartTime"),
        Just("__PATH"),
        Just("SiteCode"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("\"#AdminService.SMS_ST_RecurWeekly\"".to_owned()),
        Just("\"2026-07-01T12:00:00Z\"".to_owned()),
        any::<i128>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        ".{0,8}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in bodies()) {
        fuzz_body(&SCHEMA, body.as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_body(&SCHEMA, &bytes);
        fuzz_path(&bytes);
    }

    #[test]
    fn any_path_is_read_or_refused(path in "[A-Za-z_%0-9(),=/$.']{0,60}") {
        fuzz_path(path.as_bytes());
    }
}
