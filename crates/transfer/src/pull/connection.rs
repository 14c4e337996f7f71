//! One connection of a pull: asking, reading, handing frames to its thread, beginning again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use restock_content::transfer::{ConnectionId, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::patience::Patience;
use super::source::Cut;
use super::store::Storing;
use super::{Pull, PullError, until_cancelled};
use crate::frame::{Frame, TYPE_REQUEST, put_frame};
use crate::message::Message;
use crate::stream::{Reader, Writer};
use crate::{LinkError, PROTOCOL, Run};

/// How long a holder may take to say that the version may be fetched.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Batches of frames handed to the thread ahead of the one it works on.
const BATCHES_AHEAD: usize = 1;

/// Bytes of frames that wait for the thread; above this nothing more is read.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Runs a connection until the pull is done, it fails for good, or the run is cancelled.
pub(super) fn start(pull: &Arc<Pull>, id: ConnectionId, run: &Run) -> JoinHandle<Result<(), PullError>> {
    let (pull, run) = (Arc::clone(pull), run.clone());
    run.tracker.clone().spawn(async move {
        let ended = keep_up(&pull, id, &run).await;
        if ended.is_err() {
            // One that failed for good ends the pull; the others stop.
            run.cancel.cancel();
        }
        ended
    })
}

async fn keep_up(pull: &Arc<Pull>, id: ConnectionId, run: &Run) -> Result<(), PullError> {
    let (mut failures, mut slow) = (0_u32, 0_u32);
    let mut patience = Patience::default();
    loop {
        let stored_before = stored(pull);
        let cause = match Box::pin(one_connection(pull, id, run, &mut patience)).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        failures = if stored(pull) > stored_before { 1 } else { failures + 1 };
        // One that drips stores something each time: that is no reason to go on for ever.
        slow += u32::from(matches!(cause, PullError::Link(LinkError::TooSlow { .. })));
        if matches!(cause, PullError::Cancelled) {
            return Err(cause);
        }
        pull.counts.connections_failed.fetch_add(1, Ordering::Relaxed);
        pull.progress.connection_failed(&cause);
        if !cause.is_worth_reconnecting() || failures.max(slow) >= pull.options.attempts_max {
            return Err(cause);
        }
        let delay = pull.options.retry.draw(failures);
        tracing::info!(connection = id.0, package.id = %pull.content.package, %cause, delay_ms = delay.as_millis() as u64, "pull connection failed");
        until_cancelled(&run.cancel, async {
            tokio::time::sleep(delay).await;
            Ok(())
        })
        .await?;
    }
}

fn stored(pull: &Pull) -> u64 {
    pull.counts.pages.load(Ordering::Relaxed) + pull.counts.chunks.load(Ordering::Relaxed)
}

