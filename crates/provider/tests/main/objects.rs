//! The object API over a SQLite database: paths, Put, methods, errors.

mod errors;
mod first_hour;
mod groups;
mod hidden;
mod idioms;
mod load;
mod logs;
mod methods;
mod paths;
mod points;
mod puts;
mod schedules;
mod scopes;

use std::path::PathBuf;
use std::sync::Arc;

use restock_cim::query::wql;
use restock_cim::{Instance, Name, ObjectPath, Value};
use restock_names::{ManualClock, PackageId, Zone};
use restock_provider::{
    Caller, Compatibility, MethodAnswer, MethodCall, MethodFailure, Provider, ProviderConfig, Put, PutForm,
    Refusal,
};

use crate::site::{NOW, Site};

/// The NAL path of DP01.
pub(crate) const DP01: &str = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
pub(crate) const DP02: &str = r#"["Display=\\DP02\"]MSWNET:["SMS_SITE=XYZ"]\\DP02\"#;
pub(crate) const DP03: &str = r#"["Display=\\DP03\"]MSWNET:["SMS_SITE=XYZ"]\\DP03\"#;

/// A site whose provider answers objects.
pub(crate) struct Objects {
    pub(crate) site: Site,
    pub(crate) provider: Provider,
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(crate) fn number(number: u64) -> Value {
    Value::Unsigned(number)
}

pub(crate) fn texts(items: &[&str]) -> Value {
    Value::Array(items.iter().map(|item| text(item)).collect())
}

pub(crate) fn named(values: &[(&str, Value)]) -> Vec<(Name, Value)> {
    values.iter().map(|(name, value)| (Name::from(*name), value.clone())).collect()
}

pub(crate) fn path(text: &str) -> ObjectPath {
    text.parse().unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller::local("c0ffee00-0000-4000-8000-000000000000")
}

impl Objects {
    pub(crate) async fn new() -> Self {
        Self::with(Compatibility::default()).await
    }

    /// A site where failing methods answer a number.
    pub(crate) async fn with_return_values() -> Self {
        Self::with(Compatibility { method_failure: MethodFailure::ReturnValue, ..Compatibility::default() })
            .await
    }

    pub(crate) async fn with(compatibility: Compatibility) -> Self {
        let site = Site::new().await;
        let config = ProviderConfig {
            host: "HOST".to_owned(),
            other_names: vec!["sms.contoso.example".to_owned()],
            site_name: "Test site".to_owned(),
            version: "5.00.9128.1007".to_owned(),
            zone: Zone::named("Europe/Berlin").unwrap(),
            compatibility,
            ..ProviderConfig::default()
        };
        let own = vec![PathBuf::from("/var/lib/restock")];
        let clock = Arc::new(ManualClock::new(NOW));
        let provider = Provider::start(site.database.clone(), clock, own, config).await.unwrap();
        Self { site, provider }
    }

    pub(crate) async fn get(&self, object: &str) -> Instance {
        self.provider.get(&caller(), &path(object)).await.unwrap()
    }

    pub(crate) async fn try_get(&self, object: &str) -> Result<Instance, Refusal> {
        self.provider.get(&caller(), &path(object)).await
    }

    pub(crate) async fn query(&self, query: &str) -> Vec<Instance> {
        let rows = self.provider.query(&caller(), wql::parse(query).unwrap()).await.unwrap();
        rows.all().await.unwrap()
    }

    pub(crate) async fn try_put(
        &self,
        class: &str,
        form: PutForm,
        values: &[(&str, Value)],
    ) -> Result<Instance, Refusal> {
        let put = Put { class: Name::from(class), path: None, values: named(values), form };
        self.provider.put(&caller(), put).await
    }

    pub(crate) async fn create(&self, class: &str, values: &[(&str, Value)]) -> Instance {
        self.try_put(class, PutForm::Create, values).await.unwrap()
    }

    /// `Put()` of a script: the instance as it was read, with `changes` made to it, and with the
    /// system members that WMI objects carry.
    pub(crate) async fn try_put_back(
        &self,
        instance: &Instance,
        changes: &[(&str, Value)],
    ) -> Result<Instance, Refusal> {
        let mut instance = instance.clone();
        for (name, value) in changes {
            assert!(instance.set(name, value.clone()), "{name}");
        }
        let mut values = vec![
            (Name::from("__CLASS"), text(instance.class.name.as_str())),
            (Name::from("__PATH"), text(&self.provider.path_of(&instance).unwrap().to_string())),
            (Name::from("__PROPERTY_COUNT"), number(47)),
        ];
        for (property, value) in instance.class.properties.iter().zip(&instance.values) {
            values.extend(value.clone().map(|value| (property.name.clone(), value)));
        }
        let put = Put { class: instance.class.name.clone(), path: None, values, form: PutForm::Whole };
        self.provider.put(&caller(), put).await
    }

    pub(crate) async fn patch(&self, object: &str, values: &[(&str, Value)]) -> Result<Instance, Refusal> {
        let path = path(object);
        let put = Put {
            class: path.class.clone(),
            path: Some(path),
            values: named(values),
            form: PutForm::Partial,
        };
        self.provider.put(&caller(), put).await
    }

    pub(crate) async fn try_invoke(
        &self,
        object: &str,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<MethodAnswer, Refusal> {
        let call = MethodCall { path: path(object), method: Name::from(method), arguments: named(arguments) };
        self.provider.invoke(&caller(), call).await
    }

    pub(crate) async fn invoke(
        &self,
        object: &str,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> MethodAnswer {
        let answer = self.try_invoke(object, method, arguments).await.unwrap();
        assert_eq!(answer.return_value.as_integer(), Some(0), "{object}::{method}");
        answer
    }

    /// A package with a source; its ID.
    pub(crate) async fn package(&self, name: &str) -> PackageId {
        let package = self
            .create(
                "SMS_Package",
                &[
                    ("Name", text(name)),
                    ("PkgSourceFlag", number(2)),
                    ("PkgSourcePath", text(r"\\fs01\src\app")),
                ],
            )
            .await;
        package.get("PackageID").unwrap().as_str().unwrap().parse().unwrap()
    }

    /// A package at version 1, installed at DP01 and DP02.
    pub(crate) async fn installed(&self) -> PackageId {
        self.site.installed().await
    }
}

pub(crate) fn package_path(id: PackageId) -> String {
    format!(r#"SMS_Package.PackageID="{id}""#)
}

/// The path of a package on a distribution point.
pub(crate) fn point_path(id: PackageId, nal_path: &str) -> String {
    let nal_path = nal_path.replace('\\', r"\\").replace('"', r#"\""#);
    format!(r#"SMS_DistributionPoint.PackageID="{id}",ServerNALPath="{nal_path}",SiteCode="XYZ""#)
}

/// The one out-parameter `name`.
pub(crate) fn out<'a>(answer: &'a MethodAnswer, name: &str) -> &'a Value {
    answer.out.iter().find(|(out, _)| out.is(name)).map(|(_, value)| value).unwrap()
}

pub(crate) fn refused<T>(result: Result<T, Refusal>) -> Refusal {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(refusal) => refusal,
    }
}

pub(crate) fn code<T>(result: Result<T, Refusal>) -> &'static str {
    refused(result).code()
}
