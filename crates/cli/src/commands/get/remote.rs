//! A library that a running site or DP has open, over its control socket.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restock_content::get::{CHUNKS_PER_FETCH, ChunkSource};
use restock_content::hash::page_digest;
use restock_content::manifest::{PageError, PageSource};
use restock_names::Digest;
use serde::de::DeserializeOwned;

use crate::control::{Ask, Client, FRAMES_MAX, FrameLine};
use crate::failure::{Failure, Kind};

// A fetch is one request.
const _: () = assert!(CHUNKS_PER_FETCH <= FRAMES_MAX);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Pages and chunks by digest.
#[derive(Debug)]
pub(super) struct Remote {
    client: RefCell<Client>,
}

impl Remote {
    pub(super) fn new(client: Client) -> Self {
        Self { client: RefCell::new(client) }
    }

    /// Asks for something that has one answer.
    pub(super) fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        self.client.borrow_mut().ask(ask)
    }

    /// Frames in the order asked, as they were answered.
    fn frames(&self, wanted: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        let mut frames = Vec::with_capacity(wanted.len());
        let ask = Ask::Frames { digests: wanted.to_vec() };
        self.client.borrow_mut().stream(ask, &mut |event| {
            let not_understood =
                |e: &dyn std::error::Error| Failure::caused(Kind::Failed, "the answer is not understood", e);
            let line: FrameLine = serde_json::from_value(event).map_err(|e| not_understood(&e))?;
            if wanted.get(frames.len()) != Some(&line.digest) {
                return Err(Failure::failed("the answer is not understood: frames are out of order"));
            }
            frames.push(STANDARD.decode(line.bytes).map_err(|e| not_understood(&e))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(frames)
    }
}

impl PageSource for Remote {
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError> {
        let fail = |source: Error| PageError { digest: *digest, source };
        let page = self.frames(&[*digest]).map_err(fail)?.pop().unwrap_or_default();
        if page_digest(&page) != *digest {
            return Err(fail("CONTENT_HASH_MISMATCH: the page that was answered is another one".into()));
        }
        Ok(page.into())
    }
}

impl ChunkSource for &Remote {
    fn chunks(&mut self, wanted: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        self.frames(wanted)
    }
}
