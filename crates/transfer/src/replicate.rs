//! The exchange on a control connection between two sites, the same at both ends: changes both ways,
//! one window in flight each way, acknowledged when it is durable.
//!
//! What differs between the ends is [`End`]. Writing is apart from reading: two ends that send each
//! other long windows at once do not wait for each other.
//!
//! Source: docs/formats/link.md, "Between sites".

mod window;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::KeyList;
use restock_names::SiteCode;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::frame::message_frame;
use crate::message::Message;
use crate::site_link::{SiteSide, refuse};
use crate::site_message::{Changes, ReplicaFacts, SiteHello};
use crate::site_trust::Authorities;
use crate::stream::{Reader, Writer};
use crate::{LinkError, Links};

pub use window::{Incoming, Outgoing, Verdict};
use window::{acknowledgement, is_incarnation};

/// Frames that wait to be written.
const FRAMES_MAX: usize = 16;
/// How long a peer may take for what is left to be written when a connection ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the two ends do differently.
pub(crate) trait End: Sync {
    /// A message that is not about changes, and the answer to it.
    fn heard(&self, message: Message) -> impl Future<Output = Result<Option<Message>, LinkError>> + Send;

    /// What is to be said at each tick.
    fn due(&self) -> Result<Vec<Message>, LinkError>;
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Talk<'a, S> {
    pub(crate) side: &'a S,
    pub(crate) links: &'a Links,
    pub(crate) peer: SiteCode,
    pub(crate) ours: ReplicaFacts,
    pub(crate) theirs: SiteHello,
    /// A peer that says nothing for this long is given up.
    pub(crate) idle: Duration,
    /// How often [`End::due`] is asked.
    pub(crate) tick: Duration,
    /// This site's key list: a newer one is sent.
    pub(crate) key_list: watch::Receiver<Arc<KeyList>>,
    /// This site's authorities, for a site below: others are sent.
    pub(crate) authorities: Option<watch::Receiver<Arc<Authorities>>>,
}

/// Exchanges changes until the connection ends, and tells the peer why when it was this end.
pub(crate) async fn converse<S: SiteSide, E: End>(
    talk: Talk<'_, S>,
    end: &E,
    commands: &mut mpsc::Receiver<Message>,
    reader: Reader,
    mut writer: Writer,
) -> Result<(), LinkError> {
    let (frames, mut queue) = mpsc::channel::<Vec<u8>>(FRAMES_MAX);
    let mut is_told = false;
    let ended = {
        let mut writing = pin!(async {
            while let Some(frame) = queue.recv().await {
                writer.write(&frame).await?;
            }
            Ok::<_, LinkError>(())
        });
        let ended = tokio::select! {
            written = &mut writing => Err(written.err().unwrap_or(LinkError::Closed)),
            talked = Box::pin(exchange(talk, end, commands, reader, frames, &mut is_told)) => Ok(talked),
        };
        match ended {
            Err(error) => return Err(error),
            // Whole frames only: what is being written is written out.
            Ok(talked) => match tokio::time::timeout(LAST_WORDS, writing).await {
                Ok(Ok(())) => talked,
                Ok(Err(_)) | Err(_) => return talked,
            },
        }
    };
    match ended {
        Ok(()) => {
            writer.close().await;
            Ok(())
        }
        // Who said no knows it.
        Err(error) if is_told => Err(error),
        Err(error) => refuse(writer, error).await,
    }
}

