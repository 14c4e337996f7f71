//! The way from a command to a site's desk: over the socket, or in this process.

use std::ops::ControlFlow;

use restock_provider::{Answer, Operation};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::client::{Client, understood};
use super::listener::Desk;
use super::protocol::Ask;
use super::site_desk::SiteDesk;
use crate::config::Role;
use crate::data_folder::{DataFolder, DataLock, Locked};
use crate::failure::Failure;
use crate::output::shown_path;
use crate::running::{self, audit_head};

/// A site that can be asked.
#[derive(Debug)]
pub(crate) enum Door {
    /// It runs; its control socket answers.
    Running(Client),
    /// It does not run; this process has opened its data folder.
    Opened(Box<Opened>),
}

/// A site whose database and library this process holds.
#[derive(Debug)]
pub(crate) struct Opened {
    // Dropped in this order: the lock last.
    desk: SiteDesk,
    runtime: Runtime,
    _lock: DataLock,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            if let Err(failure) = audit_head::update(self.desk.site().database(), self.desk.data()).await {
                tracing::error!(error = %failure.message, "the head of the audit trail was not kept");
            }
            self.desk.site().close().await;
        });
    }
}

impl Door {
    /// Connects to the site of `folder`, or opens it for `command` when it does not run.
    ///
    /// Errors: no site there; another process holds it; it cannot be opened.
    pub(crate) fn open(folder: &DataFolder, command: &str) -> Result<Self, Failure> {
        folder.expect(Role::Site)?;
        let lock = match folder.lock_or_ask(command)? {
            Locked::Instead(client) => return Ok(Self::Running(client)),
            Locked::Here(lock) => lock,
        };
        let runtime = running::runtime(1)?;
        let desk = runtime.block_on(SiteDesk::open(folder))?;
        Ok(Self::Opened(Box::new(Opened { desk, runtime, _lock: lock })))
    }

    /// Connects to the running site of `folder`.
    ///
    /// Errors: kind refused when it does not run, because `purpose` needs it.
    pub(crate) fn running(folder: &DataFolder, purpose: &str) -> Result<Self, Failure> {
        folder.expect(Role::Site)?;
        match Client::connect(&folder.socket())? {
            Some(client) => Ok(Self::Running(client)),
            None => Err(not_running(folder, purpose)),
        }
    }

    /// Whether the site's loops run, so that what is asked also happens.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Asks for something that has one answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<T, Failure> {
        let value = self.stream(ask, &mut |_| Ok(ControlFlow::Continue(())))?;
        understood(value.unwrap_or_default())
    }

    /// One operation of the provider.
    pub(crate) fn perform(&mut self, operation: Operation) -> Result<Answer, Failure> {
        self.ask(Ask::Perform(operation))
    }

    /// Asks for something that has events; `on_event` may end it (`None`).
    pub(crate) fn stream(
        &mut self,
        ask: Ask,
        on_event: &mut dyn FnMut(Value) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Value>, Failure> {
        match self {
            Self::Running(client) => client.stream(ask, on_event),
            Self::Opened(opened) => {
                let (events, mut waiting) = mpsc::channel(1);
                let Opened { desk, runtime, .. } = &**opened;
                runtime.block_on(async {
                    let user = format!("uid {}", rustix::process::geteuid().as_raw());
                    let answering = desk.answer(user, None, ask, events);
                    tokio::pin!(answering);
                    loop {
                        tokio::select! {
                            biased;
                            Some(event) = waiting.recv() => {
                                if on_event(event)?.is_break() {
                                    return Ok(None);
                                }
                            }
                            answer = &mut answering => {
                                while let Ok(event) = waiting.try_recv() {
                                    if on_event(event)?.is_break() {
                                        return Ok(None);
                                    }
                                }
                                return answer.map(Some);
                            }
                        }
                    }
                })
            }
        }
    }
}

/// The refusal of a command that needs a running site.
pub(super) fn not_running(folder: &DataFolder, purpose: &str) -> Failure {
    let path = shown_path(folder.path());
    Failure::refused(format!(
        "SITE_NOT_RUNNING: {purpose} needs the site to run, and the site in {path} does not"
    ))
    .hint(format!("restock --data {path} site run"))
}

/// The failure when an answer is of another kind than its operation promises.
pub(crate) fn unexpected(answer: &Answer) -> Failure {
    let kind = serde_json::to_value(answer).ok().and_then(|v| v["answer"].as_str().map(str::to_owned));
    Failure::failed(format!("the answer is not understood: {}", kind.unwrap_or_default()))
}
