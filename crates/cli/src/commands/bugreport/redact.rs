//! Taking secrets out of text: what looks like one, and what is known to be one.

use crate::commands::doctor::secret_files;
use crate::data_folder::DataFolder;

/// What stands in the place of a secret.
const MARK: &str = "[REDACTED]";
/// A word of a key file that is shorter tells nothing.
const WORD_BYTES_MIN: usize = 16;
/// A token is at least so long, its prefix not counted.
const TOKEN_BYTES_MIN: usize = 12;
/// Names of values that are secret, in small letters, as a part of the name.
const NAMES: [&str; 7] =
    ["password", "passwd", "secret", "authorization", "private_key", "api_key", "access_key"];

/// Takes secrets out, and counts them.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// Words of the key files of the data folder.
    known: Vec<String>,
    taken_out: u64,
}

impl Redactor {
    /// One that also knows what the key files of `folder` hold.
    pub(super) fn of(folder: &DataFolder) -> Self {
        let mut known = Vec::new();
        for file in secret_files(folder).into_iter().filter(|file| *file != folder.config()) {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            known.push(bytes.iter().map(|b| format!("{b:02x}")).collect());
            if let Ok(text) = String::from_utf8(bytes) {
                // Certificates are no secret, and their parts are in no log.
                known.extend(text.split_whitespace().map(str::to_owned));
            }
        }
        known.retain(|word: &String| word.len() >= WORD_BYTES_MIN && !word.starts_with("-----"));
        known.sort_by_key(|word| std::cmp::Reverse(word.len()));
        known.dedup();
        Self { known, taken_out: 0 }
    }

    /// How often something was taken out so far.
    pub(super) fn taken_out(&self) -> u64 {
        self.taken_out
    }

    /// The text without secrets.
    pub(super) fn clean(&mut self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut is_within_key = false;
        for line in text.split_inclusive('\n') {
            if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
                // The end may stand in the same line, written with escaped line breaks.
                is_within_key = !line.contains("-----END");
                self.taken_out += 1;
                clean.push_str(&format!("{MARK}\n"));
                continue;
            }
            if is_within_key {
                is_within_key = !line.contains("-----END");
                continue;
            }
            clean.push_str(&self.line(line));
        }
        clean
    }

    fn line(&mut self, line: &str) -> String {
        let mut line = self.named_values(line);
        line = self.user_information(&line);
        line = self.tokens(&line);
        for word in &self.known {
            if line.contains(word.as_str()) {
                self.taken_out += 1;
                line = line.replace(word.as_str(), MARK);
            }
        }
        line
    }

    /// `password = "…"`, `"client_secret":"…"`, `Authorization: Basic …`.
    fn named_values(&mut self, line: &str) -> String {
        let small = line.to_ascii_lowercase();
        let mut out = String::new();
        let mut from = 0;
        while let Some((at, name)) =
            NAMES.iter().filter_map(|name| Some((from + small[from..].find(name)?, *name))).min()
        {
            let after = at + name.len();
            let rest = &line[after..];
            // The name may go on and be quoted; a sign of assignment must follow.
            let gap = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-\\\"' ".contains(c)));
            let sign = gap.filter(|gap| rest[*gap..].starts_with([':', '=']) && *gap <= 24);
            let Some(sign) = sign else {
                out.push_str(&line[from..after]);
                from = after;
                continue;
            };
            let value = &rest[sign + 1..];
            let lead = value.len() - value.trim_start_matches([' ', '\\', '"', '\'']).len();
            let begins = after + sign + 1 + lead;
            let quote = value[..lead].trim_start().trim_start_matches('\\').chars().next();
            let value = &line[begins..];
            let end = match quote {
                Some(quote) => value.find(quote).unwrap_or(value.len()),
                // A scheme and its credentials are two words.
                None => value.find([',', ';', '\n', '}']).unwrap_or(value.len()),
            };
            out.push_str(&line[from..begins]);
            if end > 0 {
                out.push_str(MARK);
                self.taken_out += 1;
            }
            from = begins + end;
        }
        out.push_str(&line[from..]);
        out
    }

    /// `postgres://anna:secret@host/…`.
    fn user_information(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            out.push_str(before);
            let end = after.find(['/', ' ', '"', '\'', '\n', '\\', '?']).unwrap_or(after.len());
            rest = after;
            if let Some(sign) = after[..end].rfind('@') {
                out.push_str(MARK);
                self.taken_out += 1;
                rest = &after[sign..];
            }
        }
        out.push_str(rest);
        out
    }

    /// `rj1_…`, `rst_…` and the like: an `r`, letters and digits, `_`, and a long rest.
    fn tokens(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        while let Some(at) = rest.find(is_part) {
            let length = rest[at..].find(|c| !is_part(c)).unwrap_or(rest.len() - at);
            let word = &rest[at..at + length];
            out.push_str(&rest[..at]);
            let is_token = word.split_once('_').is_some_and(|(prefix, secret)| {
                prefix.len() <= 4
                    && prefix.starts_with('r')
                    && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                    && secret.len() >= TOKEN_BYTES_MIN
                    && secret.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            });
            if is_token {
                out.push_str(&word[..=word.find('_').unwrap_or(0)]);
                out.push_str(MARK);
                self.taken_out += 1;
            } else {
                out.push_str(word);
            }
            rest = &rest[at + length..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{MARK, Redactor};

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        let canary = "Canary0Canary1Canary2";
        for line in [
            format!("password = \"{canary}\"\n"),
            format!("Password: {canary}\n"),
            format!("Authorization: Basic {canary}\n"),
            format!("{{\"client_secret\":\"{canary}\",\"x\":1}}\n"),
            format!("{{\"message\":\"{{\\\"password\\\":\\\"{canary}\\\"}}\"}}\n"),
            format!("url = \"postgres://anna:{canary}@host/db\"\n"),
            format!("url = \"postgres://{canary}@host\"\n"),
            format!("enrol with rj1_{canary} now\n"),
            format!("Bearer rst_{canary}\n"),
            format!("opened with rct_{canary}_-{canary}\n"),
            format!("a\n-----BEGIN PRIVATE KEY-----\n{canary}\n-----END PRIVATE KEY-----\nb\n"),
            format!(
                "{{\"pem\":\"-----BEGIN EC PRIVATE KEY-----\\n{canary}\\n-----END EC PRIVATE KEY-----\"}}\nb\n"
            ),
        ] {
            let mut redactor = Redactor::default();
            let clean = redactor.clean(&line);
            assert!(!clean.contains("Canary"), "{line} became {clean}");
            assert!(clean.contains(MARK) && redactor.taken_out() > 0, "{clean}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "package XYZ00001 version 3 is stored\nlisten = \"127.0.0.1:8720\"\nurl = \"\"\n\
                    restock_log_lines_lost_total 0\nhttp://dp01:8721/SMS_DP_SMSPKG$/XYZ00001/a@b\n\
                    the secret is not told\n";
        let mut redactor = Redactor::default();
        assert_eq!(redactor.clean(text), text);
        assert_eq!(redactor.taken_out(), 0);
    }

    #[test]
    fn words_of_key_files_are_taken_out_wherever_they_stand() {
        let mut redactor = Redactor { known: vec!["MIGHAgEAMBMGByqGSM49".to_owned()], taken_out: 0 };
        assert_eq!(redactor.clean("got MIGHAgEAMBMGByqGSM49!\n"), format!("got {MARK}!\n"));
    }
}
