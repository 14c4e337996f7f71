//! SMSProv.log: the words people search for, one line for each change and each refusal.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::{Objects, caller, package_path, path, refused, text};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn with(&self, word: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter(|line| line.contains("smsprov") && line.contains(word))
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test]
async fn the_log_names_method_user_application_error_code_and_correlation() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let objects = Objects::new().await;
    let id = objects.package("app").await;
    objects.invoke("sms_package.packageid='xyz00001'", "refreshpkgsource", &[]).await;
    let found = lines.with(r#"SMS_Package.PackageID="XYZ00001"::RefreshPkgSource"#);
    assert_eq!(found.len(), 1, "{found:?}");
    for word in
        [r"local\root", "SMSAppName=Unknown", "correlation=c0ffee00-0000-4000-8000-000000000000", "Auditing"]
    {
        assert!(found[0].contains(word), "{word}: {}", found[0]);
    }
    let object = package_path("XYZ0FFFF".parse().unwrap());
    let refusal = refused(objects.try_invoke(&object, "RefreshPkgSource", &[]).await);
    let found = lines.with("XYZ0FFFF");
    assert_eq!(found.len(), 1, "one line for a refusal: {found:?}");
    assert!(found[0].contains(&format!("ErrorCode={}", refusal.error_code())), "{}", found[0]);
    refused(objects.try_get(&object).await);
    refused(objects.patch(&object, &[("Name", text("n"))]).await);
    refused(objects.provider.delete(&caller(), &path(&object)).await);
    assert_eq!(lines.with("XYZ0FFFF").len(), 4);
    assert_eq!(lines.with("PutInstance").len(), 2, "the package's creation and the refused change");
    assert_eq!(lines.with(id.as_str()).len(), 2);
}
