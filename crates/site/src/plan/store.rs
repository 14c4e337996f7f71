//! The files of plans: `DATA/plans/ID.json`, each replaced as a whole. Source: docs/formats/plan.md.

use std::io;
use std::path::{Path, PathBuf};

use restock_content::files::{DiskFiles, replace};
use restock_names::{PackageId, Timestamp};

use super::{FORMAT, Plan, PlanError};

/// No plan's file is larger, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A name for a new plan. `nonce` tells plans of one package apart.
pub(crate) fn fresh_id(package: PackageId, nonce: &[u8]) -> String {
    let digest = blake3::hash(nonce).to_hex();
    format!("{package}-{}", &digest.as_str()[..8])
}

pub(super) fn write(folder: &Path, plan: &Plan) -> Result<(), PlanError> {
    let path = path_of(folder, &plan.plan);
    let text = serde_json::to_vec_pretty(plan).expect("a plan is plain data with text keys");
    std::fs::create_dir_all(folder)
        .and_then(|()| replace(&DiskFiles, &path, &text))
        .map_err(|source| PlanError::File { step: "write", path, source })
}

pub(super) fn remove(folder: &Path, id: &str) -> Result<(), PlanError> {
    let path = path_of(folder, id);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(PlanError::File { step: "remove", path, source }),
    }
}

/// All plans whose time is not over at `now`; the files of others, and what is no plan, are removed.
pub(super) fn read_all(folder: &Path, now: Timestamp) -> Result<Vec<Plan>, PlanError> {
    let fail =
        |step: &'static str, path: PathBuf| move |source: io::Error| PlanError::File { step, path, source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(PlanError::File { step: "read", path: folder.to_owned(), source }),
    };
    let mut plans = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail("read", folder.to_owned()))?.path();
        let is_small = path.metadata().is_ok_and(|found| found.len() <= FILE_BYTES_MAX);
        let text =
            if is_small { std::fs::read(&path).map_err(fail("read", path.clone()))? } else { Vec::new() };
        match parse(&text) {
            Some(plan) if plan.until > now && path == path_of(folder, &plan.plan) => plans.push(plan),
            _ => std::fs::remove_file(&path).map_err(fail("remove", path))?,
        }
    }
    plans.sort_by(|a, b| a.plan.cmp(&b.plan));
    Ok(plans)
}

fn parse(text: &[u8]) -> Option<Plan> {
    serde_json::from_slice::<Plan>(text).ok().filter(|plan| plan.format == FORMAT)
}

fn path_of(folder: &Path, id: &str) -> PathBuf {
    // The name of a plan has letters, digits and a dash; nothing else reaches the file system.
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    folder.join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::{parse, read_all, remove, write};
    use restock_names::Timestamp;

    /// A plan as version 1 wrote it.
    const SAMPLE: &[u8] = include_bytes!("../../../../docs/formats/samples/plan-1.json");

    #[test]
    fn a_plan_of_format_1_is_read() {
        let plan = parse(SAMPLE).expect("format 1");
        assert_eq!((plan.plan.as_str(), plan.root.entries), ("XYZ00001-0f1e2d3c", 19));
        assert_eq!(plan.base.map(|base| base.version.0), Some(3));
        let again = serde_json::to_vec_pretty(&plan).expect("plain data");
        assert_eq!(parse(&again), Some(plan));
    }

    #[test]
    fn plans_are_kept_until_their_time_is_over_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("plans");
        assert!(read_all(&folder, Timestamp(0)).expect("no folder yet").is_empty());
        let plan = parse(SAMPLE).expect("format 1");
        write(&folder, &plan).expect("written");
        std::fs::write(folder.join("XYZ00001-other.json"), SAMPLE).expect("written");
        std::fs::write(folder.join("x.json.tmp"), b"half").expect("written");
        let before = Timestamp(plan.until.0 - 1);
        assert_eq!(read_all(&folder, before).expect("readable"), std::slice::from_ref(&plan));
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 1, "strange files are removed");
        assert!(read_all(&folder, plan.until).expect("readable").is_empty());
        write(&folder, &plan).expect("written");
        remove(&folder, "../plans/XYZ00001-0f1e2d3c").expect("no such plan");
        remove(&folder, &plan.plan).expect("removed");
        remove(&folder, &plan.plan).expect("gone is fine");
    }
}
