//! Accepts connections within limits and gives each to the thread that has fewest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_names::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConfig;

use super::mailbox::{Mail, Mailbox};
use super::rights::Caller;
use super::tls_files::TlsKeeper;

/// Wait while no further connection is allowed, or after an accept that failed (too many open
/// files), so that the loop does not spin.
const RETRY: Duration = Duration::from_millis(50);

/// How a listener treats those who come to it.
#[derive(Debug)]
pub(crate) struct Door {
    /// Who they are without showing a right.
    pub(crate) caller: Caller,
    /// Rights count: under TLS, and on a loopback address.
    pub(crate) takes_rights: bool,
    pub(crate) tls: Option<TlsKeeper>,
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) local: IpAddr,
    pub(crate) door: Arc<Door>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) ticket: Ticket,
}

/// Counts connections, in all and of each address.
#[derive(Debug)]
pub(crate) struct Gate {
    connections_max: usize,
    per_address_max: usize,
    count: AtomicUsize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    pub(crate) fn new(connections_max: usize, per_address_max: usize) -> Self {
        Self { connections_max, per_address_max, count: AtomicUsize::new(0), per_address: Mutex::default() }
    }

    fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) >= self.connections_max
    }

    /// A place for a connection from `peer`; `None` when its address has too many.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Ticket> {
        let address = group(peer);
        let mut per_address = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = per_address.entry(address).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        self.count.fetch_add(1, Ordering::AcqRel);
        Some(Ticket { gate: Arc::clone(self), address })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut per_address = self.gate.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.address);
            }
        }
        self.gate.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What counts as one address: an IPv6 host has a /64 network to itself.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

/// The thread that accepts.
pub(crate) struct Acceptor {
    pub(crate) listeners: Vec<(TcpListener, Arc<Door>)>,
    pub(crate) gate: Arc<Gate>,
    /// Wakes it.
    pub(crate) own: Arc<Mailbox>,
    pub(crate) threads: Vec<Arc<Mailbox>>,
    pub(crate) is_stopped: Arc<AtomicBool>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Acceptor {
    /// Accepts until stopped. Above the limit of connections, new ones wait in the kernel's queue.
    pub(crate) fn run(self) {
        let retry = Timespec { tv_sec: 0, tv_nsec: i64::from(RETRY.subsec_nanos()) };
        let mut must_wait = false;
        while !self.is_stopped.load(Ordering::Acquire) {
            let is_waiting = must_wait || self.gate.is_full();
            must_wait = false;
            let mut ready = vec![PollFd::new(self.own.wake(), PollFlags::IN)];
            if !is_waiting {
                ready.extend(self.listeners.iter().map(|(of, _)| PollFd::new(of, PollFlags::IN)));
            }
            match poll(&mut ready, is_waiting.then_some(&retry)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(target: "smsdpprov", %error, "no further connection is accepted");
                    return;
                }
            }
            let ready: Vec<bool> = ready.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
            for ((listener, door), is_ready) in self.listeners.iter().zip(ready) {
                if is_ready && let Err(error) = self.accept(listener, door) {
                    tracing::warn!(target: "smsdpprov", %error, "a connection cannot be accepted");
                    must_wait = true;
                }
            }
        }
    }

    fn accept(&self, listener: &TcpListener, door: &Arc<Door>) -> io::Result<()> {
        while !self.gate.is_full() {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client left again before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let Some(ticket) = self.gate.admit(peer.ip()) else {
                tracing::debug!(target: "smsdpprov", peer = %peer.ip(), "too many connections from one address");
                continue;
            };
            let tls = door.tls.as_ref().map(|keeper| keeper.config(self.clock.monotonic()));
            let Ok(local) = stream.local_addr() else { continue };
            let accepted = Accepted { stream, local: local.ip(), door: Arc::clone(door), tls, ticket };
            let least = self.threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed));
            if let Some(thread) = least {
                thread.load.fetch_add(1, Ordering::Relaxed);
                thread.post(Mail::Accepted(Box::new(accepted)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, group};
    use std::net::IpAddr;
    use std::sync::Arc;

    #[test]
    fn an_address_has_a_share_of_the_connections() {
        let gate = Arc::new(Gate::new(3, 2));
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(group(address("2001:db8::1")), group(address("2001:db8::ffff:2")));
        assert_ne!(group(address("2001:db8::1")), group(address("2001:db8:0:1::1")));
        let one = gate.admit(address("192.0.2.1"));
        let two = gate.admit(address("::ffff:192.0.2.1"));
        assert!(one.is_some() && two.is_some() && gate.admit(address("192.0.2.1")).is_none());
        assert!(!gate.is_full());
        let other = gate.admit(address("192.0.2.2"));
        assert!(other.is_some() && gate.is_full());
        drop(one);
        assert!(!gate.is_full() && gate.admit(address("192.0.2.1")).is_some());
    }
}
