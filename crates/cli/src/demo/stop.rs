//! Ending the demo cleanly at SIGTERM and Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Kind};
use crate::running;

/// How often [`Stop::wait`] asks.
const PERIOD: Duration = Duration::from_millis(200);

/// Whether the demo was asked to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    is_asked: Arc<AtomicBool>,
    wake: Arc<(Mutex<()>, Condvar)>,
}

/// Watches for signals as long as it lives.
#[derive(Debug)]
pub(super) struct Watch {
    _runtime: tokio::runtime::Runtime,
}

impl Stop {
    /// Watches for SIGTERM and SIGINT from now on.
    pub(super) fn watch(&self) -> Result<Watch, Failure> {
        let runtime = running::runtime(1)?;
        let fail = |e: &std::io::Error| Failure::caused(Kind::Failed, "cannot watch for signals", e);
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::terminate()).map_err(|e| fail(&e))?,
                signal(SignalKind::interrupt()).map_err(|e| fail(&e))?,
            )
        };
        let stop = self.clone();
        let watching = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.is_asked.store(true, Ordering::Release);
            drop(stop.wake.0.lock());
            stop.wake.1.notify_all();
        };
        // Ends with the runtime; there is nothing to wait for at shutdown.
        drop(tokio_util::task::TaskTracker::new().spawn_on(watching, runtime.handle()));
        Ok(Watch { _runtime: runtime })
    }

    /// True once a signal came.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }

    /// Fails once a signal came.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.is_asked() { Err(Failure::failed("the demo was stopped before its end")) } else { Ok(()) }
    }

    /// Waits until a signal comes or `while_true` says no, asked every few moments.
    pub(super) fn wait(&self, mut while_true: impl FnMut() -> bool) {
        let (lock, condition) = &*self.wake;
        let mut guard = lock.lock().expect("no code panics while holding this lock");
        while !self.is_asked() && while_true() {
            guard = condition.wait_timeout(guard, PERIOD).expect("no code panics while holding this lock").0;
        }
    }
}
