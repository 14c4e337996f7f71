//! A control connection: the site's half.

use std::net::SocketAddr;
use std::sync::Arc;

use restock_content::statement::KeyList;
use restock_names::DistributionPointName;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::{HEAD_EVERY, Shared, SiteSide, refuse};
use crate::links::Registration;
use crate::message::Message;
use crate::site_trust::Authorities;
use crate::stream::{Reader, Writer};
use crate::{Fingerprint, Hello, Identity, LinkError, PROTOCOL, Refusal, Welcome};

/// Serves one point's control connection until it ends.
pub(super) async fn serve<S: SiteSide>(
    shared: &Shared<S>,
    name: DistributionPointName,
    hello: Hello,
    remote: SocketAddr,
    reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let keys = shared.trust.key_list_changes();
    let authorities = shared.trust.authority_changes();
    let welcome = Welcome {
        protocol: PROTOCOL,
        site: shared.trust.site(),
        key_list: shared.trust.key_list().encode(),
        authorities: shared.authority_list(),
        head: shared.head(),
    };
    writer.message(&Message::Welcome(welcome)).await?;
    let mut registration = shared.links.register(&name);
    if hello.serves {
        shared.links.note_serving(&name, registration.connection);
    }
    tracing::debug!(point = %name, %remote, software = hello.software, "distribution point connected");
    let ended = match shared.side.connected(&name, registration.connection, hello, remote).await {
        Ok(()) => {
            let cancel = registration.cancel.clone();
            let serving = converse(shared, &name, &mut registration, (keys, authorities), reader, writer);
            cancel.run_until_cancelled(serving).await.unwrap_or(Err(LinkError::Stopped))
        }
        Err(refusal) => refuse(writer, refusal.into()).await,
    };
    if shared.links.unregister(&name, &registration) {
        tracing::debug!(point = %name, "distribution point disconnected");
        shared.side.disconnected(&name).await;
    }
    ended
}

async fn converse<S: SiteSide>(
    shared: &Shared<S>,
    name: &DistributionPointName,
    registration: &mut Registration,
    (mut keys, mut authorities): (watch::Receiver<Arc<KeyList>>, watch::Receiver<Arc<Authorities>>),
    mut reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let idle = shared.limits.idle;
    let mut deadline = Instant::now() + idle;
    let mut head = tokio::time::interval_at(Instant::now() + HEAD_EVERY, HEAD_EVERY);
    head.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            job = registration.jobs.recv() => match job {
                Some(job) => {
                    // It may be signed with a key that came a moment ago.
                    if keys.has_changed().is_ok_and(|changed| changed) {
                        tell_keys(&mut keys, &mut writer).await?;
                    }
                    writer.message(&Message::Job(job)).await?;
                }
                None => return Ok(()),
            },
            Some((ticket, content)) = registration.wants.recv() => {
                writer.message(&Message::PullWanted { ticket, content }).await?;
            }
            Some(content) = registration.drafts.recv() => writer.message(&Message::Draft { content }).await?,
            Ok(()) = keys.changed() => tell_keys(&mut keys, &mut writer).await?,
            Ok(()) = authorities.changed() => {
                authorities.mark_unchanged();
                let authorities = shared.authority_list();
                writer.message(&Message::Authorities { authorities }).await?;
            }
            _ = head.tick() => writer.message(&Message::Head { head: shared.head() }).await?,
            message = reader.message_by("say anything", deadline, idle) => {
                deadline = Instant::now() + idle;
                if let Some(answer) = answer(shared, name, message?).await? {
                    writer.message(&answer).await?;
                }
            }
        }
    }
}

async fn tell_keys(keys: &mut watch::Receiver<Arc<KeyList>>, writer: &mut Writer) -> Result<(), LinkError> {
    let key_list = keys.borrow_and_update().encode();
    writer.message(&Message::KeyList { key_list }).await
}

async fn answer<S: SiteSide>(
    shared: &Shared<S>,
    name: &DistributionPointName,
    message: Message,
) -> Result<Option<Message>, LinkError> {
    match message {
        Message::Ping => Ok(Some(Message::Pong)),
        Message::Pong => Ok(None),
        Message::Progress(progress) => {
            shared.side.progress(name, progress);
            Ok(None)
        }
        Message::Report { sequence, report } => match shared.side.report(name, report).await {
            Ok(()) => Ok(Some(Message::Ack { sequence })),
            Err(refusal) if refusal.is_transient => {
                tracing::warn!(point = %name, %refusal, "report not taken, it will come again");
                Ok(None)
            }
            Err(refusal) => {
                tracing::warn!(point = %name, %refusal, "report refused");
                Ok(Some(Message::Ack { sequence }))
            }
        },
        Message::Renew { request } => renew(shared, name, &request).await.map(Some),
        _ => Err(LinkError::Unexpected("a message that has no place on a control connection")),
    }
}

/// A new certificate for a key that is still enrolled.
async fn renew<S: SiteSide>(
    shared: &Shared<S>,
    name: &DistributionPointName,
    request: &[u8],
) -> Result<Message, LinkError> {
    let certificate = shared.trust.issue(name, request, shared.run.clock.now())?;
    let fingerprint = Fingerprint::of_key_in(&certificate)?;
    if !shared.side.is_enrolled(name, fingerprint).await? {
        let text = format!("{name} is not enrolled with the key of its request");
        return Err(Refusal::new("IDENTITY", text).into());
    }
    let identity = Identity::of_certificate(&certificate)?;
    tracing::info!(point = %name, %identity, "certificate renewed");
    Ok(Message::Renewed { certificate: certificate.to_vec() })
}
