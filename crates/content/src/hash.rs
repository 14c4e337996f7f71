//! BLAKE3 with one context per kind of object, so that bytes of one kind never pass as another.
//!
//! Source: docs/formats/manifest.md, "Digests".

use std::cmp::Ordering;
use std::sync::LazyLock;

use blake3::Hasher;
use restock_names::Digest;

const CHUNK: &str = "restock 2026-11 chunk v1";
const PAGE: &str = "restock 2026-11 manifest page v1";
const FILE: &str = "restock 2026-11 file v1";
const PATH: &str = "restock 2026-11 path v1";
const TABLE: &str = "restock 2026-11 pack table v1";
const KEY: &str = "restock 2026-11 key id v1";

/// A hasher with its context key set up once; cloning it is a copy of a few hundred bytes.
struct Context(LazyLock<Hasher>);

static CHUNK_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(CHUNK)));
static PAGE_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(PAGE)));
static FILE_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(FILE)));
static PATH_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(PATH)));
static TABLE_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(TABLE)));
static KEY_HASHER: Context = Context(LazyLock::new(|| Hasher::new_derive_key(KEY)));

impl Context {
    fn of(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = Hasher::clone(&self.0);
        for part in parts {
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

/// The digest of a chunk's raw bytes.
pub fn chunk_digest(bytes: &[u8]) -> Digest {
    CHUNK_HASHER.of(&[bytes])
}

/// The digest of a manifest page's encoding.
pub fn page_digest(bytes: &[u8]) -> Digest {
    PAGE_HASHER.of(&[bytes])
}

/// The digest of a sealed pack table, header and records.
pub fn table_digest(bytes: &[u8]) -> Digest {
    TABLE_HASHER.of(&[bytes])
}

/// The identifier of a public key: the first eight bytes of its digest.
pub fn key_id(public: &[u8; 32]) -> [u8; 8] {
    let digest = KEY_HASHER.of(&[public]);
    digest.0[..8].try_into().expect("a digest has more than eight bytes")
}

/// The order of two digests, found by their first eight bytes mostly: for sorting very many.
pub(crate) fn compare(a: &Digest, b: &Digest) -> Ordering {
    let head = |digest: &Digest| digest.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    head(a).cmp(&head(b)).then_with(|| a.cmp(b))
}

/// Decides page borders: the hash of a path at one level of the page tree.
pub(crate) fn path_hash(level: u8, path: &[u8]) -> u64 {
    let digest = PATH_HASHER.of(&[&[level], path]);
    u64::from_le_bytes(digest.0[..8].try_into().expect("a digest has more than eight bytes"))
}

/// Derives a file's digest from its chunk list, a run at a time.
///
/// The same bytes give the same digest whether the list is in the leaf page or in pages of its own.
#[derive(Debug, Clone)]
pub struct FileHasher(Hasher);

impl Default for FileHasher {
    fn default() -> Self {
        Self(Hasher::clone(&FILE_HASHER.0))
    }
}

impl FileHasher {
    /// Adds the next run of the list.
    pub fn run(&mut self, digest: &Digest, length: u32, repeat: u32) {
        self.0.update(&digest.0);
        self.0.update(&length.to_le_bytes());
        self.0.update(&repeat.to_le_bytes());
    }

    /// The file's digest.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}
