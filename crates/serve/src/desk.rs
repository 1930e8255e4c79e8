//! The desk: it runs verbs for pages and the API, and remembers what was done, so that it can be undone.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use genstore::Store;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::events::{Event, Sink};
use crate::harmless;
use crate::verbs::{Ran, Verbs};

/// The verbs that run at the same time. More requests wait.
const AT_ONCE: usize = 2;
/// The number of actions that are remembered.
const MOST_DONE: usize = 64;
/// Number of random bytes of the token.
const TOKEN: usize = 32;

/// An action that was done.
#[derive(Clone)]
pub(crate) struct Done {
    /// One sentence.
    pub(crate) what: String,
    /// Sentences of what did not go well.
    pub(crate) warnings: Vec<String>,
    /// The verbs that undo it, with their arguments; empty if nothing does.
    pub(crate) undo: Vec<Vec<String>>,
}

/// A check of all files, with its document.
#[derive(Clone)]
pub(crate) struct Checked {
    pub(crate) at: SystemTime,
    pub(crate) document: Value,
}

/// The failure of a verb.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The code of the error.
    pub(crate) code: String,
    /// Its document, without paths of this machine.
    pub(crate) document: Value,
}

impl Failed {
    /// Creates a failure that no verb reports.
    fn own(code: &str, message: &str) -> Failed {
        let document = serde_json::json!({"schema": "genstore.error/1", "code": code, "message": message});
        Failed { code: code.to_owned(), document }
    }

    /// Returns the message for people.
    pub(crate) fn message(&self) -> String {
        let part = |name: &str| self.document[name].as_str().filter(|text| !text.is_empty());
        let hint = part("hint").map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{}{hint}", part("message").unwrap_or("the verb failed"))
    }
}

/// Runs verbs.
pub(crate) struct Desk {
    verbs: Option<Verbs>,
    events: Sink,
    slots: Semaphore,
    token: String,
    /// With their numbers, the oldest first.
    done: Mutex<VecDeque<(u64, Done)>>,
    /// The last check.
    checked: Mutex<Option<Checked>>,
}

impl Desk {
    /// Creates a desk, with a new token.
    pub(crate) fn new(verbs: Option<Verbs>, events: Sink) -> io::Result<Desk> {
        let mut bytes = [0; TOKEN];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Desk {
            verbs,
            events,
            slots: Semaphore::new(AT_ONCE),
            token,
            done: Mutex::default(),
            checked: Mutex::default(),
        })
    }

    /// Returns whether there are verbs.
    pub(crate) fn is_open(&self) -> bool {
        self.verbs.is_some()
    }

    /// Returns the token, which only pages for this machine have.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Compares a token. The time does not depend on where they differ.
    pub(crate) fn knows(&self, token: &str) -> bool {
        let (own, token) = (self.token.as_bytes(), token.as_bytes());
        let differ = own.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == token.len() && std::hint::black_box(differ) == 0
    }

    /// Remembers a check.
    pub(crate) fn keep_check(&self, checked: Checked) {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(checked);
    }

    /// Returns the last check.
    pub(crate) fn checked(&self) -> Option<Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers an action, and returns its number.
    pub(crate) fn remember(&self, action: Done) -> u64 {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let number = done.back().map_or(1, |(number, _)| number + 1);
        done.push_back((number, action));
        if done.len() > MOST_DONE {
            done.pop_front();
        }
        number
    }

    /// Returns an action that was done.
    pub(crate) fn done(&self, number: u64) -> Option<Done> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().find(|(known, _)| *known == number).map(|(_, done)| done.clone())
    }

    /// Runs a verb with these arguments, and returns its document without paths of this machine.
    pub(crate) async fn run(
        &self,
        store: &Store,
        args: Vec<String>,
        limit: Duration,
    ) -> Result<Value, Failed> {
        let Some(verbs) = self.verbs.clone() else {
            return Err(Failed::own("no-verbs", "this server runs no verbs"));
        };
        // It is never closed.
        let _slot = self.slots.acquire().await.ok();
        let ran = tokio::task::spawn_blocking(move || verbs(&args, limit)).await;
        match ran.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(ran) => self.result(store.path(), &ran),
            Err(error) => {
                self.problem("cannot-run", error.to_string());
                Err(Failed::own("cannot-run", "the verb cannot be started"))
            }
        }
    }

    fn result(&self, store: &Path, ran: &Ran) -> Result<Value, Failed> {
        if let Ok(mut value) = serde_json::from_str::<Value>(&ran.document) {
            harmless::document(&mut value, store);
            return Ok(value);
        }
        if ran.timed_out {
            return Err(Failed::own("timed-out", "the verb took too long, and was stopped"));
        }
        let lines = ran.messages.lines().rev();
        let mut errors = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        match errors.find(|value| value["schema"] == "genstore.error/1") {
            Some(mut value) => {
                harmless::document(&mut value, store);
                let code = value["code"].as_str().unwrap_or("failed").to_owned();
                Err(Failed { code, document: value })
            }
            None => {
                self.problem("verb-failed", ran.messages.clone());
                Err(Failed::own(
                    "verb-failed",
                    "the verb failed; the output of the server has its messages",
                ))
            }
        }
    }

    fn problem(&self, code: &'static str, message: String) {
        (self.events)(Event::Problem { code, message });
    }
}
