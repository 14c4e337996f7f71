//! One end of the exchange between two sites: the link's own machines, and the methods of the production
//! site that a link calls. How messages travel is decided elsewhere.

use std::collections::BTreeSet;

use restock_names::SiteCode;
use restock_site::Side;
use restock_transfer::{
    Changes, Incoming, Outgoing, PROTOCOL, Received, ReplicaFacts, SiteHello, SiteSide, Verdict,
};

/// The exchange, once both ends know each other.
#[derive(Debug)]
pub(crate) struct Talk {
    outgoing: Outgoing,
    incoming: Incoming,
    /// There may be something to send.
    pub(crate) looks: bool,
}

/// What became of a window.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The number to acknowledge.
    pub(crate) answer: u64,
    pub(crate) as_what: HeardAs,
    /// The kinds of the objects that were applied.
    pub(crate) kinds: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeardAs {
    Applied,
    Known,
    Gap,
}

/// What a site says first.
pub(crate) fn hello(site: SiteCode, ours: &ReplicaFacts, key_list: Vec<u8>) -> SiteHello {
    SiteHello {
        protocol: PROTOCOL,
        site,
        incarnation: ours.incarnation.clone(),
        received: ours.received.clone(),
        last: ours.last,
        key_list,
        software: "simulated".to_owned(),
        authorities: Vec::new(),
        head: Vec::new(),
    }
}

impl Talk {
    /// The exchange that follows from what both ends said about themselves.
    pub(crate) fn between(ours: &ReplicaFacts, theirs: &SiteHello) -> Self {
        // As the link does: numbers of another database mean nothing.
        let of = |incarnation: &str, received: &Received| {
            if received.incarnation == incarnation { received.sequence } else { 0 }
        };
        Self {
            outgoing: Outgoing::new(of(&ours.incarnation, &theirs.received)),
            incoming: Incoming::new(theirs.incarnation.clone(), of(&theirs.incarnation, &ours.received)),
            looks: true,
        }
    }

    /// Is nothing on its way, and nothing to be looked for?
    pub(crate) fn is_quiet(&self) -> bool {
        self.outgoing.is_free() && !self.looks
    }

    /// May a window be sent, and is there perhaps one?
    pub(crate) fn is_due(&self) -> bool {
        self.looks && self.outgoing.is_free()
    }

    /// The next window for `peer`, in flight from then on; `None` when it has everything.
    ///
    /// Errors: why the connection is to end.
    pub(crate) async fn window(&mut self, side: &Side, peer: SiteCode) -> Result<Option<Vec<u8>>, String> {
        if self.outgoing.is_drained() {
            let next = side.next_changes(peer, self.outgoing.acknowledged()).await;
            let next = next.map_err(|refusal| refusal.to_string())?;
            self.outgoing.refill(next).map_err(|error| error.to_string())?;
        }
        let window = self.outgoing.window().map_err(|error| error.to_string())?;
        self.looks = window.is_some();
        Ok(window)
    }

    /// Takes a window of `peer`.
    ///
    /// Errors: why the connection is to end.
    pub(crate) async fn take(&mut self, side: &Side, peer: SiteCode, text: &[u8]) -> Result<Heard, String> {
        let changes = Changes::decode(text).map_err(|error| error.to_string())?;
        let last = changes.last;
        let verdict = self.incoming.judge(changes).map_err(|error| error.to_string())?;
        let mut kinds = BTreeSet::new();
        let (answer, as_what) = match verdict {
            Verdict::Known => (last, HeardAs::Known),
            Verdict::Gap => (self.incoming.applied(), HeardAs::Gap),
            Verdict::Apply(batch) => {
                let words = batch.objects.iter().filter_map(|object| object["kind"].as_str());
                kinds.extend(words.map(str::to_owned));
                if let Err(refusal) = side.take_changes(peer, batch).await {
                    return Err(format!("changes are refused: {refusal}"));
                }
                self.incoming.applied_to(last);
                (last, HeardAs::Applied)
            }
        };
        Ok(Heard { answer, as_what, kinds })
    }

    /// `peer` has everything up to `last`. False when that is no news.
    ///
    /// Errors: why the connection is to end.
    pub(crate) async fn acknowledged(
        &mut self,
        side: &Side,
        peer: SiteCode,
        last: u64,
    ) -> Result<bool, String> {
        if self.outgoing.acknowledge(last).map_err(|error| error.to_string())?.is_none() {
            return Ok(false);
        }
        self.looks = true;
        let noted = side.changes_acknowledged(peer, last).await;
        noted.map(|()| true).map_err(|_refusal| "the site is busy".to_owned())
    }
}