/// One connection, from connect to its end. Its thread has ended when this returns.
async fn one_connection(
    pull: &Arc<Pull>,
    id: ConnectionId,
    run: &Run,
    patience: &mut Patience,
) -> Result<(), PullError> {
    let (mut reader, mut writer, cut) = until_cancelled(&run.cancel, async { Ok(open(pull).await?) }).await?;
    pull.receiver().opened(id);
    let (frames, mut batches) = mpsc::channel::<Vec<Frame>>(BATCHES_AHEAD);
    let (answers, mut results) = mpsc::unbounded_channel();
    let this = Arc::clone(pull);
    let thread = run.tracker.spawn_blocking(move || {
        let mut storing = Storing::new(&this, id);
        while let Some(batch) = batches.blocking_recv() {
            let result = storing.store(&batch);
            let failed = result.is_err();
            if answers.send(result).is_err() || failed {
                return;
            }
        }
    });
    let mut pending = Vec::new();
    patience.connected();
    let exchange =
        exchange(pull, id, &mut reader, &mut writer, &mut pending, &frames, &mut results, patience);
    // A holder that lost its right is dropped at once.
    let exchange =
        async { cut.token.run_until_cancelled(exchange).await.unwrap_or(Err(LinkError::Stopped.into())) };
    let ended = until_cancelled(&run.cancel, exchange).await;
    // What arrived whole before the end need not be sent again.
    if !pending.is_empty() && frames.send(pending).await.is_err() {
        tracing::trace!(connection = id.0, "frames that arrived last are not taken");
    }
    drop(frames);
    let panicked = thread.await.is_err();
    let owed = pull.receiver().closed(id);
    pull.announce();
    let Pull { counts, .. } = &**pull;
    counts.wire_received.fetch_add(reader.received(), Ordering::Relaxed);
    counts.wire_sent.fetch_add(writer.sent(), Ordering::Relaxed);
    // The thread knows better why frames stopped being taken.
    let ended = match (ended, drain(&mut results)) {
        (Err(PullError::Link(_)) | Ok(()), Err(error)) => Err(error),
        (ended, _) => ended,
    };
    match ended {
        _ if panicked => Err(PullError::Panicked),
        Err(PullError::Link(source @ (LinkError::Closed | LinkError::Truncated))) if owed > 0 => {
            Err(PullError::Truncated { owed, source })
        }
        Ok(()) => {
            writer.close().await;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn open(pull: &Pull) -> Result<(Reader, Writer, Cut), LinkError> {
    let (mut reader, mut writer, cut) = pull.source.connect(pull.content).await?;
    let content = pull.content;
    let hello = match &pull.following {
        Some(following) => Message::DraftHello { protocol: PROTOCOL, content, from: following.next() },
        None => {
            let base = pull.base().map(|(base, _)| base);
            Message::PullHello { protocol: PROTOCOL, content, base }
        }
    };
    writer.message(&hello).await?;
    match reader.message("answer the request for a version", READY_TIMEOUT).await? {
        Message::PullReady => Ok((reader, writer, cut)),
        Message::Refused(refusal) => Err(refusal.into()),
        _ => Err(LinkError::Unexpected("another answer to a request for a version")),
    }
}

/// Asks and reads until everything is stored. Dropping the future loses nothing.
#[expect(clippy::too_many_arguments, reason = "the parts of one connection, each borrowed apart")]
async fn exchange(
    pull: &Pull,
    id: ConnectionId,
    reader: &mut Reader,
    writer: &mut Writer,
    pending: &mut Vec<Frame>,
    frames: &mpsc::Sender<Vec<Frame>>,
    results: &mut mpsc::UnboundedReceiver<Result<(), PullError>>,
    patience: &mut Patience,
) -> Result<(), PullError> {
    let options = &pull.options;
    let mut changed = pull.changed.subscribe();
    let mut pending_bytes = 0;
    let mut received = reader.received();
    loop {
        changed.mark_unchanged();
        let (step, owes) = {
            let mut receiver = pull.receiver();
            (receiver.next(id), receiver.outstanding(id) > 0)
        };
        match step {
            Step::Ask(request) => {
                let mut out = Vec::new();
                put_frame(&mut out, TYPE_REQUEST, &[&request.encode()]);
                writer.write(&out).await?;
                continue;
            }
            Step::Done => return Ok(()),
            Step::Wait => {}
        }
        let reads = pending_bytes < PENDING_BYTES_MAX;
        let begun = Instant::now();
        let most = if owes { patience.left(options) } else { options.idle };
        tokio::select! {
            read = tokio::time::timeout(most, reader.fill_up()), if reads => if let Ok(read) = read {
                read?;
                while let Some(frame) = reader.buffered()? {
                        pending_bytes += frame.body.len();
                        pending.push(frame);
                }
                pull.progress.received(reader.received() - received);
            },
            permit = frames.reserve(), if !pending.is_empty() => match permit {
                Ok(permit) => {
                    permit.send(std::mem::take(pending));
                    pending_bytes = 0;
                }
                // The thread has ended; its result says why.
                Err(_gone) => return drain(results).and(Err(PullError::Panicked)),
            },
            result = results.recv() => match result {
                Some(result) => result?,
                None => return Err(PullError::Panicked),
            },
            _ = changed.changed() => {}
        }
        if owes && reads {
            patience.waited(begun.elapsed());
        }
        if reader.received() > received {
            patience.received(reader.received() - received);
            received = reader.received();
        }
        if owes && reads {
            patience.judge(options)?;
        }
    }
}

/// The first error among results not looked at yet.
fn drain(results: &mut mpsc::UnboundedReceiver<Result<(), PullError>>) -> Result<(), PullError> {
    while let Ok(result) = results.try_recv() {
        result?;
    }
    Ok(())
}
