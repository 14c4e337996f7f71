//! Signing a connection in with a ticket of Kerberos.

use std::sync::Arc;

use restock_names::Escaped;
use restock_provider::account::SignInRefusal;
use restock_wire::spnego::Ticket;

use super::{Identity, Keys, Mechanism, Negotiated, Scheme, is_own_host};
use crate::authenticate::{NotSignedIn, refused_sign_in, unauthorized};
use crate::handler::{Handler, Peer};
use crate::kerberos::TicketRefusal;
use crate::refused::Refused;
use crate::socket::Shared;

/// Signs in whoever a ticket names, when an account has that principal.
///
/// Errors: 401; of a right ticket it does not tell whether the principal is registered.
pub(super) async fn enter(
    handler: &Handler,
    shared: &Arc<Shared>,
    peer: Peer,
    (scheme, ticket): (Scheme, &Ticket),
) -> Result<Negotiated, NotSignedIn> {
    let Some(kerberos) = &handler.kerberos else {
        return Err(NotSignedIn::after_body(unauthorized()));
    };
    let is_own_host = |host: &str| is_own_host(handler, host, peer.local.ip());
    let accepted = kerberos.accept(ticket.token().to_vec(), shared.end_point(), is_own_host).await;
    let accepted = accepted.map_err(|refusal| refuse(&refusal, peer))?;
    let until = handler.now().after(accepted.valid_for);
    let signed_in = handler.accounts.sign_in_principal(&accepted.client, until).await;
    let (signed_in, identity) = signed_in.map_err(|refusal| {
        if matches!(refusal, SignInRefusal::Unauthorized) {
            let principal = Escaped(accepted.client.as_bytes());
            tracing::info!(target: "adminservice", %principal, client = %peer.remote.ip(), "no account has this principal, or it is disabled");
        }
        NotSignedIn::after_body(refused_sign_in(refusal))
    })?;
    let last = ticket.answer(accepted.reply.as_deref()).and_then(|token| scheme.header(&token));
    shared.negotiation().enter(Identity::Kerberos(identity), Keys::Kerberos(accepted.context));
    Ok(Negotiated { signed_in, by: Mechanism::Kerberos, last })
}

/// A ticket that is not taken: 401 with the code.
fn refuse(refusal: &TicketRefusal, peer: Peer) -> NotSignedIn {
    let (code, text) = (refusal.code(), refusal.to_string());
    let description = text.split_once(": ").map_or("", |(_code, description)| description);
    let reason = match refusal {
        TicketRefusal::Other(reason) => reason.as_str(),
        _ => "",
    };
    tracing::info!(target: "adminservice", code, reason, client = %peer.remote.ip(), "a sign-in with Kerberos was refused");
    NotSignedIn::after_body(Refused::transport(401, code, description))
}
