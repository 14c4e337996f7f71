//! Writes what is left of the faulty disk after a fault as real files.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Fault;
use super::model::{FileNode, Model, Node};
use crate::random::Random;

pub(super) fn write(model: &Model, fault: Fault, to: &Path) -> io::Result<()> {
    let mut random = Random::new(if let Fault::PowerMixed(seed) = fault { seed } else { 0 });
    let names = match fault {
        Fault::Nothing | Fault::Half | Fault::Kill | Fault::Error | Fault::PowerKeepsNames => {
            model.names_all()
        }
        Fault::Power => model.names_synced(),
        Fault::PowerMixed(_) => model.names_up_to(|unsynced| random.index(unsynced + 1)),
    };
    std::fs::create_dir(to)?;
    // A folder's path is a prefix of its files' paths and so sorts before them.
    for (path, node) in names {
        let target = to.join(&path);
        match model.node(node) {
            Node::Folder => std::fs::create_dir(&target)?,
            Node::File(file) => {
                std::fs::write(&target, bytes(file, fault, &mut random))?;
                if file.is_read_only {
                    std::fs::set_permissions(&target, Permissions::from_mode(0o444))?;
                }
            }
        }
    }
    Ok(())
}

fn bytes(file: &FileNode, fault: Fault, random: &mut Random) -> Vec<u8> {
    let mut bytes = file.durable.clone();
    for change in &file.unsynced {
        let survives = match fault {
            Fault::Nothing | Fault::Half | Fault::Kill | Fault::Error => true,
            Fault::Power | Fault::PowerKeepsNames => false,
            Fault::PowerMixed(_) => random.chance(2),
        };
        if survives {
            change.apply(&mut bytes);
        }
    }
    bytes
}
