//! Names that Linux holds and others do not: which rule a name breaks, and what a package does then.
//!
//! [`check_name`] looks at one component, [`check_path`] at a whole path, [`collisions`] at the names
//! of one folder. Whether a broken rule is a warning or a refusal is the package's [`NamesPolicy`].
//! Names that no holder takes are refused elsewhere, by [`crate::EntryPath`].
//!
//! Source: docs/formats/manifest.md, "Names".

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// A portable path has at most this many bytes.
pub const PORTABLE_PATH_BYTES_MAX: usize = 1_024;
/// A portable path has at most this many components.
pub const PORTABLE_DEPTH_MAX: usize = 64;

/// What a snapshot does with names that other systems cannot hold, chosen for each package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamesPolicy {
    /// They are kept, and the refresh warns of them.
    #[default]
    Posix,
    /// They end the refresh.
    Portable,
}

/// Why a text names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no names policy: posix or portable is wanted")]
pub struct NamesPolicyError(String);

impl NamesPolicy {
    /// Both policies, the default first.
    pub const ALL: [Self; 2] = [Self::Posix, Self::Portable];

    /// The word people write and the database keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posix => "posix",
            Self::Portable => "portable",
        }
    }
}

impl FromStr for NamesPolicy {
    type Err = NamesPolicyError;

    fn from_str(text: &str) -> Result<Self, NamesPolicyError> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| NamesPolicyError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for NamesPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that a portable name keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameRule {
    /// No control characters.
    ControlChar,
    /// No colon, which names a stream of a file in Windows.
    Stream,
    /// None of `< > " | ? *` and no backslash.
    Char,
    /// Valid UTF-8.
    Encoding,
    /// No mark that changes the direction of text.
    Bidi,
    /// No dot or blank at the end.
    Trailing,
    /// Not the name of a device in Windows, with any ending.
    Reserved,
    /// At most 1,024 bytes in a path.
    PathBytes,
    /// At most 64 components in a path.
    Depth,
    /// No two names of a folder that differ in letter case only.
    CaseCollision,
    /// No two names of a folder that differ in how characters are composed only.
    UnicodeCollision,
}

impl NameRule {
    /// All rules, in the order in which [`Self::index`] numbers them.
    pub const ALL: [Self; 11] = [
        Self::ControlChar,
        Self::Stream,
        Self::Char,
        Self::Encoding,
        Self::Bidi,
        Self::Trailing,
        Self::Reserved,
        Self::PathBytes,
        Self::Depth,
        Self::CaseCollision,
        Self::UnicodeCollision,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::ControlChar => "NAME_CONTROL_CHAR",
            Self::Stream => "NAME_ADS",
            Self::Char => "NAME_CHAR",
            Self::Encoding => "NAME_ENCODING",
            Self::Bidi => "NAME_BIDI",
            Self::Trailing => "NAME_TRAILING",
            Self::Reserved => "NAME_RESERVED_WINDOWS",
            Self::PathBytes => "NAME_TOO_LONG",
            Self::Depth => "PATH_DEPTH",
            Self::CaseCollision => "NAME_CASE_COLLISION",
            Self::UnicodeCollision => "NAME_UNICODE_COLLISION",
        }
    }

    /// What names do that break it; follows "names that".
    pub fn breaks(self) -> &'static str {
        match self {
            Self::ControlChar => "hold control characters",
            Self::Stream => "hold a colon, which names a stream of a file in Windows",
            Self::Char => "hold characters that Windows names cannot hold",
            Self::Encoding => "are not UTF-8",
            Self::Bidi => "hold marks that change the direction of text",
            Self::Trailing => "end with a dot or a blank",
            Self::Reserved => "are names of devices in Windows",
            Self::PathBytes => "make a path longer than 1024 bytes",
            Self::Depth => "lie deeper than 64 levels",
            Self::CaseCollision => "differ in letter case only",
            Self::UnicodeCollision => "differ in the composition of their characters only",
        }
    }

    /// What is wrong with a name that breaks it; follows the name.
    pub fn problem(self) -> &'static str {
        match self {
            Self::ControlChar => "holds a control character",
            Self::Stream => "holds a colon, which names a stream of a file in Windows",
            Self::Char => "holds a character that Windows names cannot hold",
            Self::Encoding => "is not UTF-8",
            Self::Bidi => "holds a mark that changes the direction of text",
            Self::Trailing => "ends with a dot or a blank",
            Self::Reserved => "is the name of a device in Windows",
            Self::PathBytes => "is longer than 1024 bytes",
            Self::Depth => "lies deeper than 64 folders",
            Self::CaseCollision => "differs in letter case only from",
            Self::UnicodeCollision => "differs in the composition of its characters only from",
        }
    }
}

