//! Refusals: what they say, and what stays of them.

use restock_cim::query::wql;

use super::{Objects, Value, caller, code, number, package_path, path, refused, text};

#[tokio::test]
async fn sms_extended_status_is_filled() {
    let objects = Objects::new().await;
    let refusal = refused(
        objects
            .try_invoke(r"root\sms\site_XYZ:sms_package.packageid='xyz0ffff'", "RefreshPkgSource", &[])
            .await,
    );
    let shown = refusal.instance(objects.provider.schema()).unwrap();
    let get = |name: &str| shown.get(name).unwrap().clone();
    assert_eq!(get("Operation"), text("ExecMethod"));
    assert_eq!(get("ParameterInfo"), text(r#"SMS_Package.PackageID="XYZ0FFFF""#));
    assert_eq!(get("ObjectInfo"), text("SMS_Package"));
    assert_eq!(get("ErrorCode"), number(0x4048_0202));
    assert_eq!(get("StatusCode"), number(0x8004_1002));
    assert_eq!(get("CauseInfo"), text("NOT_FOUND"));
    assert_eq!(get("Description"), text("package XYZ0FFFF does not exist; restock package list"));
    for name in ["SQLMessage", "SQLSeverity", "SQLStatus"] {
        assert_eq!(get(name), Value::Null, "{name}");
    }
    assert!(get("File").as_str().unwrap().ends_with(".rs") && !get("File").as_str().unwrap().contains('/'));
}

#[tokio::test]
async fn extended_status_of_the_object_core_is_the_plain_one() {
    let objects = Objects::new().await;
    let refusal = refused(objects.try_get(r"root\cimv2:SMS_Package.PackageID='XYZ00001'").await);
    let shown = refusal.instance(objects.provider.schema()).unwrap();
    assert_eq!(shown.class.name.as_str(), "__ExtendedStatus");
    assert_eq!(shown.get("ProviderName"), Some(&text("Windows Management")));
    assert_eq!(shown.get("StatusCode"), Some(&number(0x8004_100E)));
    assert_eq!(shown.get("Operation"), Some(&text("GetObject")));
}

#[tokio::test]
async fn each_operation_stands_in_its_error_code() {
    let objects = Objects::new().await;
    let object = package_path("XYZ0FFFF".parse().unwrap());
    let actions = [
        (refused(objects.try_get(&object).await), 1),
        (refused(objects.patch(&object, &[("Name", text("n"))]).await), 3),
        (refused(objects.provider.delete(&caller(), &path(&object)).await), 4),
        (refused(objects.try_invoke(&object, "Unlock", &[]).await), 8),
    ];
    for (refusal, action) in actions {
        let code = refusal.error_code();
        assert_eq!([code >> 30, (code >> 16) & 0x3f, (code >> 8) & 0xff, code & 0xff], [1, action, 2, 2]);
    }
}

#[tokio::test]
async fn queries_that_cannot_be_answered_say_why() {
    let objects = Objects::new().await;
    for (query, wanted) in [
        ("SELECT * FROM SMS_Nothing", "INVALID_CLASS"),
        ("SELECT Colour FROM SMS_Package", "UNKNOWN_PROPERTY"),
        ("SELECT * FROM SMS_Package WHERE SourceVersion = 'x'", "TYPE"),
        ("SELECT COUNT(DISTINCT Name) FROM SMS_Package", "QUERY_UNSUPPORTED"),
        ("SELECT __PATH FROM SMS_Package", "QUERY_UNSUPPORTED"),
    ] {
        let result = match wql::parse(query) {
            Ok(parsed) => objects.provider.query(&caller(), parsed).await.map(|_| ()),
            Err(error) => Err(error.into()),
        };
        assert_eq!(code(result), wanted, "{query}");
    }
}

#[tokio::test]
async fn every_change_and_every_refusal_is_one_audit_record() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects.invoke(&package_path(id), "RefreshPkgSource", &[]).await;
    let refusal =
        refused(objects.try_invoke("SMS_Package.PackageID='XYZ0FFFF'", "RefreshPkgSource", &[]).await);
    objects.provider.delete(&caller(), &path(&package_path(id))).await.unwrap();
    let records = objects
        .site
        .database
        .read("records", |tx| Box::pin(async move { tx.audit_records(0, 100).await }))
        .await
        .unwrap();
    let shown: Vec<_> = records
        .iter()
        .map(|record| {
            (record.operation.as_str(), record.path.as_str(), record.method.as_str(), record.result)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("PutInstance", r#"SMS_Package.PackageID="XYZ00001""#, "", 0),
            ("ExecMethod", r#"SMS_Package.PackageID="XYZ00001""#, "RefreshPkgSource", 0),
            ("ExecMethod", r#"SMS_Package.PackageID="XYZ0FFFF""#, "RefreshPkgSource", refusal.error_code()),
            ("DeleteInstance", r#"SMS_Package.PackageID="XYZ00001""#, "", 0),
        ]
    );
    // What the package was before and afterwards joins one record with the next.
    let [made, refreshed, refused, deleted] = records.as_slice() else { panic!() };
    assert!(made.before.is_none() && made.after.is_some());
    assert_eq!(made.after, refreshed.before);
    assert_ne!(refreshed.before, refreshed.after);
    assert!(refused.before.is_none() && refused.after.is_none());
    assert_eq!(refreshed.after, deleted.before);
    assert_ne!(deleted.before, deleted.after);
}

#[tokio::test]
async fn a_call_that_cannot_be_kept_is_refused_with_a_number() {
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects.site.database.close().await;
    let refusal = refused(objects.try_invoke(&package_path(id), "RefreshPkgSource", &[]).await);
    assert_eq!(refusal.code(), "DATABASE_CLOSED");
    assert_eq!(refusal.error_code() >> 30, 3, "the client should stop");
    assert!(!refusal.description().to_lowercase().contains("sql"), "{refusal}");
    assert!(objects.try_get(&package_path(id)).await.is_err());
}
