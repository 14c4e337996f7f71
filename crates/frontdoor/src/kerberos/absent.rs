//! What stands for Kerberos where the feature is not built: types without values.

use super::{Accepted, KerberosError, TicketRefusal};

/// No keys.
#[derive(Debug, Clone)]
pub(super) enum Keys {}

impl Keys {
    pub(super) fn open() -> Result<Self, KerberosError> {
        Err(KerberosError::NotBuilt)
    }

    pub(super) fn accept(&self, _token: &[u8], _binding: Option<&[u8]>) -> Result<Accepted, TicketRefusal> {
        match *self {}
    }
}

/// No keys of a connection.
#[derive(Debug)]
pub(crate) enum Context {}

impl Context {
    pub(crate) fn open(&mut self, _signature: &[u8], _sealed: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match *self {}
    }
}
