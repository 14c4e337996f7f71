//! What is on its way and what has arrived: the order of changes, without I/O.

use std::collections::VecDeque;

use crate::message::Message;
use crate::site_message::{Batch, CHANGE_BYTES_MAX, Change, Changes, NextChanges, SEQUENCE_MAX};
use crate::{LinkError, message};

/// The longest `changes` message.
const WINDOW_BYTES: usize = message::MESSAGE_BYTES_MAX - 4096;
/// Windows in a row of which the other end takes nothing.
const REWINDS_MAX: u32 = 16;

/// Changes that are to be sent: one window is in flight at most.
#[derive(Debug)]
pub struct Outgoing {
    /// What the other end has.
    acknowledged: u64,
    in_flight: Option<InFlight>,
    waiting: VecDeque<Change>,
    /// What the changes in `waiting` reach to.
    through: u64,
    rewinds: u32,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    last: u64,
    objects: u64,
}

impl Outgoing {
    /// The other end has everything up to `acknowledged`.
    pub fn new(acknowledged: u64) -> Self {
        Self { acknowledged, in_flight: None, waiting: VecDeque::new(), through: acknowledged, rewinds: 0 }
    }

    /// What the other end has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// May a window be sent?
    pub fn is_free(&self) -> bool {
        self.in_flight.is_none()
    }

    /// Is there nothing left of what was read?
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.through <= self.acknowledged
    }

    /// Takes changes that follow what was acknowledged.
    ///
    /// Errors: they do not rise.
    pub fn refill(&mut self, next: NextChanges) -> Result<(), LinkError> {
        let mut last = self.acknowledged;
        for change in &next.changes {
            if change.sequence <= last {
                return Err(LinkError::Unexpected("this site's changes are not in order"));
            }
            last = change.sequence;
        }
        self.through = next.through.max(last);
        self.waiting = next.changes.into();
        Ok(())
    }

    /// The next window's JSON text, if there is anything to send; it is in flight from then on.
    ///
    /// Errors: an object that fits no frame.
    pub fn window(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        if !self.is_free() || self.is_drained() {
            return Ok(None);
        }
        let mut objects = String::new();
        let (mut count, mut last) = (0, self.acknowledged);
        while let Some(change) = self.waiting.front() {
            let text = change.object.to_string();
            if text.len() > CHANGE_BYTES_MAX {
                return Err(LinkError::TooLong { length: text.len() as u64, limit: CHANGE_BYTES_MAX });
            }
            if count > 0 && objects.len() + text.len() >= WINDOW_BYTES {
                break;
            }
            if count > 0 {
                objects.push(',');
            }
            objects.push_str(&text);
            count += 1;
            last = change.sequence;
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            last = self.through;
        }
        self.in_flight = Some(InFlight { last, objects: count });
        let first = self.acknowledged + 1;
        let text = format!(r#"{{"type":"changes","first":{first},"last":{last},"objects":[{objects}]}}"#);
        Ok(Some(text.into_bytes()))
    }

    /// The other end has everything up to `last`. Returns how many objects it took; `None` when it
    /// says nothing new.
    ///
    /// Errors: it acknowledges what was not sent, or takes nothing however often it is sent.
    pub fn acknowledge(&mut self, last: u64) -> Result<Option<u64>, LinkError> {
        match self.in_flight {
            None if last <= self.acknowledged => Ok(None),
            Some(sent) if last == sent.last => {
                self.in_flight = None;
                self.acknowledged = last;
                self.rewinds = 0;
                Ok(Some(sent.objects))
            }
            Some(sent) if last < sent.last => {
                self.rewinds += 1;
                if self.rewinds > REWINDS_MAX {
                    return Err(LinkError::Unexpected("the peer takes no changes"));
                }
                *self = Self { rewinds: self.rewinds, ..Self::new(last) };
                Ok(Some(0))
            }
            _ => Err(LinkError::Unexpected("the peer acknowledges changes that were not sent")),
        }
    }
}

/// Changes that arrive.
#[derive(Debug)]
pub struct Incoming {
    incarnation: String,
    applied: u64,
}

/// What is to be done with changes.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// They follow: to be applied.
    Apply(Batch),
    /// They came before.
    Known,
    /// Others are missing before them.
    Gap,
}

impl Incoming {
    /// Everything up to `applied` of the database `incarnation` is applied.
    pub fn new(incarnation: String, applied: u64) -> Self {
        Self { incarnation, applied }
    }

    /// Everything up to this number is applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The changes up to `last` are durable.
    pub fn applied_to(&mut self, last: u64) {
        self.applied = self.applied.max(last);
    }

    /// Decides by the numbers.
    ///
    /// Errors: numbers that no site can mean.
    pub fn judge(&self, changes: Changes) -> Result<Verdict, LinkError> {
        let Changes { first, last, objects } = changes;
        let is_sound = (1..=last).contains(&first)
            && last <= SEQUENCE_MAX
            && objects.len() as u64 <= (last - first).saturating_add(1);
        if !is_sound {
            let text = format!("{} changes numbered {first} to {last}", objects.len());
            return Err(LinkError::Format(text));
        }
        if last <= self.applied {
            return Ok(Verdict::Known);
        }
        if first > self.applied + 1 {
            return Ok(Verdict::Gap);
        }
        Ok(Verdict::Apply(Batch { incarnation: self.incarnation.clone(), first, last, objects }))
    }
}

