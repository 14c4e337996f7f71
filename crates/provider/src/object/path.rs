//! Which namespace a path means, and the paths of instances.

use std::sync::Arc;

use restock_cim::{Class, Instance, Keys, Name, ObjectPath};
use restock_names::SiteCode;

use super::keys::{ResolvedKeys, key_of_value};
use crate::classes::declarations::schema;
use crate::{Provider, Refusal};

/// The namespace that only locates the provider.
const LOCATOR_NAMESPACE: &str = r"root\sms";
/// The class that lives in it.
const LOCATOR_CLASS: &str = "SMS_ProviderLocation";

impl Provider {
    /// The namespace of the site's classes: `root\sms\site_XYZ`.
    pub fn namespace(site: SiteCode) -> String {
        format!(r"root\sms\site_{site}")
    }

    /// The path of an instance with server and namespace, as `__PATH` shows it; without both it is
    /// `__RELPATH`.
    ///
    /// `None` when a key was not read, or the class has none.
    pub fn path_of(&self, instance: &Instance) -> Option<ObjectPath> {
        let site = *self.site.get()?;
        let mut path = relative_path_of(instance)?;
        path.server = Some(self.config.host.clone());
        path.namespace = Some(if instance.class.name.is(LOCATOR_CLASS) {
            r"root\SMS".to_owned()
        } else {
            Self::namespace(site)
        });
        Some(path)
    }

    /// The class that a path names, after its server and namespace were found to be this site's.
    ///
    /// Errors: `INVALID_NAMESPACE`, `INVALID_CLASS`.
    pub(crate) fn class_of(&self, path: &ObjectPath, site: SiteCode) -> Result<Arc<Class>, Refusal> {
        if let Some(server) = &path.server {
            let own = [".", "localhost", self.config.host.as_str()];
            let short = self.config.host.split('.').next().unwrap_or_default();
            let others = self.config.other_names.iter().map(String::as_str);
            if !own.into_iter().chain([short]).chain(others).any(|name| name.eq_ignore_ascii_case(server)) {
                let text = format!("{path}: {server} is not this server, which is {}", self.config.host);
                return Err(Refusal::core("INVALID_NAMESPACE", text));
            }
        }
        let unknown = || Refusal::core("INVALID_CLASS", format!("no class {} is declared", path.class));
        let class = schema().class(path.class.as_str());
        if let Some(namespace) = &path.namespace {
            let namespace = namespace.replace('/', r"\");
            let of_site = Self::namespace(site);
            if namespace.eq_ignore_ascii_case(LOCATOR_NAMESPACE) {
                return class.filter(|class| class.name.is(LOCATOR_CLASS)).cloned().ok_or_else(unknown);
            }
            if !namespace.eq_ignore_ascii_case(&of_site) {
                let text = format!("{path}: the namespace of this site is {of_site}");
                return Err(Refusal::core("INVALID_NAMESPACE", text));
            }
        }
        class.cloned().ok_or_else(unknown)
    }
}

/// The path of an instance without server and namespace: `SMS_Package.PackageID="XYZ00001"`.
///
/// `None` when a key was not read, or the class has none.
pub fn relative_path_of(instance: &Instance) -> Option<ObjectPath> {
    let mut named = Vec::new();
    for key in instance.class.keys() {
        named.push((key.name.clone(), key_of_value(instance.get(key.name.as_str())?)));
    }
    if named.is_empty() {
        return None;
    }
    Some(ObjectPath {
        server: None,
        namespace: None,
        class: instance.class.name.clone(),
        keys: Keys::Named(named),
    })
}

/// A path as logs, audit records and refusals show it: without server and namespace, names in the
/// spelling of their declaration, however it was sent.
pub(super) fn shown(path: &ObjectPath) -> String {
    let Some(class) = schema().class(path.class.as_str()) else { return path.relative().to_string() };
    match ResolvedKeys::of_path(class, path) {
        Ok(keys) => keys.to_string(),
        Err(_) => ObjectPath { class: class.name.clone(), ..path.relative() }.to_string(),
    }
}

/// The name of a class in the spelling of its declaration.
pub(super) fn declared(class: &Name) -> Name {
    schema().class(class.as_str()).map_or_else(|| class.clone(), |class| class.name.clone())
}

/// The path of an instance for a log line; `otherwise` when a key was not read.
pub(super) fn shown_path(instance: &Instance, otherwise: &str) -> String {
    relative_path_of(instance).map_or_else(|| otherwise.to_owned(), |path| path.to_string())
}
