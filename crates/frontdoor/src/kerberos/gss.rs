//! Kerberos by the system's GSS-API library, MIT's.
//!
//! Only the mechanism itself is asked: which mechanism is taken was decided before
//! (`restock_wire::spnego`).
//! Source: RFC 2744, 5.1; RFC 4121, 4.2; MIT Kerberos, `gssapi_ext.h` and `krb5_err.et`.

use libgssapi::context::{CtxFlags, SecurityContext as _, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::{Error, MajorFlags};
use libgssapi::oid::{GSS_MECH_KRB5, OidSet};
use libgssapi::util::{GssIov, GssIovType};

use super::{Accepted, KerberosError, TicketRefusal};

/// `GSS_C_CHANNEL_BOUND_FLAG`: the client sent a binding, and it was right.
const CHANNEL_BOUND: u32 = 0x800;
/// Where the number of a routine error stands in a major status.
const ROUTINE_ERRORS: u32 = 0x00ff_0000;
/// The error table `krb5`: the number that error 0 has.
const KRB5_ERRORS: i32 = -1_765_328_384;
/// How a sealed message begins, before its flags.
const WRAP_TOKEN: [u8; 2] = [5, 4];
/// The flag of a message that is encrypted and not signed alone.
const SEALED: u8 = 2;

/// The keytab's keys; it is read again for each ticket.
#[derive(Clone)]
pub(super) struct Keys(Cred);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Errors: there is no keytab, or nothing in it.
    pub(super) fn open() -> Result<Self, KerberosError> {
        // Texts of errors are kept for each thread: they are made here, at once.
        let keys = |error: Error| KerberosError::Keys(error.to_string());
        let mechanisms = OidSet::singleton(GSS_MECH_KRB5).map_err(keys)?;
        // No name: a ticket for any entry is read, and its service looked at afterwards.
        let credential = Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms)).map_err(keys)?;
        Ok(Self(credential))
    }

    /// Takes a client's one token.
    pub(super) fn accept(&self, token: &[u8], binding: Option<&[u8]>) -> Result<Accepted, TicketRefusal> {
        let mut context = ServerCtx::new(Some(self.0.clone()));
        let reply = context.step(token, binding).map_err(|error| refusal(&error))?;
        // DCE's form needs a third token, which no client sends over HTTP.
        if !context.is_complete() {
            return Err(TicketRefusal::Format);
        }
        // Nothing is done in a client's name.
        drop(context.take_delegated_cred());
        let info = context.info().map_err(|error| refusal(&error))?;
        let text = |name: &libgssapi::name::Name| {
            let shown = name.display_name().map_err(|error| refusal(&error))?;
            String::from_utf8(shown.to_vec()).map_err(|_not_text| TicketRefusal::Format)
        };
        let sealing = CtxFlags::GSS_C_CONF_FLAG
            | CtxFlags::GSS_C_INTEG_FLAG
            | CtxFlags::GSS_C_REPLAY_FLAG
            | CtxFlags::GSS_C_SEQUENCE_FLAG;
        Ok(Accepted {
            client: text(&info.source_name)?,
            service: text(&info.target_name)?,
            valid_for: info.lifetime,
            is_bound: info.flags.bits() & CHANNEL_BOUND != 0,
            can_seal: info.flags.contains(sealing),
            reply: reply.map(|reply| reply.to_vec()),
            context: Context(context),
        })
    }
}

/// What the library's numbers mean to a client.
fn refusal(error: &Error) -> TicketRefusal {
    let routine = error.major.bits() & ROUTINE_ERRORS;
    if routine == MajorFlags::GSS_S_BAD_BINDINGS.bits() {
        return TicketRefusal::ChannelBinding;
    }
    match error.minor.cast_signed().wrapping_sub(KRB5_ERRORS) {
        // TKT_EXPIRED, TKT_NYV
        32 | 33 => TicketRefusal::Expired,
        // REPEAT
        34 => TicketRefusal::Replayed,
        // NOT_US, NOKEY, WRONG_PRINC, KT_NOTFOUND
        35 | 45 | 144 | 181 => TicketRefusal::Service,
        // SKEW
        37 => TicketRefusal::Skew,
        _ if routine == MajorFlags::GSS_S_DEFECTIVE_TOKEN.bits() => TicketRefusal::Format,
        _ => TicketRefusal::Other(error.to_string()),
    }
}

/// The keys of a connection.
pub(crate) struct Context(ServerCtx);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// Opens a sealed message. `None`: it was changed, came out of order, or is not encrypted.
    pub(crate) fn open(&mut self, signature: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let is_sealed = signature.starts_with(&WRAP_TOKEN) && signature.get(2)? & SEALED != 0;
        // The signature is the message's own beginning.
        let message = [signature, sealed].concat();
        let opened = self.0.unwrap(&message).ok().filter(|_| is_sealed)?;
        Some(opened.to_vec())
    }

    /// Seals a message: its signature, and as many bytes as it has.
    pub(crate) fn close(&mut self, message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut data = message.to_vec();
        let signature = {
            // Without a place for what follows the data, it is turned round into the head.
            let mut parts = [
                GssIov::new_alloc(GssIovType::Header),
                GssIov::new(GssIovType::Data, &mut data),
                GssIov::new_alloc(GssIovType::Padding),
            ];
            self.0.wrap_iov(true, &mut parts).ok()?;
            let [header, _, padding] = &parts;
            if !padding.is_empty() {
                return None;
            }
            header.to_vec()
        };
        Some((signature, data))
    }
}