/// Whom a text names as the database: checked, since it is stored.
pub(super) fn is_incarnation(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The acknowledgement of everything up to `last`.
pub(super) fn acknowledgement(last: u64) -> Message {
    Message::ChangesAck { last }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};
    use serde_json::{Value, json};

    use super::{Incoming, Outgoing, Verdict};
    use crate::message::{MESSAGE_BYTES_MAX, Message};
    use crate::site_message::{Change, Changes, NextChanges};

    fn next(changes: Vec<Change>) -> NextChanges {
        NextChanges { through: changes.last().map_or(0, |change| change.sequence), changes }
    }

    fn decode(window: &[u8]) -> Changes {
        assert!(window.len() < MESSAGE_BYTES_MAX);
        match Message::decode(window).unwrap() {
            Message::Changes(changes) => changes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_window_is_in_flight_and_a_gap_sends_again_from_where_the_peer_is() {
        let change = |sequence| Change { sequence, object: json!({"n": sequence}) };
        let mut outgoing = Outgoing::new(5);
        assert!(outgoing.window().unwrap().is_none());
        outgoing.refill(NextChanges { through: 12, changes: vec![change(7), change(9)] }).unwrap();
        let window = decode(&outgoing.window().unwrap().unwrap());
        assert_eq!((window.first, window.last, window.objects.len()), (6, 12, 2));
        assert!(outgoing.window().unwrap().is_none(), "one at a time");
        assert_eq!(outgoing.acknowledge(2).unwrap(), Some(0));
        assert_eq!((outgoing.acknowledged(), outgoing.is_drained()), (2, true));
        outgoing.refill(NextChanges { through: 12, changes: vec![change(7), change(9)] }).unwrap();
        assert_eq!(decode(&outgoing.window().unwrap().unwrap()).first, 3);
        assert_eq!(outgoing.acknowledge(12).unwrap(), Some(2));
        assert_eq!(outgoing.acknowledge(12).unwrap(), None);
        assert!(outgoing.acknowledge(13).is_err(), "never sent");
        assert!(outgoing.refill(next(vec![change(12)])).is_err());
        assert!(outgoing.refill(next(vec![change(14), change(14)])).is_err());
        outgoing.refill(next(vec![Change { sequence: 20, object: json!("x".repeat(1_000_001)) }])).unwrap();
        assert!(outgoing.window().is_err());
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up() {
        let mut outgoing = Outgoing::new(0);
        let mut rounds = 0;
        loop {
            outgoing.refill(next(vec![Change { sequence: 1, object: json!(1) }])).unwrap();
            outgoing.window().unwrap().unwrap();
            rounds += 1;
            if outgoing.acknowledge(0).is_err() {
                break;
            }
        }
        assert_eq!(rounds, 17);
    }

    #[test]
    fn numbers_decide_what_is_applied() {
        let incoming = Incoming::new("a".to_owned(), 10);
        let judge = |first, last, count: usize| {
            incoming.judge(Changes { first, last, objects: vec![Value::Null; count] })
        };
        assert!(matches!(judge(11, 15, 5), Ok(Verdict::Apply(batch)) if batch.last == 15));
        assert!(matches!(judge(3, 12, 1), Ok(Verdict::Apply(_))), "an overlap is harmless");
        assert_eq!(judge(3, 10, 1).unwrap(), Verdict::Known);
        assert_eq!(judge(12, 15, 1).unwrap(), Verdict::Gap);
        for (first, last, count) in [(0, 5, 0), (6, 5, 0), (11, 12, 3), (11, u64::MAX, 0), (11, 1 << 63, 0)] {
            assert!(judge(first, last, count).is_err(), "{first} {last} {count}");
        }
    }

    proptest! {
        #[test]
        fn every_change_arrives_once_in_order_however_long_they_are(
            lengths in prop::collection::vec((1_u64..5, 0_usize..300_000), 1..30), read in 1_usize..9, jump in any::<bool>(),
        ) {
            let mut sequence = 0;
            let all: Vec<Change> = lengths.iter().map(|(step, length)| {
                sequence += step;
                Change { sequence, object: json!([sequence, "y".repeat(*length)]) }
            }).collect();
            let through = if jump { sequence + 3 } else { sequence };
            let (mut outgoing, mut incoming) = (Outgoing::new(0), Incoming::new("a".to_owned(), 0));
            let mut seen = Vec::new();
            while incoming.applied() < through {
                if outgoing.is_drained() {
                    let rest: Vec<Change> =
                        all.iter().filter(|c| c.sequence > outgoing.acknowledged()).take(read).cloned().collect();
                    let last = rest.last().map_or(through, |c| if c.sequence == sequence { through } else { c.sequence });
                    outgoing.refill(NextChanges { through: last, changes: rest }).unwrap();
                }
                let window = decode(&outgoing.window().unwrap().unwrap());
                match incoming.judge(window).unwrap() {
                    Verdict::Apply(batch) => {
                        seen.extend(batch.objects.iter().map(|object| object[0].as_u64().unwrap()));
                        incoming.applied_to(batch.last);
                        outgoing.acknowledge(batch.last).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            let wanted: Vec<u64> = all.iter().map(|change| change.sequence).collect();
            assert_eq!(seen, wanted);
        }
    }
}
