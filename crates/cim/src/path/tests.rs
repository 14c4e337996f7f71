use proptest::prelude::*;

use super::{KeyValue, Keys, ObjectPath, fuzz_one};

const NAL: &str = "[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\";

fn read(text: &str) -> ObjectPath {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_golden_strings_are_printed_byte_for_byte() {
    let package = ObjectPath::of_instance(
        "SMS_Package",
        vec![("PackageID".into(), KeyValue::String("XYZ00001".into()))],
    );
    assert_eq!(package.to_string(), r#"SMS_Package.PackageID="XYZ00001""#);
    let full = package.clone().within("HOST", r"root\sms\site_XYZ");
    assert_eq!(full.to_string(), r#"\\HOST\root\sms\site_XYZ:SMS_Package.PackageID="XYZ00001""#);
    assert_eq!(read(&full.to_string()), full);
    assert_eq!(full.relative(), package);

    let point = ObjectPath::of_instance(
        "SMS_DistributionPoint",
        vec![
            ("PackageID".into(), KeyValue::String("XYZ00001".into())),
            ("ServerNALPath".into(), KeyValue::String(NAL.into())),
            ("SiteCode".into(), KeyValue::String("XYZ".into())),
        ],
    );
    let golden = r#"SMS_DistributionPoint.PackageID="XYZ00001",ServerNALPath="[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\",SiteCode="XYZ""#;
    assert_eq!(point.to_string(), golden);
    assert_eq!(read(golden), point);
}

#[test]
fn forms_that_scripts_write_are_read() {
    let id = |text: &str| KeyValue::String(text.into());
    assert_eq!(read("SMS_Package").keys, Keys::Class);
    assert_eq!(read("SMS_Identification=@").keys, Keys::Singleton);
    assert_eq!(read("SMS_Package='XYZ00001'").keys, Keys::Single(id("XYZ00001")));
    assert_eq!(read(r"\\srv\root\sms\site_XYZ:SMS_Package.PackageID='A'").key("packageid"), Some(&id("A")));
    assert_eq!(
        read("root/sms/site_XYZ:SMS_Site.SiteCode=\"XYZ\"").namespace.as_deref(),
        Some(r"root\sms\site_XYZ")
    );
    assert_eq!(read("//./root/SMS:SMS_ProviderLocation").server.as_deref(), Some("."));
    assert_eq!(read("SMS_R_System=16777219").keys, Keys::Single(KeyValue::Integer(16_777_219)));
    let two = read("SMS_DPGroupMembers.GroupID=\"{A:B}\",DPNALPath=\"x=\\\\y,z\"");
    assert_eq!(two.key("DPNALPath"), Some(&id("x=\\y,z")));
    assert_eq!(read("C.On=TRUE,Off=false").key("off"), Some(&KeyValue::Boolean(false)));
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, at) in [
        ("", 1),
        ("1SMS", 1),
        ("SMS_Package.", 13),
        ("SMS_Package.PackageID", 22),
        ("SMS_Package.PackageID=", 23),
        ("SMS_Package.PackageID=\"A", 23),
        ("SMS_Package.PackageID=\"A\"x", 26),
        (r"\\", 1),
        (r"\\host\SMS_Package", 8),
        ("SMS_Package.A=1,a=2", 20),
        ("SMS_Package; DROP", 12),
    ] {
        let error = text.parse::<ObjectPath>().expect_err(text);
        assert_eq!(error.at, at, "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_in_a_key_comes_back(text in ".{0,40}", server in proptest::option::of("[a-z.]{1,9}")) {
        let mut path = ObjectPath::of_instance("C", vec![("K".into(), KeyValue::String(text))]);
        if let Some(server) = server {
            path = path.within(&server, r"root\x");
        }
        prop_assert_eq!(read(&path.to_string()), path);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_one(&bytes);
    }

    #[test]
    fn nothing_like_a_path_makes_the_reader_panic(text in r#"[\\/a:.=,"'@1-]{0,40}"#) {
        fuzz_one(text.as_bytes());
    }
}
