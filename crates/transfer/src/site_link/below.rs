//! Connections of a site below: its control connection, and those on which it, or a point, serves this
//! one.

use std::net::SocketAddr;
use std::sync::Mutex;

use restock_names::ContentVersion;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{HEAD_EVERY, Shared, SitePeer, SiteSide, refuse};
use crate::enrolment::check_key_list;
use crate::links::Handed;
use crate::message::Message;
use crate::replicate::{self, End, Talk};
use crate::site_message::SiteHello;
use crate::stream::{Reader, Writer};
use crate::{Fingerprint, Holder, LinkError, Refusal};

/// Serves the control connection of a site below until it ends.
pub(super) async fn serve<S: SiteSide>(
    shared: &Shared<S>,
    peer: SitePeer,
    hello: SiteHello,
    remote: SocketAddr,
    reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let site = peer.site;
    if hello.site != site {
        let text = format!("site {site} says that it is {}", hello.site);
        return refuse(writer, Refusal::new("SENDER_MISMATCH", text).into()).await;
    }
    let keys = match check_key_list(&hello.key_list, site, &peer.enrolled.root_key) {
        Ok(keys) => keys,
        Err(error) => return refuse(writer, Refusal::new("KEY_LIST", error.to_string()).into()).await,
    };
    // An older connection of the site is ended before it is asked what is applied.
    let mut registration = shared.links.register_site(site, &peer.all);
    let begin = async {
        let facts = shared.side.replica_facts(site).await?;
        shared.side.site_connected(site, hello.clone(), keys, Some(remote)).await?;
        let (list, authorities) = (shared.trust.key_list_changes(), shared.trust.authority_changes());
        let mut welcome = SiteHello::new(shared.trust.site(), &facts, shared.trust.key_list().encode());
        welcome.authorities = shared.authority_list();
        welcome.head = shared.head();
        Ok::<_, Refusal>((facts, list, authorities, welcome))
    };
    let ended = match begin.await {
        Ok((facts, list, authorities, welcome)) => {
            tracing::debug!(%site, %remote, software = hello.software, "site connected");
            let talk = Talk {
                side: &*shared.side,
                links: &shared.links,
                peer: site,
                ours: facts,
                theirs: hello,
                idle: shared.limits.idle,
                // The site below asks for signs of life.
                tick: shared.limits.idle,
                key_list: list,
                authorities: Some(authorities),
            };
            let cancel = registration.cancel.clone();
            let end = Below { shared, peer: &peer, head_at: Mutex::new(Instant::now() + HEAD_EVERY) };
            let serving = async {
                writer.message(&Message::SiteWelcome(welcome)).await?;
                replicate::converse(talk, &end, &mut registration.commands, reader, writer).await
            };
            cancel.run_until_cancelled(Box::pin(serving)).await.unwrap_or(Err(LinkError::Stopped))
        }
        Err(refusal) => refuse(writer, refusal.into()).await,
    };
    if shared.links.unregister_site(site, &registration) {
        tracing::debug!(%site, "site disconnected");
        let cause = ended.as_ref().err().unwrap_or(&LinkError::Closed);
        shared.side.site_disconnected(site, cause, None).await;
    }
    ended
}

/// Gives a connection on which a site below or a point serves a version to the pull that wants it. `cut`
/// ends it.
pub(super) async fn hand_over<S: SiteSide>(
    shared: &Shared<S>,
    (holder, cut): (Holder, CancellationToken),
    ticket: u64,
    content: &ContentVersion,
    reader: Reader,
    writer: Writer,
) -> Result<(), LinkError> {
    let Some(waiting) = shared.links.take_wish(holder, ticket, content) else {
        return refuse(writer, LinkError::Unexpected("nobody wants this version")).await;
    };
    let (held, ended) = tokio::sync::oneshot::channel();
    // The pull may have ended meanwhile: then the connection is dropped here.
    if waiting.send(Handed { reader, writer, cut, held }).is_ok() {
        // It counts as a connection of this listener until the pull lets go of it.
        let _let_go = ended.await;
    }
    Ok(())
}

/// What a site below says beside changes.
struct Below<'a, S> {
    shared: &'a Shared<S>,
    peer: &'a SitePeer,
    /// When the next head is sent.
    head_at: Mutex<Instant>,
}

impl<S: SiteSide> End for Below<'_, S> {
    async fn heard(&self, message: Message) -> Result<Option<Message>, LinkError> {
        let (shared, site) = (self.shared, self.peer.site);
        match message {
            Message::Renew { request } => {
                let certificate = shared.trust.issue_to_site(site, &request, shared.run.clock.now())?;
                let fingerprint = Fingerprint::of_key_in(&certificate)?;
                if shared.side.is_site_enrolled(site, fingerprint).await?.is_none() {
                    let text = format!("site {site} is not enrolled with the key of its request");
                    return Err(Refusal::new("IDENTITY", text).into());
                }
                tracing::info!(%site, "certificate renewed");
                Ok(Some(Message::Renewed { certificate: certificate.to_vec() }))
            }
            Message::KeyList { key_list } => {
                let keys = check_key_list(&key_list, site, &self.peer.enrolled.root_key)?;
                shared.side.site_key_list(site, keys).await?;
                Ok(None)
            }
            _ => Err(LinkError::Unexpected("a message that has no place on a control connection")),
        }
    }

    fn due(&self) -> Result<Vec<Message>, LinkError> {
        let mut head_at = self.head_at.lock().expect("no code panics while holding this lock");
        if Instant::now() < *head_at {
            return Ok(Vec::new());
        }
        *head_at = Instant::now() + HEAD_EVERY;
        Ok(vec![Message::Head { head: self.shared.head() }])
    }
}
