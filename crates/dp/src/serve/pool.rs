//! Threads for what may wait for a disk: lookups, checks, listings. Their number is bounded; what is
//! submitted waits in order.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

type Work = Box<dyn FnOnce() + Send>;

/// A bounded number of threads, started when they are needed.
pub(crate) struct Pool {
    name: &'static str,
    threads_max: usize,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
    }

    fn run(&self) {
        loop {
            let work = {
                let mut state = self.lock();
                loop {
                    if let Some(work) = state.waiting.pop_front() {
                        break work;
                    }
                    if state.is_closed {
                        return;
                    }
                    state.idle += 1;
                    state = self.changed.wait(state).expect("no code panics while holding this lock");
                    state.idle -= 1;
                }
            };
            // Whoever waits for the work learns of it by what the work holds and drops.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!(target: "smsdpprov", "a request ended unexpectedly");
            }
        }
    }
}

impl Pool {
    /// At most `threads_max` threads, at least one.
    pub(crate) fn new(name: &'static str, threads_max: usize) -> Self {
        let shared = Shared { state: Mutex::default(), changed: Condvar::new() };
        Self { name, threads_max: threads_max.max(1), shared: Arc::new(shared) }
    }

    /// Runs `work` on a thread of the pool. After [`Self::close`] it is dropped.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        if state.is_closed {
            return;
        }
        state.waiting.push_back(Box::new(work));
        if state.idle >= state.waiting.len() || state.threads.len() >= self.threads_max {
            drop(state);
            self.shared.changed.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || shared.run());
        match spawned {
            Ok(thread) => state.threads.push(thread),
            Err(error) if state.threads.is_empty() => {
                tracing::error!(target: "smsdpprov", %error, "no thread can be started; requests are dropped");
                state.waiting.clear();
            }
            Err(error) => tracing::warn!(target: "smsdpprov", %error, "no further thread can be started"),
        }
    }

    /// Ends the threads when what waits is done, and waits for them.
    pub(crate) fn close(&self) {
        let threads = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.changed.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(target: "smsdpprov", "a thread ended unexpectedly");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use std::sync::mpsc;

    #[test]
    fn work_runs_on_few_threads_and_a_panic_ends_none_of_them() {
        let pool = Pool::new("test", 2);
        let (sender, results) = mpsc::channel();
        for n in 0..100 {
            let sender = sender.clone();
            pool.submit(move || {
                assert!(n % 10 != 0, "as it is meant to");
                sender.send((n, std::thread::current().id())).expect("heard");
            });
        }
        drop(sender);
        let mut done: Vec<_> = results.iter().collect();
        assert_eq!(done.len(), 90);
        done.sort_by_key(|(_, thread)| format!("{thread:?}"));
        done.dedup_by_key(|(_, thread)| *thread);
        assert!(done.len() <= 2, "{} threads", done.len());
        pool.close();
        pool.submit(|| panic!("closed"));
    }
}