/// The first rule that a component breaks by itself. Cost: one look at each byte of a plain name.
pub fn check_name(name: &[u8]) -> Option<NameRule> {
    let mut is_ascii = true;
    let mut found = None;
    for byte in name {
        match byte {
            0..0x20 | 0x7f => return Some(NameRule::ControlChar),
            b':' => found = Some(NameRule::Stream),
            b'<' | b'>' | b'"' | b'|' | b'?' | b'*' | b'\\' if found.is_none() => {
                found = Some(NameRule::Char);
            }
            0x80.. => is_ascii = false,
            _ => {}
        }
    }
    if !is_ascii {
        match std::str::from_utf8(name) {
            Err(_) => found = found.or(Some(NameRule::Encoding)),
            Ok(text) if text.chars().any(char::is_control) => return Some(NameRule::ControlChar),
            Ok(text) if text.chars().any(is_direction_mark) => found = found.or(Some(NameRule::Bidi)),
            Ok(_) => {}
        }
    }
    found
        .or_else(|| matches!(name.last(), Some(b'.' | b' ')).then_some(NameRule::Trailing))
        .or_else(|| is_reserved(name).then_some(NameRule::Reserved))
}

/// The first rule that a path breaks as a whole.
pub fn check_path(path: &[u8]) -> Option<NameRule> {
    if path.len() > PORTABLE_PATH_BYTES_MAX {
        return Some(NameRule::PathBytes);
    }
    // A path with more components has more bytes than this.
    let may_be_deep = path.len() >= 2 * PORTABLE_DEPTH_MAX;
    let is_deep = may_be_deep && path.iter().filter(|byte| **byte == b'/').count() >= PORTABLE_DEPTH_MAX;
    is_deep.then_some(NameRule::Depth)
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A device name, in either case, alone or before the first dot, blanks before that not counted.
fn is_reserved(name: &[u8]) -> bool {
    // "CON" is the shortest, "CONOUT$" the longest.
    if name.len() < 3 || !matches!(name[0] | 0x20, b'a' | b'c' | b'l' | b'n' | b'p') {
        return false;
    }
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or(name).trim_ascii_end();
    let upper = stem.to_ascii_uppercase();
    match upper.as_slice() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" | b"CONIN$" | b"CONOUT$" => true,
        [b'C', b'O', b'M', number @ ..] | [b'L', b'P', b'T', number @ ..] => {
            matches!(number, [b'1'..=b'9'] | [0xc2, 0xb9 | 0xb2 | 0xb3])
        }
        _ => false,
    }
}

/// Two names of one folder that a system with fewer distinctions takes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collision {
    /// The later of the two.
    pub index: usize,
    /// The earlier.
    pub other: usize,
    /// How they differ.
    pub rule: NameRule,
}

/// The collisions among the `count` names of one folder, which are in byte order; in the order of
/// [`Collision::index`], at most one for each name.
///
/// Cost: a look at each byte where all names are small ASCII letters, a map of the others elsewhere.
pub fn collisions<'n>(count: usize, name: impl Fn(usize) -> &'n [u8]) -> Vec<Collision> {
    // A name that folding does not change collides only with one that it does change.
    let changed: Vec<(usize, Vec<u8>)> =
        (0..count).filter_map(|index| Some((index, folded(name(index))?))).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Collision> = Vec::new();
    let mut seen: HashMap<&[u8], usize> = HashMap::with_capacity(changed.len());
    for (index, fold) in &changed {
        let unchanged = position(count, &name, fold).filter(|other| other != index);
        let earlier = seen.get(fold.as_slice()).copied();
        if earlier.is_none() {
            seen.insert(fold, *index);
        }
        for other in [unchanged, earlier].into_iter().flatten() {
            let (first, second) = (other.min(*index), other.max(*index));
            let is_same = composed(name(first)) == composed(name(second));
            let rule = if is_same { NameRule::UnicodeCollision } else { NameRule::CaseCollision };
            found.push(Collision { index: second, other: first, rule });
        }
    }
    found.sort_by_key(|collision| collision.index);
    found.dedup_by_key(|collision| collision.index);
    found
}

/// Where `wanted` stands among the sorted names.
fn position<'n>(count: usize, name: &impl Fn(usize) -> &'n [u8], wanted: &[u8]) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match name(middle).cmp(wanted) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// The name without what some systems do not distinguish; `None` when that is the name itself.
fn folded(name: &[u8]) -> Option<Vec<u8>> {
    if name.is_ascii() {
        return name.iter().any(u8::is_ascii_uppercase).then(|| name.to_ascii_lowercase());
    }
    let fold = match std::str::from_utf8(name) {
        Ok(text) => {
            let lower = text.nfc().collect::<String>().to_lowercase();
            lower.nfc().collect::<String>().into_bytes()
        }
        Err(_) => name.to_ascii_lowercase(),
    };
    (fold != name).then_some(fold)
}

