//! Object paths.

use crate::Name;

/// The path of a class or an instance. Source: DSP0207, with WMI's server and namespace prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    /// `HOST` of `\\HOST\…`; `.` is this machine.
    pub server: Option<String>,
    /// `root\sms\site_XYZ`, its parts parted by `\`.
    pub namespace: Option<String>,
    /// The class.
    pub class: Name,
    /// Which of its instances.
    pub keys: Keys,
}

/// What names an instance of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Nothing: the path is that of the class.
    Class,
    /// `=@`: its only instance.
    Singleton,
    /// `="x"`: the value of its only key.
    Single(KeyValue),
    /// `.K1="a",K2=3`, as written.
    Named(Vec<(Name, KeyValue)>),
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i128),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A path within the path.
    Reference(Box<ObjectPath>),
}
