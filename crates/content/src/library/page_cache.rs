//! A small cache of manifest pages, so that walking a tree by ordinals reads each page once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use restock_names::Digest;

/// Bytes of one generation; at most two are kept.
const GENERATION_BYTES: usize = 8 << 20;

/// Two generations: what is used moves to the young one, the old one is dropped when the young is full.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: HashMap<Digest, Arc<[u8]>>,
    old: HashMap<Digest, Arc<[u8]>>,
    young_bytes: usize,
}

impl PageCache {
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let mut state = self.state.lock().expect("no code panics while holding this lock");
        if let Some(page) = state.young.get(digest) {
            return Some(Arc::clone(page));
        }
        let page = state.old.remove(digest)?;
        state.keep(*digest, Arc::clone(&page));
        Some(page)
    }

    pub(super) fn put(&self, digest: Digest, page: Arc<[u8]>) {
        self.state.lock().expect("no code panics while holding this lock").keep(digest, page);
    }

    /// Forgets everything: what is asked for next is read and checked again.
    pub(super) fn clear(&self) {
        *self.state.lock().expect("no code panics while holding this lock") = State::default();
    }
}

impl State {
    fn keep(&mut self, digest: Digest, page: Arc<[u8]>) {
        if self.young_bytes + page.len() > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += page.len();
        self.young.insert(digest, page);
    }
}
