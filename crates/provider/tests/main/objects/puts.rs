//! The table of Put, line by line.

use restock_cim::schedule;
use restock_provider::PutForm;

use super::{Objects, Value, code, number, package_path, refused, text};

fn weekly() -> Value {
    let tokens = schedule::decode("3C641E0000192000").unwrap();
    Value::Array(schedule::to_values(restock_provider::classes::declarations::schema(), &tokens))
}

#[tokio::test]
async fn sms_package_put_ignores_system_members_keys_and_what_the_site_writes() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let read = objects.get(&package_path(id)).await;
    let changed = objects
        .try_put_back(
            &read,
            &[
                ("Description", text("new words")),
                ("SourceVersion", number(99)),
                ("StoredPkgVersion", number(99)),
                ("ActionInProgress", number(3)),
                ("SourceSite", text("ABC")),
                ("NumOfPrograms", number(12)),
                ("PackageSize", number(12)),
            ],
        )
        .await
        .unwrap();
    assert_eq!(changed.get("Description"), Some(&text("new words")));
    for name in [
        "SourceVersion",
        "StoredPkgVersion",
        "ActionInProgress",
        "SourceSite",
        "NumOfPrograms",
        "PackageSize",
    ] {
        assert_eq!(changed.get(name), read.get(name), "{name}");
    }
}

#[tokio::test]
async fn sms_package_put_of_a_query_row_keeps_lazy_properties() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects
        .patch(
            &package_path(id),
            &[("RefreshSchedule", weekly()), ("AlternateContentProviders", text("acp"))],
        )
        .await
        .unwrap();
    let mut row = objects.query(&format!("SELECT * FROM SMS_Package WHERE PackageID='{id}'")).await.remove(0);
    // WMI shows lazy properties of a query as NULL.
    for (property, value) in row.class.properties.iter().zip(&mut row.values) {
        if property.is_lazy() {
            *value = Some(Value::Null);
        }
    }
    objects.try_put_back(&row, &[("Description", text("d"))]).await.unwrap();
    let read = objects.get(&package_path(id)).await;
    assert_eq!(read.get("Description"), Some(&text("d")));
    assert_eq!(read.get("RefreshSchedule"), Some(&weekly()));
    assert_eq!(read.get("AlternateContentProviders"), Some(&text("acp")));
}

#[tokio::test]
async fn sms_package_put_of_an_empty_array_clears() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let bytes = Value::Array(vec![number(1), number(255)]);
    let set = [("RefreshSchedule", weekly()), ("ISVData", bytes.clone()), ("Icon", bytes.clone())];
    let read = objects.patch(&package_path(id), &set).await.unwrap();
    assert_eq!(read.get("ISVData"), Some(&bytes));
    assert_eq!(read.get("ISVDataSize"), Some(&number(2)));
    let empty = Value::Array(Vec::new());
    let read = objects
        .try_put_back(
            &read,
            &[("RefreshSchedule", empty.clone()), ("ISVData", empty.clone()), ("Icon", empty.clone())],
        )
        .await
        .unwrap();
    assert_eq!(read.get("RefreshSchedule"), Some(&empty));
    assert_eq!(read.get("ISVData"), Some(&Value::Null));
    assert_eq!(read.get("Icon"), Some(&Value::Null));
    assert_eq!(read.get("IconSize"), Some(&number(0)));
}

#[tokio::test]
async fn sms_package_put_of_an_object_that_another_put_changed_is_refused() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let (mine, theirs) = (objects.get(&package_path(id)).await, objects.get(&package_path(id)).await);
    let after = objects.try_put_back(&theirs, &[("Description", text("theirs"))]).await.unwrap();
    assert_ne!(after.get("SedoObjectVersion"), mine.get("SedoObjectVersion"));
    let refusal = refused(objects.try_put_back(&mine, &[("Description", text("mine"))]).await);
    assert_eq!(refusal.code(), "STALE_OBJECT");
    assert_eq!(objects.get(&package_path(id)).await.get("Description"), Some(&text("theirs")));
}

#[tokio::test]
async fn sms_package_put_after_a_refresh_ran_is_not_stale() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let read = objects.get(&package_path(id)).await;
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    objects.site.publish(id).await;
    let after = objects.try_put_back(&read, &[("Description", text("d"))]).await.unwrap();
    assert_eq!(after.get("SourceVersion"), Some(&number(2)));
    assert_eq!(after.get("Description"), Some(&text("d")));
}

#[tokio::test]
async fn sms_package_put_leaves_what_is_not_sent() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let sent = [("PackageID", text(id.as_str())), ("Manufacturer", text("m"))];
    let read = objects.try_put("SMS_Package", PutForm::Whole, &sent).await.unwrap();
    assert_eq!((read.get("Name"), read.get("Manufacturer")), (Some(&text("app")), Some(&text("m"))));
}

