//! What of a source is no part of its package: patterns of paths, chosen for each package.
//!
//! [`ExcludeRules`] is the checked list as it is stored and sent; [`ExcludeRules::matcher`] compiles it.
//! The rules are a small part of those of a `.gitignore`: no exception beneath what is excluded, no
//! files with rules in the source.
//!
//! Source: docs/formats/manifest.md, "Excludes".

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use crate::Escaped;

/// Rules of one package, at most.
pub const EXCLUDE_RULES_MAX: usize = 200;
/// Bytes of one rule, at most.
pub const EXCLUDE_RULE_BYTES_MAX: usize = 500;

/// The rules of one package, each of which can be compiled.
///
/// A rule is compared with the bytes of a path, in its letter case. `*` is any run of bytes and `?` any
/// byte but `/`; `[a-z]` is one byte of a class; `{a,b}` is either; `\` takes what is special from the next
/// character. `**/` at the beginning, `/**/` and `/**` at the end stand for any number of folders. Without a
/// `/`, except one at its end, a rule is compared with the last component alone, at any depth; otherwise
/// with the whole path. A `/` at the end lets it match folders only. What lies beneath an excluded folder
/// is excluded with it.
///
/// Limits: [`EXCLUDE_RULES_MAX`] rules of 1 to [`EXCLUDE_RULE_BYTES_MAX`] bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ExcludeRules(Vec<String>);

/// Why a text is no rule. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("EXCLUDE_INVALID: {} is no rule for excluding: {problem}", Escaped(.rule.as_bytes()))]
pub struct ExcludeError {
    /// The beginning of the text.
    pub rule: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ExcludeRules {
    /// Checks rules and takes them.
    ///
    /// Errors: the first rule that cannot be one, or that is one too many.
    pub fn new(rules: Vec<String>) -> Result<Self, ExcludeError> {
        for (index, rule) in rules.iter().enumerate() {
            let refused =
                |problem: String| Err(ExcludeError { rule: rule.chars().take(80).collect(), problem });
            if index == EXCLUDE_RULES_MAX {
                return refused(format!("a package has at most {EXCLUDE_RULES_MAX} of them"));
            }
            if rule.is_empty() || rule.len() > EXCLUDE_RULE_BYTES_MAX {
                return refused(format!("1 to {EXCLUDE_RULE_BYTES_MAX} bytes are wanted"));
            }
            if rule.chars().any(char::is_control) {
                return refused("control characters are not allowed".to_owned());
            }
            if rule.starts_with('!') {
                return refused("exceptions are not supported; \\! begins a name with !".to_owned());
            }
            if let Err(error) = pattern(rule) {
                return refused(error.kind().to_string());
            }
        }
        Ok(Self(rules))
    }

    /// The rules as a text with one line each, which [`str::parse`] reads; no rule is an empty text.
    pub fn to_lines(&self) -> String {
        self.0.join("\n")
    }

    /// True when nothing is excluded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules in the order given.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The rules, ready to be asked.
    pub fn matcher(&self) -> ExcludeMatcher {
        let mut sets = [Set::new(), Set::new()];
        for rule in &self.0 {
            let Ok(Pattern { glob, is_name, is_folder }) = pattern(rule) else { continue };
            let set = &mut sets[usize::from(is_folder)];
            if is_name {
                set.names.add(glob)
            } else {
                set.paths.add(glob)
            };
        }
        let [any, folders] = sets.map(Set::build);
        ExcludeMatcher { any, folders }
    }
}

impl FromStr for ExcludeRules {
    type Err = ExcludeError;

    fn from_str(text: &str) -> Result<Self, ExcludeError> {
        Self::new(text.lines().map(str::to_owned).collect())
    }
}

impl TryFrom<Vec<String>> for ExcludeRules {
    type Error = ExcludeError;

    fn try_from(rules: Vec<String>) -> Result<Self, ExcludeError> {
        Self::new(rules)
    }
}

impl From<ExcludeRules> for Vec<String> {
    fn from(rules: ExcludeRules) -> Self {
        rules.0
    }
}

struct Pattern {
    glob: globset::Glob,
    is_name: bool,
    is_folder: bool,
}

fn pattern(rule: &str) -> Result<Pattern, globset::Error> {
    let (body, is_folder) = match rule.strip_suffix('/') {
        Some(body) if !body.is_empty() && !body.ends_with('\\') => (body, true),
        _ => (rule, false),
    };
    let is_name = !body.contains('/');
    let body = if is_name { body } else { body.strip_prefix('/').unwrap_or(body) };
    let glob = GlobBuilder::new(body)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()?;
    Ok(Pattern { glob, is_name, is_folder })
}

struct Set {
    names: GlobSetBuilder,
    paths: GlobSetBuilder,
}

impl Set {
    fn new() -> Self {
        Self { names: GlobSetBuilder::new(), paths: GlobSetBuilder::new() }
    }

