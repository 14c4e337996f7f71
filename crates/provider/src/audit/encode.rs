//! What is hashed of a record. Source: docs/formats/audit.md, "Canonical encoding".

use restock_names::Digest;
use restock_sitedb::audit::Record;
use ring::digest::{SHA256, digest};

const MAGIC: &[u8; 4] = b"RSau";
const FORMAT: u16 = 1;

/// The hash of `record`, which follows a record with the hash `previous` (zero for the first).
pub fn hash(previous: Digest, record: &Record) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &canonical(previous, record)).as_ref());
    Digest(hash)
}

/// The canonical encoding of `record`: every field but its own hash.
fn canonical(previous: Digest, record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + record.path.len() + record.parameters.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&previous.0);
    bytes.extend_from_slice(&record.sequence.to_le_bytes());
    bytes.extend_from_slice(&record.at.0.to_le_bytes());
    let texts = [
        &record.account,
        &record.address,
        &record.door,
        &record.operation,
        &record.path,
        &record.method,
        &record.parameters,
    ];
    for text in texts {
        put_text(&mut bytes, text);
    }
    match &record.package {
        None => bytes.push(0),
        Some(package) => {
            bytes.push(1);
            put_text(&mut bytes, package);
        }
    }
    bytes.extend_from_slice(&record.result.to_le_bytes());
    put_text(&mut bytes, &record.correlation);
    for found in [record.before, record.after] {
        match found {
            None => bytes.push(0),
            Some(found) => {
                bytes.push(1);
                bytes.extend_from_slice(&found.0);
            }
        }
    }
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("texts of records are far below 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