#[tokio::test]
async fn sms_package_put_refuses_unknown_properties_in_every_form() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let values = [("PackageID", text(id.as_str())), ("Colour", text("red"))];
    for form in [PutForm::Whole, PutForm::Partial, PutForm::Create] {
        let refusal = refused(objects.try_put("SMS_Package", form, &values).await);
        assert_eq!(refusal.code(), "UNKNOWN_PROPERTY");
        assert!(refusal.description().contains("Colour"));
    }
}

#[tokio::test]
async fn sms_package_partial_put_refuses_what_only_the_site_writes() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    for (name, value) in [
        ("SourceVersion", number(2)),
        ("sourceversion", number(1)),
        ("StoredPkgVersion", number(0)),
        ("SedoObjectVersion", text("x")),
        ("PackageID", text("XYZ00099")),
    ] {
        let refusal = refused(objects.patch(&package_path(id), &[(name, value)]).await);
        assert_eq!(refusal.code(), "READ_ONLY_PROPERTY", "{name}");
    }
    assert_eq!(code(objects.patch(&package_path(id), &[("__CLASS", text("X"))]).await), "UNKNOWN_PROPERTY");
    // A body that names the object by its key sets nothing by that.
    let own = [("packageid", text(id.as_str())), ("Language", text("de"))];
    assert!(objects.patch(&package_path(id), &own).await.is_ok());
}

#[tokio::test]
async fn sms_package_put_of_an_unknown_package_creates_nothing() {
    let objects = Objects::new().await;
    for id in ["XYZ00099", "XYZ0000000", "AB'1", "", "ABC00001"] {
        for form in [PutForm::Whole, PutForm::Partial] {
            let values = [("PackageID", text(id)), ("Name", text("n")), ("SourceVersion", number(1))];
            assert_eq!(code(objects.try_put("SMS_Package", form, &values).await), "NOT_FOUND", "{id}");
        }
    }
    assert!(objects.query("SELECT * FROM SMS_Package").await.is_empty());
}

#[tokio::test]
async fn sms_package_create_makes_up_the_id_and_ignores_what_the_site_writes() {
    let objects = Objects::new().await;
    let values = [
        ("Name", text("app")),
        ("PackageID", text("ABC12345")),
        ("SourceVersion", number(7)),
        ("SourceSite", text("ABC")),
        ("__CLASS", text("SMS_Package")),
    ];
    let package = objects.create("sms_package", &values).await;
    assert_eq!(package.get("PackageID"), Some(&text("XYZ00001")));
    assert_eq!(package.get("SourceVersion"), Some(&number(0)));
    assert_eq!(package.get("SourceSite"), Some(&text("XYZ")));
    assert_eq!(package.get("PkgSourceFlag"), Some(&number(1)), "the documented default");
}

#[tokio::test]
async fn sms_package_put_names_the_property_whose_value_does_not_fit() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    for (name, value, wanted) in [
        ("Priority", text("high"), "TYPE"),
        ("PkgFlags", Value::Signed(-1), "TYPE"),
        ("PkgFlags", number(1 << 32), "TYPE"),
        ("Name", number(1), "TYPE"),
        ("Icon", Value::Array(vec![number(256)]), "TYPE"),
        ("RefreshSchedule", Value::Array(vec![text("x")]), "TYPE"),
        ("ShareType", number(3), "RANGE"),
        ("PkgSourceFlag", number(9), "RANGE"),
        ("Priority", number(4), "PRIORITY_INVALID"),
        ("Name", text(""), "NAME_INVALID"),
        ("PkgSourcePath", text("not a path"), "SOURCE_PATH_INVALID"),
    ] {
        let refusal = refused(objects.patch(&package_path(id), &[(name, value)]).await);
        assert_eq!(refusal.code(), wanted, "{name}");
        let says = refusal.description().to_lowercase();
        assert!(says.contains(&name.to_lowercase()) || wanted.ends_with("_INVALID"), "{says}");
    }
}

#[tokio::test]
async fn sms_package_changed_source_path_is_one_refresh() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let read = objects.get(&package_path(id)).await;
    let changes =
        [("PkgSourcePath", text(r"\\fs01\src\other")), ("RefreshPkgSourceFlag", Value::Boolean(true))];
    let after = objects.try_put_back(&read, &changes).await.unwrap();
    assert_eq!(after.get("ActionInProgress"), Some(&number(1)));
    assert_eq!(after.get("RefreshPkgSourceFlag"), Some(&Value::Boolean(false)), "it reads false");
    objects.site.publish(id).await;
    let after = objects.get(&package_path(id)).await;
    assert_eq!(after.get("SourceVersion"), Some(&number(2)));
    assert_eq!(after.get("ActionInProgress"), Some(&number(0)), "one refresh, not two");
}

