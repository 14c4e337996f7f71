//! From URLs to object paths.

use restock_names::Zone;
use restock_wire::odata::{Route, path_of};

use crate::SCHEMA;

fn path(segment: &str) -> String {
    let route = Route::parse(&format!("/AdminService/wmi/{segment}")).unwrap();
    let Route::Entity(class, key) = route else { panic!("{route:?}") };
    match path_of(SCHEMA.class(class.as_str()).unwrap(), &key, &Zone::utc()) {
        Ok(path) => path.to_string(),
        Err(error) => error.to_string().split(':').next().unwrap().to_owned(),
    }
}

#[test]
fn keys_take_their_declared_names_and_types() {
    for (segment, want) in [
        ("sms_package('xyz00001')", r#"SMS_Package.PackageID="xyz00001""#),
        ("SMS_Package/XYZ00001", r#"SMS_Package.PackageID="XYZ00001""#),
        ("SMS_Package(packageid='A')", r#"SMS_Package.PackageID="A""#),
        ("SMS_Package(12)", r#"SMS_Package.PackageID="12""#),
        ("SMS_Package('AB''1')", r#"SMS_Package.PackageID="AB'1""#),
        (
            "SMS_DistributionPoint(PackageID='P',Number=3,ServerNALPath='%5C%22')",
            r#"SMS_DistributionPoint.Number=3,PackageID="P",ServerNALPath="\\\"""#,
        ),
        ("SMS_DistributionPoint(PackageID='P',Number='x',ServerNALPath='n')", "NOT_FOUND"),
        ("SMS_DistributionPoint(PackageID='P',Number=-1,ServerNALPath='n')", "NOT_FOUND"),
        ("SMS_DistributionPoint(PackageID='P')", "URL_KEY"),
        ("SMS_DistributionPoint('P')", "URL_KEY"),
        ("SMS_Package(Name='A')", "URL_KEY"),
        ("SMS_ScheduleMethods('A')", "URL_KEY"),
    ] {
        assert_eq!(path(segment), want, "{segment}");
    }
}
