//! Changing one key of a configuration file and nothing else of it.

/// `text` with `key = value` in `[section]`: the line of the key is replaced; a key or section that
/// is missing is added. Comments and everything else stay as they are.
///
/// `value`: as TOML writes it, quotes included. Keys are looked for where the template has them: one a
/// line, unindented.
pub(crate) fn with_key(text: &str, section: &str, key: &str, value: &str) -> String {
    let wanted = format!("{key} = {value}");
    let heading = format!("[{section}]");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.iter().position(|line| line.trim() == heading) {
        None => lines.extend([String::new(), heading, wanted]),
        Some(at) => {
            let below = &lines[at + 1..];
            let end = below.iter().position(|line| line.starts_with('[')).unwrap_or(below.len());
            let found = below[..end]
                .iter()
                .position(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key));
            match found {
                Some(line) => lines[at + 1 + line] = wanted,
                None => lines.insert(at + 1, wanted),
            }
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::with_key;

    #[test]
    fn only_the_named_key_changes() {
        let text = "# top\n[link]\n# Where.\nlisten = \"a\"\nurl = \"\"\n\n[database]\nurl = \"x\"\n";
        assert_eq!(
            with_key(text, "link", "url", "\"restock://h:1\""),
            "# top\n[link]\n# Where.\nlisten = \"a\"\nurl = \"restock://h:1\"\n\n[database]\nurl = \"x\"\n"
        );
        assert_eq!(with_key(text, "database", "url", "\"y\""), text.replace("\"x\"", "\"y\""));
        assert_eq!(
            with_key("[link]\nlisten = \"a\"\n", "link", "url", "1"),
            "[link]\nurl = 1\nlisten = \"a\"\n"
        );
        assert_eq!(with_key("role = \"site\"\n", "link", "url", "1"), "role = \"site\"\n\n[link]\nurl = 1\n");
    }
}