    fn build(self) -> Matchers {
        // Each rule was compiled by itself when it was taken; together they are no other patterns.
        let build = |builder: GlobSetBuilder| builder.build().unwrap_or_else(|_| GlobSet::empty());
        Matchers { names: build(self.names), paths: build(self.paths) }
    }
}

#[derive(Debug, Clone, Default)]
struct Matchers {
    names: GlobSet,
    paths: GlobSet,
}

impl Matchers {
    fn matches(&self, path: &[u8], name: &[u8]) -> bool {
        (!self.names.is_empty() && self.names.is_match(OsStr::from_bytes(name)))
            || (!self.paths.is_empty() && self.paths.is_match(OsStr::from_bytes(path)))
    }
}

/// Compiled [`ExcludeRules`].
#[derive(Clone, Default)]
pub struct ExcludeMatcher {
    any: Matchers,
    folders: Matchers,
}

impl ExcludeMatcher {
    /// True when nothing is excluded.
    pub fn is_empty(&self) -> bool {
        [&self.any, &self.folders].iter().all(|set| set.names.is_empty() && set.paths.is_empty())
    }

    /// True when the entry `name` in `folder` (empty: the root) is excluded. Folders above it are not
    /// asked for again.
    pub fn excludes(&self, folder: &[u8], name: &[u8], is_folder: bool) -> bool {
        let joined;
        let path = if folder.is_empty() {
            name
        } else {
            joined = [folder, b"/", name].concat();
            &joined
        };
        self.any.matches(path, name) || (is_folder && self.folders.matches(path, name))
    }
}

impl fmt::Debug for ExcludeMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExcludeMatcher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{EXCLUDE_RULES_MAX, ExcludeRules};
    use proptest::prelude::proptest;

    /// Walks down the path as a snapshot does.
    fn is_excluded(rules: &[&str], path: &str) -> bool {
        let matcher =
            ExcludeRules::new(rules.iter().map(|r| (*r).to_owned()).collect()).expect("rules").matcher();
        let (path, is_folder) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let parts: Vec<&str> = path.split('/').collect();
        (0..parts.len()).any(|at| {
            let is_last = at + 1 == parts.len();
            matcher.excludes(parts[..at].join("/").as_bytes(), parts[at].as_bytes(), !is_last || is_folder)
        })
    }

    #[test]
    fn rules_are_read_as_their_documentation_says() {
        for (rule, excluded, kept) in [
            ("*.tmp", &["a.tmp", "x/y/a.tmp", "d.tmp/in"][..], &["a.tmp2", "tmp"][..]),
            (".git/", &[".git/", ".git/x", "a/.git/config"], &[".git", "a/.gitignore"]),
            ("/build", &["build", "build/x"], &["a/build"]),
            ("a/*.o", &["a/x.o"], &["a/b/x.o", "b/a/x.o"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["b/a/z"]),
            ("logs/**", &["logs/a", "logs/a/b"], &["logs", "x/logs/a"]),
            ("**/cache/", &["cache/x", "a/b/cache/"], &["a/cache"]),
            ("x?", &["xy"], &["x", "xyz"]),
            ("[ab]c", &["ac", "d/bc"], &["cc"]),
            ("{a,b}.txt", &["a.txt", "b.txt"], &["c.txt"]),
            (r"\*", &["*"], &["a"]),
            (r"\!x", &["!x"], &["x"]),
        ] {
            for path in excluded {
                assert!(is_excluded(&[rule], path), "{rule} excludes {path}");
            }
            for path in kept {
                assert!(!is_excluded(&[rule], path), "{rule} keeps {path}");
            }
        }
        assert!(!is_excluded(&["*.TMP"], "a.tmp"), "in its letter case");
    }

    #[test]
    fn names_that_are_not_text_are_compared_as_bytes() {
        let matcher = ExcludeRules::new(vec!["caf?".to_owned()]).expect("a rule").matcher();
        assert!(matcher.excludes(b"x", b"caf\xe9", false));
        assert!(!matcher.excludes(b"x", "café".as_bytes(), false), "two bytes");
    }

    #[test]
    fn what_is_no_rule_is_refused_by_name() {
        let refusal = |rules: Vec<String>| ExcludeRules::new(rules).expect_err("refused").to_string();
        for bad in ["", "!a", "[a", "{a", "a\nb", &"x".repeat(501)] {
            let text = refusal(vec![bad.to_owned()]);
            assert!(text.starts_with("EXCLUDE_INVALID: "), "{text}");
        }
        let text = refusal(vec!["a".to_owned(); EXCLUDE_RULES_MAX + 1]);
        assert!(text.contains("at most 200"), "{text}");
        let rules = ExcludeRules::new(vec!["a".to_owned(), "b c/".to_owned()]).expect("rules");
        assert_eq!(rules.to_lines().parse(), Ok(rules.clone()));
        assert_eq!("".parse(), Ok(ExcludeRules::default()));
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_compiler(rule in ".{0,40}", path in "[a-c/]{1,10}") {
            if let Ok(rules) = ExcludeRules::new(vec![rule]) {
                let _excluded = rules.matcher().excludes(b"", path.as_bytes(), true);
            }
        }
    }
}
