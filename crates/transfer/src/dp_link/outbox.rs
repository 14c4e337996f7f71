//! What waits to be sent to the site: reports until they are acknowledged, the newest progress.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::message::Message;
use crate::{JobId, Progress, Report};

/// Reports by number, progress by job.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_sequence: u64,
    reports: BTreeMap<u64, Waiting>,
    progress: BTreeMap<JobId, Progress>,
}

#[derive(Debug)]
struct Waiting {
    report: Report,
    is_sent: bool,
}

impl Outbox {
    /// Keeps a report. An older one on the same job in the same state is dropped; so there are never
    /// more than states times jobs.
    pub(super) fn report(&self, report: Report) {
        let mut state = self.lock();
        state.reports.retain(|_, waiting| {
            let older = &waiting.report;
            (older.job_id, older.content, older.state) != (report.job_id, report.content, report.state)
        });
        // What a job has come to makes its progress stale.
        state.progress.remove(&report.job_id);
        state.last_sequence += 1;
        let sequence = state.last_sequence;
        state.reports.insert(sequence, Waiting { report, is_sent: false });
    }

    pub(super) fn progress(&self, progress: Progress) {
        self.lock().progress.insert(progress.job_id, progress);
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.lock().reports.len()
    }

    pub(super) fn acknowledged(&self, sequence: u64) {
        self.lock().reports.remove(&sequence);
    }

    /// A connection begins: everything is to be sent on it.
    pub(super) fn connected(&self) {
        self.forget_sending();
        self.lock().progress.clear();
    }

    /// Everything that is not acknowledged is to be sent again.
    pub(super) fn forget_sending(&self) {
        self.lock().reports.values_mut().for_each(|waiting| waiting.is_sent = false);
    }

    /// Reports that were not sent on this connection, oldest first.
    pub(super) fn unsent(&self) -> Vec<Message> {
        let mut state = self.lock();
        let waiting = state.reports.iter_mut().filter(|(_, waiting)| !waiting.is_sent);
        waiting
            .map(|(sequence, waiting)| {
                waiting.is_sent = true;
                Message::Report { sequence: *sequence, report: waiting.report.clone() }
            })
            .collect()
    }

    /// The newest progress of each job that has any.
    pub(super) fn take_progress(&self) -> Vec<Message> {
        std::mem::take(&mut self.lock().progress).into_values().map(Message::Progress).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
    }
}

#[cfg(test)]
mod tests {
    use restock_names::{ContentVersion, Epoch, SourceVersion, Timestamp};

    use super::Outbox;
    use crate::message::Message;
    use crate::{JobId, Progress, Report, ReportState, Totals};

    fn report(job: u64, state: ReportState) -> Report {
        Report {
            job_id: JobId(job),
            content: content(),
            state,
            code: String::new(),
            detail: String::new(),
            is_transient: false,
            at: Timestamp(0),
            totals: Totals::default(),
        }
    }

    fn content() -> ContentVersion {
        ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: Epoch::FIRST,
            version: SourceVersion(1),
        }
    }

    fn sequences(messages: &[Message]) -> Vec<u64> {
        let number = |message: &Message| match message {
            Message::Report { sequence, .. } => *sequence,
            other => panic!("{other:?} is no report"),
        };
        messages.iter().map(number).collect()
    }

    #[test]
    fn a_report_is_sent_on_every_connection_until_it_is_acknowledged() {
        let outbox = Outbox::default();
        outbox.report(report(1, ReportState::Accepted));
        outbox.report(report(1, ReportState::Installed));
        assert_eq!(sequences(&outbox.unsent()), [1, 2]);
        assert!(outbox.unsent().is_empty());
        outbox.acknowledged(1);
        outbox.connected();
        assert_eq!(sequences(&outbox.unsent()), [2]);
        outbox.report(report(1, ReportState::Installed));
        assert_eq!(sequences(&outbox.unsent()), [3]);
        outbox.acknowledged(2);
        assert_eq!(outbox.unacknowledged(), 1);
        outbox.acknowledged(3);
        assert_eq!(outbox.unacknowledged(), 0);
    }

    #[test]
    fn only_the_newest_progress_of_a_running_job_is_sent() {
        let outbox = Outbox::default();
        let progress = |done| Progress {
            job_id: JobId(1),
            content: content(),
            bytes_done: done,
            bytes_total: 9,
            wire_bytes: 0,
        };
        outbox.progress(progress(1));
        outbox.progress(progress(5));
        assert_eq!(outbox.take_progress(), [Message::Progress(progress(5))]);
        outbox.progress(progress(6));
        outbox.report(report(1, ReportState::Installed));
        assert!(outbox.take_progress().is_empty());
    }
}
