//! Resource URIs: which class of which namespace a request means.
//!
//! Source: MS-WSMV 3.1.4.1.1 (the URIs of WMI), DSP0227, 6.1 and 6.3 (those of CIM).

use super::names::{CIM_ALL, CIM_PREFIX, WMI_PREFIX};
use super::{Fault, FaultKind};

/// Bytes of a URI.
const URI_BYTES_MAX: usize = 2_048;

/// The two families of URIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Namespace and class stand in the URI.
    Wmi,
    /// The class stands in the URI, the namespace is a selector.
    Cim,
}

/// A resource URI taken apart. Letter case plays no part in what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceUri {
    /// Its family.
    pub family: Family,
    /// As it was sent, up to the class: a class's URI is this and its name.
    prefix: String,
    /// `root\sms\site_XYZ`; `None` when only a selector can say it.
    pub namespace: Option<String>,
    /// `None` for `*`, all classes.
    pub class: Option<String>,
    /// Selectors after `?`, as command lines write them.
    pub(super) selectors: Vec<(String, String)>,
}

impl ResourceUri {
    /// Reads a URI; white space around it is no part of it.
    ///
    /// Errors: `wsa:DestinationUnreachable` for every other URI.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let unknown = || {
            let shown: String = text.chars().take(200).collect();
            let text = format!(
                "{shown:?} names no class; write {WMI_PREFIX}root/sms/site_XYZ/CLASS, or {CIM_PREFIX}CLASS \
                 with the selector __cimnamespace"
            );
            Fault::new(FaultKind::DestinationUnreachable, "RESOURCE_URI", text).detail("InvalidResourceURI")
        };
        if text.len() > URI_BYTES_MAX {
            return Err(unknown());
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let selectors = selectors_of(query).ok_or_else(unknown)?;
        let is_class = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || name == "*"
        };
        let cut = address.rfind('/').and_then(|at| address.split_at_checked(at.saturating_add(1)));
        let (prefix, class) = cut.filter(|(_, class)| is_class(class)).ok_or_else(unknown)?;
        let class_name = (class != "*").then(|| class.to_owned());
        let made = |family, namespace| Self {
            family,
            prefix: prefix.to_owned(),
            namespace,
            class: class_name,
            selectors,
        };
        if let Some(namespace) = after(prefix, WMI_PREFIX) {
            let namespace = namespace.trim_end_matches('/').replace('/', "\\");
            if namespace.is_empty() {
                return Err(unknown());
            }
            return Ok(made(Family::Wmi, Some(namespace)));
        }
        if prefix.eq_ignore_ascii_case(CIM_PREFIX) {
            return Ok(made(Family::Cim, None));
        }
        if address.eq_ignore_ascii_case(CIM_ALL) {
            let mut all = made(Family::Cim, None);
            CIM_PREFIX.clone_into(&mut all.prefix);
            return Ok(all);
        }
        Err(unknown())
    }

    /// The URI of a class in the family and spelling of this one; its elements are in this
    /// namespace.
    pub fn of_class(&self, class: &str) -> String {
        // A client searches for what it asked for, in its own spelling.
        let class = self.class.as_deref().filter(|own| own.eq_ignore_ascii_case(class)).unwrap_or(class);
        format!("{}{class}", self.prefix)
    }

    /// What follows the URI in the action of a method; `None` when the action is another's.
    pub(super) fn method_of<'a>(&self, action: &'a str) -> Option<&'a str> {
        let class = self.class.as_deref()?;
        let method = after(action, &self.prefix).and_then(|rest| after(rest, class))?.strip_prefix('/')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!method.is_empty() && method.chars().all(is_name)).then_some(method)
    }
}

/// What follows `prefix`, compared without case.
fn after<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `A=b+C=d`
fn selectors_of(query: &str) -> Option<Vec<(String, String)>> {
    let parts = query.split('+').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Family, ResourceUri};

    #[test]
    fn both_families_name_class_and_namespace() {
        let uri = ResourceUri::parse(
            " http://schemas.microsoft.com/WBEM/wsman/1/wmi/root/sms/site_XYZ/sms_package\n",
        )
        .unwrap();
        assert_eq!((uri.family, uri.namespace.as_deref()), (Family::Wmi, Some(r"root\sms\site_XYZ")));
        assert_eq!(uri.class.as_deref(), Some("sms_package"));
        let spelled = "http://schemas.microsoft.com/WBEM/wsman/1/wmi/root/sms/site_XYZ/sms_package";
        assert_eq!(uri.of_class("SMS_Package"), spelled, "what was asked for keeps its spelling");
        assert!(uri.of_class("SMS_Site").ends_with("/site_XYZ/SMS_Site"));
        assert_eq!(uri.method_of(&format!("{spelled}/RefreshPkgSource")), Some("RefreshPkgSource"));
        for action in ["", "/", "X/Y", "x", "/A/B", "/A B"] {
            assert_eq!(uri.method_of(&format!("{spelled}{action}")), None, "{action}");
        }
        let all = ResourceUri::parse("http://schemas.dmtf.org/wbem/wscim/1/*").unwrap();
        assert_eq!((all.family, &all.namespace, &all.class), (Family::Cim, &None, &None));
        let class = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/SMS_Package";
        assert_eq!(all.of_class("SMS_Package"), class);
        assert_eq!(ResourceUri::parse(class).unwrap().class.as_deref(), Some("SMS_Package"));
        let asked = ResourceUri::parse(&format!("{class}?PackageID=XYZ00001+A=\"b\"")).unwrap();
        let selectors = [("PackageID", "XYZ00001"), ("A", "b")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(asked.selectors, selectors);
    }

    #[test]
    fn other_uris_name_nothing() {
        for text in [
            "",
            "SMS_Package",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/SMS_Package",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/sms/",
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/../x",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/SMS_Package?novalue",
            "http://é",
        ] {
            assert!(ResourceUri::parse(text).is_err(), "{text}");
        }
        assert!(ResourceUri::parse(&"x/".repeat(2_000)).is_err());
    }
}
