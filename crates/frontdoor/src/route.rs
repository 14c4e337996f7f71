//! Which door a request knocks at.

use http::Method;
use restock_provider::Door;

use crate::config::Doors;

/// The languages that one listener may speak, told apart by the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// OData: every path that is not one of the others.
    Service,
    /// WS-Management at `/wsman`.
    WsMan,
    /// CIM-XML at `/cimom`, and at `/` for what is posted there.
    Cimom,
}

impl Route {
    /// The door behind a path; `None` when the listener does not serve it.
    pub(crate) fn of(method: &Method, path: &str, doors: Doors) -> Option<Self> {
        let is_posted = *method == Method::POST || method.as_str() == "M-POST";
        let is = |name: &str| path.trim_end_matches('/').eq_ignore_ascii_case(name);
        let route = match path {
            _ if is("/wsman") => Self::WsMan,
            _ if is("/cimom") || (path == "/" && is_posted) => Self::Cimom,
            _ => Self::Service,
        };
        let is_served = match route {
            Self::Service => doors.service,
            Self::WsMan => doors.wsman,
            Self::Cimom => doors.cimom,
        };
        is_served.then_some(route)
    }

    /// Its name for the provider.
    pub(crate) fn door(self) -> Door {
        match self {
            Self::Service => Door::AdminService,
            Self::WsMan => Door::WsMan,
            Self::Cimom => Door::CimXml,
        }
    }

    /// The HTTP methods it understands.
    pub(crate) fn methods(self) -> &'static str {
        match self {
            Self::Service => "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
            Self::WsMan => "POST, OPTIONS",
            Self::Cimom => "POST, M-POST, OPTIONS",
        }
    }

    /// True when it understands a method.
    pub(crate) fn knows(self, method: &Method) -> bool {
        self.methods().split(", ").any(|known| method.as_str() == known)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Route;
    use crate::config::Doors;

    #[test]
    fn the_path_tells_the_doors_apart() {
        let m_post = Method::from_bytes(b"M-POST").unwrap();
        for (method, path, want) in [
            (&Method::POST, "/wsman", Some(Route::WsMan)),
            (&Method::POST, "/WSMan/", Some(Route::WsMan)),
            (&Method::POST, "/wsmanager", Some(Route::Service)),
            (&Method::POST, "/cimom", Some(Route::Cimom)),
            (&m_post, "/cimom", Some(Route::Cimom)),
            (&Method::POST, "/", Some(Route::Cimom)),
            (&m_post, "/", Some(Route::Cimom)),
            (&Method::GET, "/", Some(Route::Service)),
            (&Method::GET, "/AdminService/wmi/SMS_Package", Some(Route::Service)),
        ] {
            assert_eq!(Route::of(method, path, Doors::ALL), want, "{method} {path}");
        }
        let only = Doors { service: false, wsman: false, cimom: true };
        assert_eq!(Route::of(&Method::POST, "/wsman", only), None);
        assert_eq!(Route::of(&Method::GET, "/AdminService/", only), None);
        assert!(Route::Cimom.knows(&m_post) && !Route::WsMan.knows(&m_post));
    }
}
