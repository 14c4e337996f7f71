//! A log file that is set aside when it has reached its size.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How files that were set aside are named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    /// One older file whose name ends in `_` in place of its last letter: `x.log` → `x.lo_`.
    Underscore,
    /// This many older files with numbers: `x.jsonl.1` is the youngest.
    Numbered(u32),
}

/// Appends lines; a line is never divided between two files.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    size_max: u64,
    kept: Kept,
    /// `None` after a rotation whose new file could not be made; opened again with the next line.
    file: Option<File>,
    size: u64,
}

impl RotatingFile {
    /// Opens the file at its end. A file may grow to `size_max` bytes, or to one longer line.
    pub(super) fn open(path: &Path, size_max: u64, kept: Kept) -> io::Result<Self> {
        let mut log = Self { path: path.to_owned(), size_max, kept, file: None, size: 0 };
        log.reopen()?;
        Ok(log)
    }

    /// Appends one line, which ends with its line break.
    ///
    /// Errors: the line is lost; the next one is tried again.
    pub(super) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.size > 0 && self.size + length > self.size_max {
            self.file = None;
            self.set_aside()?;
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
            self.size += length;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn set_aside(&self) -> io::Result<()> {
        match self.kept {
            Kept::Underscore => {
                let mut name = self.path.as_os_str().to_string_lossy().into_owned();
                name.pop();
                std::fs::rename(&self.path, format!("{name}_"))
            }
            Kept::Numbered(0) => std::fs::remove_file(&self.path),
            Kept::Numbered(most) => {
                for number in (1..most).rev() {
                    match std::fs::rename(self.numbered(number), self.numbered(number + 1)) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                        _ => {}
                    }
                }
                std::fs::rename(&self.path, self.numbered(1))
            }
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, RotatingFile};

    #[test]
    fn a_full_log_is_set_aside_whole_and_a_restart_goes_on_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("distmgr.log");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let mut log = RotatingFile::open(&path, 8, Kept::Underscore).unwrap();
        for line in ["one\n", "two\n"] {
            log.write_line(line.as_bytes()).unwrap();
        }
        assert_eq!(read("distmgr.log"), "one\ntwo\n");
        drop(log);
        let mut log = RotatingFile::open(&path, 8, Kept::Underscore).unwrap();
        log.write_line(b"three is long\n").unwrap();
        assert_eq!(
            (read("distmgr.lo_"), read("distmgr.log")),
            ("one\ntwo\n".into(), "three is long\n".into())
        );
        log.write_line(b"four\n").unwrap();
        assert_eq!((read("distmgr.lo_"), read("distmgr.log")), ("three is long\n".into(), "four\n".into()));
    }

    #[test]
    fn numbered_logs_keep_so_many_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::open(&dir.path().join("x.jsonl"), 1, Kept::Numbered(2)).unwrap();
        for line in ["1\n", "2\n", "3\n", "4\n"] {
            log.write_line(line.as_bytes()).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x.jsonl", "x.jsonl.1", "x.jsonl.2"]);
        assert_eq!(std::fs::read_to_string(dir.path().join("x.jsonl.2")).unwrap(), "2\n");
    }
}