async fn exchange<S: SiteSide, E: End>(
    talk: Talk<'_, S>,
    end: &E,
    commands: &mut mpsc::Receiver<Message>,
    mut reader: Reader,
    frames: mpsc::Sender<Vec<u8>>,
    is_told: &mut bool,
) -> Result<(), LinkError> {
    let Talk { side, links, peer, ours, theirs, idle, tick, mut key_list, mut authorities } = talk;
    if !is_incarnation(&theirs.incarnation) || theirs.incarnation.is_empty() {
        return Err(LinkError::Format("the incarnation is not 1 to 64 visible characters".to_owned()));
    }
    // Numbers of another database mean nothing: then everything is sent.
    let of = |incarnation: &str, received: &crate::Received| {
        if received.incarnation == incarnation { received.sequence } else { 0 }
    };
    let mut outgoing = Outgoing::new(of(&ours.incarnation, &theirs.received));
    let mut incoming = Incoming::new(theirs.incarnation.clone(), of(&theirs.incarnation, &ours.received));
    let mut changed = links.changed();
    let mut tick = tokio::time::interval_at(Instant::now() + tick, tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = Instant::now() + idle;
    let mut looks = true;
    // The writer has ended when nothing can be queued: its result tells why.
    let queue = async |message: &Message| {
        frames.send(message_frame(&message.encode())).await.map_err(|_ended| LinkError::Closed)
    };
    loop {
        if looks && outgoing.is_free() {
            if outgoing.is_drained() {
                changed.mark_unchanged();
                outgoing.refill(side.next_changes(peer, outgoing.acknowledged()).await?)?;
            }
            match outgoing.window()? {
                Some(window) => {
                    links.count(peer, |counts| counts.bytes_sent += window.len() as u64);
                    frames.send(message_frame(&window)).await.map_err(|_ended| LinkError::Closed)?;
                }
                None => looks = false,
            }
        }
        tokio::select! {
            message = reader.message_by("say anything", deadline, idle) => {
                let answer = match message? {
                    Message::Changes(changes) => {
                        Some(take(side, links, peer, &mut incoming, changes).await?)
                    }
                    Message::ChangesAck { last } => {
                        if let Some(objects) = outgoing.acknowledge(last)? {
                            links.count(peer, |counts| counts.objects_sent += objects);
                            side.changes_acknowledged(peer, last).await?;
                            looks = true;
                        }
                        None
                    }
                    Message::Ping => Some(Message::Pong),
                    Message::Pong => None,
                    Message::Refused(refusal) => {
                        *is_told = true;
                        return Err(refusal.into());
                    }
                    other => end.heard(other).await?,
                };
                // What this end took its time for is no silence of the peer.
                deadline = Instant::now() + idle;
                if let Some(answer) = answer {
                    queue(&answer).await?;
                }
            }
            Ok(()) = changed.changed() => looks = true,
            Some(command) = commands.recv() => queue(&command).await?,
            Ok(()) = key_list.changed() => {
                let key_list = key_list.borrow_and_update().encode();
                queue(&Message::KeyList { key_list }).await?;
            }
            Some(authorities) = changed_authorities(&mut authorities) => {
                queue(&Message::Authorities { authorities }).await?;
            }
            _ = tick.tick() => {
                for message in end.due()? {
                    queue(&message).await?;
                }
            }
        }
    }
}

/// The list of authorities when others count; waits for ever without one to watch.
async fn changed_authorities(watched: &mut Option<watch::Receiver<Arc<Authorities>>>) -> Option<Vec<u8>> {
    let Some(watched) = watched else { return std::future::pending().await };
    watched.changed().await.ok()?;
    watched.borrow_and_update().list().map(|list| list.encode())
}

/// Applies changes that follow what is applied; others have no effect. Returns the answer.
async fn take<S: SiteSide>(
    side: &S,
    links: &Links,
    peer: SiteCode,
    incoming: &mut Incoming,
    changes: Changes,
) -> Result<Message, LinkError> {
    let last = changes.last;
    match incoming.judge(changes)? {
        Verdict::Apply(batch) => {
            let objects = batch.objects.len() as u64;
            side.take_changes(peer, batch).await?;
            incoming.applied_to(last);
            links.count(peer, |counts| counts.objects_received += objects);
            Ok(acknowledgement(last))
        }
        Verdict::Known => {
            tracing::warn!(site = %peer, last, "changes came again and have no effect");
            links.count(peer, |counts| counts.replayed += 1);
            Ok(acknowledgement(last))
        }
        Verdict::Gap => {
            tracing::warn!(site = %peer, last, applied = incoming.applied(), "changes are missing and asked for again");
            links.count(peer, |counts| counts.gaps += 1);
            Ok(acknowledgement(incoming.applied()))
        }
    }
}
