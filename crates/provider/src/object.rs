//! The object API: what a front door may ask of the classes.
//!
//! [`crate::Provider::get`], [`crate::Provider::query`], [`crate::Provider::put`],
//! [`crate::Provider::delete`] and [`crate::Provider::invoke`] are the five verbs; [`Caller`] says who asks and through which door. Every
//! language of every door ends here, so that all of them obey the same rules of rights, types,
//! audit and errors.
//!
//! What it does not do: it parses no text of a door, signs nobody in (`account`), and decides no
//! rights (`rights`). What a class does when it is written or called stands in its own folder
//! beneath `classes`.

mod config;
mod context;
mod delete;
mod get;
mod invoke;
mod keys;
mod log;
mod nal;
mod path;
mod put;
mod query;
mod values;

use std::fmt;
use std::sync::Arc;

use restock_cim::{Name, ObjectPath, Value};

pub use config::{Compatibility, MethodFailure, ProviderConfig};
pub(crate) use context::{MethodContext, ObjectContext, PutContext, package_id, shown};
pub(crate) use keys::ResolvedKeys;
pub(crate) use nal::NamedPoint;
pub use path::relative_path_of;
pub use query::Rows;

use crate::rights::Rights;

/// The way by which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// The control socket of the site's own machine.
    Control,
    /// OData over HTTPS.
    AdminService,
    /// WS-Management.
    WsMan,
    /// CIM-XML.
    CimXml,
}

impl Door {
    /// Its name in logs and audit records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::AdminService => "adminservice",
            Self::WsMan => "wsman",
            Self::CimXml => "cimxml",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account's logon name.
    pub account: String,
    /// Its row, unless it is the machine's own administrator at the control socket.
    pub admin_id: Option<u32>,
    /// What it may do.
    pub rights: Arc<Rights>,
    /// The way it came.
    pub door: Door,
    /// Its network address, `local` at the control socket.
    pub address: String,
    /// The program it names (`SMSAppName` in logs); `Unknown` when it names none.
    pub application: String,
    /// The request in logs and audit records, a UUID.
    pub correlation: String,
    /// The same id with the same method call gives the same answer and takes no second step.
    pub request_id: Option<String>,
    /// The object that is written or deleted must have one of these as its `SedoObjectVersion`;
    /// empty: any. Only of classes that have the property.
    pub versions: Vec<String>,
}

impl Caller {
    /// The machine's own administrator at the control socket, who may do everything.
    pub fn local(correlation: impl Into<String>) -> Self {
        Self {
            account: r"local\root".to_owned(),
            admin_id: None,
            rights: Arc::new(Rights::full()),
            door: Door::Control,
            address: "local".to_owned(),
            application: "Unknown".to_owned(),
            correlation: correlation.into(),
            request_id: None,
            versions: Vec::new(),
        }
    }
}

/// How much of an object a Put carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutForm {
    /// A new object; a generated key that is sent with it is ignored.
    Create,
    /// The whole object as it was read: what the site writes itself is ignored.
    Whole,
    /// A few properties: one that only the site writes is refused.
    Partial,
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// Its class.
    pub class: Name,
    /// Its path; without one the keys among `values` say which object is meant.
    pub path: Option<ObjectPath>,
    /// Properties, each at most once, in any order.
    pub values: Vec<(Name, Value)>,
    /// How much of the object this is.
    pub form: PutForm,
}

/// A method to be called.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodCall {
    /// The object; the class's path for a static method.
    pub path: ObjectPath,
    /// The method.
    pub method: Name,
    /// In-parameters, each at most once, in any order.
    pub arguments: Vec<(Name, Value)>,
}

/// What a method answered.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodAnswer {
    /// `ReturnValue`.
    pub return_value: Value,
    /// Out-parameters in declared order.
    pub out: Vec<(Name, Value)>,
}

impl MethodAnswer {
    /// Success without out-parameters.
    pub(crate) fn done() -> Self {
        Self { return_value: Value::Signed(0), out: Vec::new() }
    }

    /// Success with out-parameters.
    pub(crate) fn with(out: Vec<(&str, Value)>) -> Self {
        let out = out.into_iter().map(|(name, value)| (Name::from(name), value)).collect();
        Self { return_value: Value::Signed(0), out }
    }
}
