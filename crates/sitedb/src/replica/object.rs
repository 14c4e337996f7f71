//! Objects: their kinds, their form, which way they travel.

use restock_names::{PackageId, SiteCode, Timestamp};
use serde_json::{Value, json};

use crate::Why;

/// The longest JSON text of an object, in bytes.
pub const OBJECT_BYTES_MAX: usize = 1_000_000;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// No clock shows more.
pub(crate) const CLOCK_MAX: u64 = 1 << 62;

/// What an object is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A site, by its code.
    Site,
    /// What people set on a package, by its ID.
    Package,
    /// Which site owns a package, by its ID.
    Owner,
    /// The newest version of a package, by its ID.
    Version,
    /// How many refreshes of a package a site asked for: `PKGID/SITE`.
    Refresh,
    /// How the requests of a package stand at its owner, by its ID.
    Running,
    /// A program of a package: `PKGID/name`.
    Program,
    /// A distribution point group, by its ID.
    Group,
    /// A member of a group: `GROUP/POINT`.
    GroupMember,
    /// A package of a group: `GROUP/PKGID`.
    GroupPackage,
    /// A security scope, by its ID.
    Scope,
    /// A role, by its ID.
    Role,
    /// An account, by its logon name.
    Account,
    /// A distribution point, by its name.
    Point,
    /// What is wished of a package on a distribution point: `PKGID/POINT`.
    Target,
    /// How a package stands on a distribution point: `PKGID/POINT`.
    State,
    /// What a site holds of a package: `PKGID/SITE`.
    Copy,
    /// A status message: `SITE/number`.
    Message,
}

/// Which neighbours an object is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// All.
    All,
    /// Those below: a site below must not be able to make it.
    Down,
    /// The one above.
    Up,
}

impl Kind {
    /// Every kind and its word, in the order in which a site that has nothing is best told.
    pub(crate) const ALL: [(Self, &'static str); 18] = [
        (Self::Site, "site"),
        (Self::Scope, "scope"),
        (Self::Role, "role"),
        (Self::Account, "account"),
        (Self::Point, "point"),
        (Self::Package, "package"),
        (Self::Owner, "owner"),
        (Self::Version, "version"),
        (Self::Refresh, "refresh"),
        (Self::Running, "running"),
        (Self::Program, "program"),
        (Self::Group, "group"),
        (Self::GroupMember, "group_member"),
        (Self::GroupPackage, "group_package"),
        (Self::Target, "target"),
        (Self::State, "state"),
        (Self::Copy, "copy"),
        (Self::Message, "message"),
    ];

    /// The word on the wire and in the table.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, w)| *w == word).map(|(kind, _)| *kind)
    }

    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::Scope | Self::Role | Self::Account => Direction::Down,
            Self::Message => Direction::Up,
            _ => Direction::All,
        }
    }

    /// The package an object belongs to: it goes when the package goes, and waits until it is there.
    pub(crate) fn package(self, key: &str) -> Option<PackageId> {
        let first = key.split('/').next().unwrap_or_default();
        match self {
            Self::GroupPackage => key.rsplit('/').next().and_then(|id| id.parse().ok()),
            kind if kind.belongs_to_package() => first.parse().ok(),
            _ => None,
        }
    }

    /// True when each object of the kind belongs to a package.
    pub(crate) fn belongs_to_package(self) -> bool {
        matches!(
            self,
            Self::Owner
                | Self::Version
                | Self::Refresh
                | Self::Running
                | Self::Program
                | Self::Target
                | Self::State
                | Self::Copy
                | Self::GroupPackage
        )
    }

    /// True when the rows of one site only tell of an object of the kind.
    pub(crate) fn has_one_writer(self) -> bool {
        matches!(self, Self::Refresh | Self::Running | Self::State | Self::Copy | Self::Message)
    }

    /// True when an object that was deleted never comes back: its key is not given twice.
    pub(crate) fn ends_for_good(self) -> bool {
        matches!(self, Self::Package)
    }
}

/// An object with its stamp.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    /// Rises with each state of anything the writer knows.
    pub(crate) clock: u64,
    pub(crate) writer: SiteCode,
    /// When it was written, by the writer's clock: shown, decides nothing.
    pub(crate) at: Timestamp,
    /// A JSON object; `None` when it was deleted.
    pub(crate) body: Option<Value>,
}

impl Object {
    /// The site that alone may write it, where there is one.
    pub(crate) fn one_writer(&self) -> Option<SiteCode> {
        match self.kind {
            Kind::Site => self.key.parse().ok(),
            Kind::Point if !self.key.contains('/') => Some(self.writer),
            kind if kind.has_one_writer() => Some(self.writer),
            _ => None,
        }
    }

    /// The object in the form that travels.
    pub(crate) fn encode(&self) -> Value {
        json!({
            "kind": self.kind.as_str(),
            "key": self.key,
            "clock": self.clock,
            "writer": self.writer,
            "at": self.at.0,
            "deleted": self.body.is_none(),
            "body": self.body,
        })
    }