fn composed(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text.nfc().collect::<String>().into_bytes(),
        Err(_) => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::{NameRule, NamesPolicy, check_name, check_path, collisions};
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn each_rule_has_names_that_break_it() {
        let code = |name: &[u8]| check_name(name).map_or("", NameRule::code);
        for (want, names) in [
            ("NAME_CONTROL_CHAR", &[&b"new\nline"[..], b"\x1b[1m", b"tab\t", b"\x7f", b"\xc2\x85"][..]),
            (
                "NAME_RESERVED_WINDOWS",
                &[b"CON", b"nul.txt", b"COM1", b"LPT\xc2\xb9", b"aux.c", b"con .x", b"CONOUT$"],
            ),
            ("NAME_TRAILING", &[b"file.", b"file ", b"...", b" "]),
            ("NAME_ADS", &[b"a:stream", b"B::Op", b"C:"]),
            ("NAME_CHAR", &[b"a<b", b"a?b", b"a*b", b"a\"b", b"a|b", b"a\\b", b"a>b"]),
            ("NAME_ENCODING", &[b"caf\xe9"]),
            ("NAME_BIDI", &["a\u{202e}b".as_bytes(), "\u{2067}".as_bytes()]),
            (
                "",
                &[
                    b"README",
                    b"a b",
                    b"COM0",
                    b"COM10",
                    b"null",
                    b"cone",
                    b"LPTX",
                    b".hidden",
                    b"-rf",
                    "é".as_bytes(),
                ],
            ),
        ] {
            for name in names {
                assert_eq!(code(name), want, "{}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn long_and_deep_paths_are_found() {
        let deep = |count: usize| vec!["d"; count].join("/").into_bytes();
        assert_eq!(check_path(&[b'x'; 1_024]), None);
        assert_eq!(check_path(&[b'x'; 1_025]), Some(NameRule::PathBytes));
        assert_eq!(check_path(&deep(64)), None);
        assert_eq!(check_path(&deep(65)), Some(NameRule::Depth));
    }

    #[test]
    fn names_that_others_take_for_one_are_found() {
        let found = |names: &[&str]| -> Vec<(String, String, &'static str)> {
            let mut sorted: Vec<&str> = names.to_vec();
            sorted.sort_unstable_by_key(|name| name.as_bytes());
            collisions(sorted.len(), |index| sorted[index].as_bytes())
                .into_iter()
                .map(|c| (sorted[c.other].to_owned(), sorted[c.index].to_owned(), c.rule.code()))
                .collect()
        };
        let one = |first: &str, second: &str, code| vec![(first.to_owned(), second.to_owned(), code)];
        assert_eq!(found(&["README", "readme", "other"]), one("README", "readme", "NAME_CASE_COLLISION"));
        assert_eq!(found(&["ReadMe", "README"]), one("README", "ReadMe", "NAME_CASE_COLLISION"));
        assert_eq!(found(&["\u{e9}", "e\u{301}"]), one("e\u{301}", "\u{e9}", "NAME_UNICODE_COLLISION"));
        assert_eq!(found(&["\u{c9}", "e\u{301}"]), one("e\u{301}", "\u{c9}", "NAME_CASE_COLLISION"));
        assert_eq!(found(&["A", "a", "B", "b"]).len(), 2);
        assert_eq!(found(&["AB", "Ab", "ab"]).len(), 2);
        assert_eq!(found(&["a", "b", "Makefile", "c.d"]), Vec::new());
    }

    #[test]
    fn a_policy_is_read_from_its_own_word() {
        for policy in NamesPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("POSIX".parse::<NamesPolicy>().is_err());
        for (index, rule) in NameRule::ALL.into_iter().enumerate() {
            assert_eq!(rule.index(), index);
        }
    }

    proptest! {
        #[test]
        fn collisions_are_those_that_comparing_all_pairs_finds(names in prop::collection::btree_set("[aAbBéÉ\u{301}e]{1,3}", 0..12)) {
            let mut sorted: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            sorted.sort_unstable();
            let fold = |name: &[u8]| super::folded(name).unwrap_or_else(|| name.to_vec());
            let slow: Vec<usize> = (0..sorted.len())
                .filter(|i| (0..*i).any(|j| fold(sorted[j]) == fold(sorted[*i])))
                .collect();
            let fast: Vec<usize> = collisions(sorted.len(), |i| sorted[i]).into_iter().map(|c| c.index).collect();
            assert_eq!(fast, slow);
        }

        #[test]
        fn no_name_upsets_the_check(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let _rule = check_name(&name);
            let _rule = check_path(&name);
        }
    }
}