#[tokio::test]
async fn sms_package_refresh_flag_is_a_refresh() {
    let objects = Objects::new().await;
    let id = objects.installed().await;
    let set = [("RefreshPkgSourceFlag", Value::Boolean(true))];
    let after = objects.patch(&package_path(id), &set).await.unwrap();
    assert_eq!(after.get("ActionInProgress"), Some(&number(1)));
    assert_eq!(after.get("RefreshPkgSourceFlag"), Some(&Value::Boolean(false)));
    let empty = objects.create("SMS_Package", &[("Name", text("no source"))]).await;
    let id = empty.get("PackageID").unwrap().as_str().unwrap().parse().unwrap();
    assert_eq!(code(objects.patch(&package_path(id), &set).await), "INVALID_OPERATION");
}

#[tokio::test]
async fn sms_package_schedule_needs_a_source_that_is_read_where_it_lies() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let read = objects.patch(&package_path(id), &[("RefreshSchedule", weekly())]).await.unwrap();
    assert_eq!(read.get("RefreshSchedule"), Some(&weekly()));
    // Neither may the flag leave the schedule behind.
    assert_eq!(
        code(objects.patch(&package_path(id), &[("PkgSourceFlag", number(1))]).await),
        "INVALID_OPERATION"
    );
    let both = [("PkgSourceFlag", number(1)), ("RefreshSchedule", Value::Array(Vec::new()))];
    objects.patch(&package_path(id), &both).await.unwrap();
    assert_eq!(
        code(objects.patch(&package_path(id), &[("RefreshSchedule", weekly())]).await),
        "INVALID_OPERATION"
    );
    let Value::Array(one) = weekly() else { panic!() };
    let many = Value::Array(one.iter().cycle().take(16).cloned().collect());
    let set = [("PkgSourceFlag", number(2)), ("RefreshSchedule", many)];
    let refusal = refused(objects.patch(&package_path(id), &set).await);
    assert!(["RANGE", "SCHEDULE_INVALID"].contains(&refusal.code()), "{refusal}");
    assert!(refusal.description().contains("RefreshSchedule"));
}

#[tokio::test]
async fn sms_program_is_put_read_and_deleted() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    let values = [
        ("PackageID", text(id.as_str())),
        ("ProgramName", text("Install")),
        ("CommandLine", text("setup.exe /q")),
        ("ProgramFlags", number(0x8000)),
        ("DriveLetter", text("q")),
        ("ISVData", Value::Array(vec![number(0), number(200)])),
        ("PackageName", text("somebody else's")),
    ];
    let program = objects.create("SMS_Program", &values).await;
    assert_eq!(program.get("CommandLine"), Some(&text("setup.exe /q")));
    assert_eq!(program.get("PackageName"), Some(&text("app")), "it is the package's");
    let object = format!(r#"SMS_Program.PackageID="{id}",ProgramName="install""#);
    let after = objects.try_put_back(&program, &[("Comment", text("c"))]).await.unwrap();
    assert_eq!(after.get("Comment"), Some(&text("c")));
    let read = objects.get(&object).await;
    assert_eq!(read.get("ProgramName"), Some(&text("Install")), "the stored spelling");
    assert_eq!(read.get("ISVData"), Some(&Value::Array(vec![number(0), number(200)])));
    assert_eq!(read.get("ProgramFlags"), Some(&number(0x8000)));
    assert_eq!(objects.get(&package_path(id)).await.get("NumOfPrograms"), Some(&number(1)));
    let refusal = refused(objects.patch(&object, &[("DriveLetter", text("1"))]).await);
    assert_eq!(refusal.code(), "RANGE");
    assert_eq!(code(objects.patch(&object, &[("DriveLetter", text("ab"))]).await), "RANGE");
    objects.provider.delete(&super::caller(), &super::path(&object)).await.unwrap();
    assert_eq!(code(objects.try_get(&object).await), "NOT_FOUND");
    assert_eq!(
        code(objects.patch(&object, &[("Comment", text("c"))]).await),
        "NOT_FOUND",
        "a path makes none"
    );
    assert_eq!(code(objects.provider.delete(&super::caller(), &super::path(&object)).await), "NOT_FOUND");
}

#[tokio::test]
async fn classes_without_put_refuse_it_by_name() {
    let objects = Objects::new().await;
    for class in ["SMS_Site", "SMS_PackageStatus", "SMS_DistributionPointInfo", "SMS_Identification"] {
        let refusal = refused(objects.try_put(class, PutForm::Create, &[]).await);
        assert_eq!(refusal.code(), "NOT_SUPPORTED", "{class}");
        assert!(refusal.description().contains(class));
    }
}