    /// Reads an object of a neighbour.
    ///
    /// Errors: why it is none, `OBJECT_FORM`, `OBJECT_KIND` or `OBJECT_SIZE`.
    pub(crate) fn decode(value: &Value) -> Result<Self, Why> {
        let form =
            |field: &str| Why::new("OBJECT_FORM", format!("the field {field} of an object is not valid"));
        let text = |field: &str| value.get(field).and_then(Value::as_str).ok_or_else(|| form(field));
        let word = text("kind")?;
        let kind = Kind::of_word(word).ok_or_else(|| {
            Why::new("OBJECT_KIND", format!("this release knows no objects of kind {word:.40?}"))
        })?;
        let key = text("key")?.to_owned();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
            return Err(form("key"));
        }
        let clock =
            value.get("clock").and_then(Value::as_u64).filter(|clock| (1..=CLOCK_MAX).contains(clock));
        let is_deleted = value.get("deleted").and_then(Value::as_bool).ok_or_else(|| form("deleted"))?;
        let body = match value.get("body") {
            Some(Value::Null) | None if is_deleted => None,
            Some(body @ Value::Object(_)) if !is_deleted => Some(body.clone()),
            _ => return Err(form("body")),
        };
        if value.to_string().len() > OBJECT_BYTES_MAX {
            return Err(Why::new("OBJECT_SIZE", format!("an object of more than {OBJECT_BYTES_MAX} bytes")));
        }
        Ok(Self {
            kind,
            key,
            clock: clock.ok_or_else(|| form("clock"))?,
            writer: text("writer")?.parse().map_err(|_unfit| form("writer"))?,
            at: Timestamp(value.get("at").and_then(Value::as_i64).ok_or_else(|| form("at"))?),
            body,
        })
    }

    /// The body of an object that was not deleted; fields are read from it by [`Fields`].
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields(self.body.as_ref())
    }
}

/// Reads the fields of a body; each error is the reason the object is refused for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) Option<&'a Value>);

impl<'a> Fields<'a> {
    /// The field, `None` when it is null or not there.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.and_then(|body| body.get(name)).filter(|value| !value.is_null())
    }

    fn bad(name: &str) -> Why {
        Why::new("OBJECT_FORM", format!("the field {name} of the body is not valid"))
    }

    pub(crate) fn text(self, name: &str) -> Result<String, Why> {
        self.text_or_none(name)?.ok_or_else(|| Self::bad(name))
    }

    pub(crate) fn text_or_none(self, name: &str) -> Result<Option<String>, Why> {
        let valid = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.contains('\0'))
                .map(str::to_owned)
                .ok_or_else(|| Self::bad(name))
        };
        self.get(name).map(valid).transpose()
    }

    pub(crate) fn parse<T: std::str::FromStr>(self, name: &str) -> Result<T, Why> {
        self.text(name)?.parse().map_err(|_unfit| Self::bad(name))
    }

    pub(crate) fn parse_or_none<T: std::str::FromStr>(self, name: &str) -> Result<Option<T>, Why> {
        self.text_or_none(name)?.map(|text| text.parse().map_err(|_unfit| Self::bad(name))).transpose()
    }

    /// A number from 0 to the largest the database keeps.
    pub(crate) fn u64(self, name: &str) -> Result<u64, Why> {
        let number = self.get(name).and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| Self::bad(name))
    }

    pub(crate) fn u32(self, name: &str) -> Result<u32, Why> {
        u32::try_from(self.u64(name)?).map_err(|_unfit| Self::bad(name))
    }

    pub(crate) fn u32_or_none(self, name: &str) -> Result<Option<u32>, Why> {
        self.get(name).map(|_| self.u32(name)).transpose()
    }

    pub(crate) fn i64(self, name: &str) -> Result<i64, Why> {
        self.get(name).and_then(Value::as_i64).ok_or_else(|| Self::bad(name))
    }

    pub(crate) fn time(self, name: &str) -> Result<Timestamp, Why> {
        self.i64(name).map(Timestamp)
    }

    pub(crate) fn time_or_none(self, name: &str) -> Result<Option<Timestamp>, Why> {
        self.get(name).map(|_| self.time(name)).transpose()
    }

    pub(crate) fn bool(self, name: &str) -> Result<bool, Why> {
        self.get(name).and_then(Value::as_bool).ok_or_else(|| Self::bad(name))
    }

    pub(crate) fn why(self, name: &str) -> Result<Option<Why>, Why> {
        let valid = |value: &Value| serde_json::from_value(value.clone()).map_err(|_unfit| Self::bad(name));
        self.get(name).map(valid).transpose()
    }

    pub(crate) fn texts(self, name: &str) -> Result<Vec<String>, Why> {
        let list = self.get(name).and_then(Value::as_array).ok_or_else(|| Self::bad(name))?;
        list.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(|| Self::bad(name))).collect()
    }

    /// Bytes as hexadecimal digits.
    pub(crate) fn bytes_or_none(self, name: &str) -> Result<Option<Vec<u8>>, Why> {
        let Some(text) = self.text_or_none(name)? else { return Ok(None) };
        from_hex(&text).map(Some).ok_or_else(|| Self::bad(name))
    }

    pub(crate) fn bytes(self, name: &str) -> Result<Vec<u8>, Why> {
        self.bytes_or_none(name)?.ok_or_else(|| Self::bad(name))
    }
}

/// Bytes as they stand in a body.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
