//! What may not be read is as if it were not there.

use restock_cim::Value;
use restock_provider::PutForm;

use super::PACKAGE;
use crate::objects::{DP01, Objects, number, out, package_path, path, refused, text, texts};

/// What a caller is shown of a refusal, with the package's ID taken out.
fn shown(refusal: &restock_provider::Refusal, id: &str) -> String {
    format!("{refusal:?}").replace(id, "ID")
}

#[tokio::test]
async fn a_hidden_object_is_refused_in_the_words_of_an_unknown_one() {
    let site = Objects::new().await;
    let hidden = site.package("Hidden").await.to_string();
    let north = site.scope("North").await;
    site.move_to(&north, PACKAGE, &hidden).await;
    let who = site.account("south", &[("Application Administrator", "Default")]).await;
    let mut seen: Vec<Vec<String>> = Vec::new();
    for id in [hidden.as_str(), "XYZ0BEEF"] {
        let object = package_path(id.parse().unwrap());
        let add = [("SiteCode", texts(&["XYZ"])), ("NALPath", texts(&[DP01]))];
        let whole = [("PackageID", text(id)), ("Name", text("Taken"))];
        let point = [("PackageID", text(id)), ("ServerNALPath", text(DP01)), ("SiteCode", text("XYZ"))];
        let program = [("PackageID", text(id)), ("ProgramName", text("p")), ("CommandLine", text("x"))];
        let member = [
            ("ObjectIDs", texts(&[id])),
            ("ObjectTypeIDs", Value::Array(vec![number(2)])),
            ("CategoryIDs", texts(&["SMS00UNA"])),
        ];
        let refusals = [
            refused(site.provider.get(&who, &path(&object)).await),
            refused(site.provider.delete(&who, &path(&object)).await),
            refused(site.put_as(&who, "SMS_Package", PutForm::Whole, &whole).await),
            refused(site.put_as(&who, "SMS_DistributionPoint", PutForm::Create, &point).await),
            refused(site.put_as(&who, "SMS_Program", PutForm::Create, &program).await),
            refused(site.invoke_as(&who, &object, "RefreshPkgSource", &[]).await),
            refused(site.invoke_as(&who, &object, "AddDistributionPoints", &add).await),
            refused(site.invoke_as(&who, &object, "SetSourceSite", &[("SourceSite", text("XYZ"))]).await),
            refused(site.invoke_as(&who, "SMS_SecuredCategoryMembership", "AddMemberships", &member).await),
        ];
        seen.push(refusals.iter().map(|refusal| shown(refusal, id)).collect());
    }
    for (hidden, unknown) in seen[0].iter().zip(&seen[1]) {
        assert_eq!(hidden, unknown);
        assert!(hidden.contains("NOT_FOUND"), "{hidden}");
    }
}

#[tokio::test]
async fn duplicates_are_told_truly_and_hidden_ones_not_named() {
    let site = Objects::new().await;
    let hidden = site.package("Hidden").await.to_string();
    let north = site.scope("North").await;
    site.move_to(&north, PACKAGE, &hidden).await;
    let who = site.account("south", &[("Application Administrator", "Default")]).await;
    let ask = [("SourceName", text(r"\\FS01\src\app")), ("SourceSite", text("XYZ"))];
    let named = site.invoke("SMS_Package", "CheckDuplicateSourceName", &ask).await;
    assert_eq!(out(&named, "DupPkgID"), &text(&hidden));
    let answer = site.invoke_as(&who, "SMS_Package", "CheckDuplicateSourceName", &ask).await.unwrap();
    assert_eq!(out(&answer, "IsDuplicated"), &Value::Boolean(true));
    for name in ["DupPkgName", "DupPkgID", "DupPkgType"] {
        assert_eq!(out(&answer, name), &Value::Null, "{name}");
    }
}
