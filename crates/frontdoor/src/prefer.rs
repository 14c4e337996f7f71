//! What a request asks for beside its object: pages, a shorter answer, the form of generic clients.

use http::HeaderMap;
use http::header::HeaderName;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");
const ODATA_MAX_VERSION: HeaderName = HeaderName::from_static("odata-maxversion");

/// What the headers say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// The client says which OData it speaks: scripts never do, generic clients always do.
    pub(crate) is_generic: bool,
    /// `return=minimal`
    pub(crate) is_minimal: bool,
    /// `odata.maxpagesize=N`, at least 1.
    pub(crate) page_rows: Option<usize>,
}

impl Preferences {
    /// What is not understood is passed over, as preferences are.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut preferences = Self {
            is_generic: headers.contains_key(&ODATA_VERSION) || headers.contains_key(&ODATA_MAX_VERSION),
            ..Self::default()
        };
        let values = headers.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split([',', ';'])) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "return" => preferences.is_minimal = value.eq_ignore_ascii_case("minimal"),
                "odata.maxpagesize" | "maxpagesize" => {
                    preferences.page_rows = value.parse().ok().filter(|rows| *rows > 0);
                }
                _ => {}
            }
        }
        preferences
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::Preferences;

    #[test]
    fn preferences_are_read_leniently() {
        let mut headers = HeaderMap::new();
        headers.append("prefer", HeaderValue::from_static("respond-async, odata.maxpagesize=20"));
        headers.append("prefer", HeaderValue::from_static("Return=\"minimal\""));
        let want = Preferences { is_generic: false, is_minimal: true, page_rows: Some(20) };
        assert_eq!(Preferences::of(&headers), want);
        headers.insert("prefer", HeaderValue::from_static("maxpagesize=0"));
        headers.insert("odata-maxversion", HeaderValue::from_static("4.0"));
        let want = Preferences { is_generic: true, ..Preferences::default() };
        assert_eq!(Preferences::of(&headers), want);
    }
}
