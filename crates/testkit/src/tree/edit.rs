//! Random edits of a folder, of the kinds people and installers make.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{name, paths, set_mtime, write_file};
use crate::random::Random;

/// Makes `count` edits that belong to `seed`; an edit that finds nothing to change does nothing.
pub fn edit(root: &Path, seed: u64, count: usize) -> io::Result<()> {
    let mut random = Random::new(seed);
    for _ in 0..count {
        one(root, &mut random)?;
    }
    Ok(())
}

fn one(root: &Path, random: &mut Random) -> io::Result<()> {
    let all = paths(root)?;
    let folders: Vec<PathBuf> =
        std::iter::once(root.to_owned()).chain(all.iter().filter(|p| is_folder(p)).cloned()).collect();
    let files: Vec<PathBuf> =
        all.iter().filter(|p| std::fs::symlink_metadata(p).is_ok_and(|m| m.is_file())).cloned().collect();
    let fresh = |random: &mut Random| folders[random.index(folders.len())].join(name(random));
    if files.is_empty() {
        return write_file(&fresh(random), &[], random, 100_000);
    }
    let file = &files[random.index(files.len())];
    match random.below(10) {
        0 => overwrite(file, random),
        1 => append(file, random),
        2 => {
            let mut bytes = std::fs::read(file)?;
            bytes.splice(0..0, b"inserted".iter().copied());
            std::fs::write(file, bytes)
        }
        3 => OpenOptions::new().write(true).open(file)?.set_len(std::fs::metadata(file)?.len() / 2),
        4 => std::fs::remove_file(file),
        5 => {
            let target = fresh(random);
            if std::fs::symlink_metadata(&target).is_ok() { Ok(()) } else { std::fs::rename(file, target) }
        }
        6 => {
            let target = fresh(random);
            if std::fs::symlink_metadata(&target).is_ok() {
                return Ok(());
            }
            write_file(&target, &files, random, 100_000)
        }
        7 => std::fs::set_permissions(file, Permissions::from_mode(0o750)),
        8 => set_mtime(file, 1_700_000_000_000_000_000 + random.below(1_000_000_000).cast_signed()),
        _ => replace_by_other_kind(file, random),
    }
}

fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

fn overwrite(file: &Path, random: &mut Random) -> io::Result<()> {
    let length = std::fs::metadata(file)?.len();
    let out = OpenOptions::new().write(true).open(file)?;
    out.write_all_at(&random.bytes(50), random.below(length + 1))
}

fn append(file: &Path, random: &mut Random) -> io::Result<()> {
    let length = std::fs::metadata(file)?.len();
    OpenOptions::new().write(true).open(file)?.write_all_at(&random.bytes(20_000), length)
}

fn replace_by_other_kind(file: &Path, random: &mut Random) -> io::Result<()> {
    std::fs::remove_file(file)?;
    if random.chance(2) { std::fs::create_dir(file) } else { symlink("elsewhere", file) }
}
