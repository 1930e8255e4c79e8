//! Warnings: what went wrong after `current` had moved, when nothing can fail any more.

use crate::error::{Error, Result, chain};

/// Something that went wrong after `current` had moved: the commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What could not be done.
    pub message: String,
    /// Whether a power loss may undo what was done, or a part of what is told of it. The next writer
    /// makes it durable.
    pub not_durable: bool,
}

impl Warning {
    /// Creates a warning of something that a power loss does not undo.
    pub fn new(message: impl Into<String>) -> Warning {
        Warning { message: message.into(), not_durable: false }
    }
}

/// Collects what goes wrong once `current` has moved.
#[derive(Default)]
pub(crate) struct AfterCommit {
    pub(crate) warnings: Vec<Warning>,
    /// The intent stays, so that the next writer does what could not be done now.
    pub(crate) owes: bool,
}

impl AfterCommit {
    /// Begins with what is to be told already.
    pub(crate) fn new(warnings: Vec<Warning>) -> AfterCommit {
        AfterCommit { warnings, owes: false }
    }

    /// Notes the end of something that the next writer can do as well. Until it has, a power loss may
    /// take what is told of the commit.
    pub(crate) fn must_finish(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.must_finish_for(format!("could not {what}: {}; the next writer does it", chain(&error)));
        }
    }

    fn must_finish_for(&mut self, message: String) {
        self.owes = true;
        self.warnings.push(Warning { message, not_durable: true });
    }

    pub(crate) fn record(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.warnings.push(Warning {
                message: format!("could not {what}: {}", chain(&error)),
                not_durable: false,
            });
        }
    }

    pub(crate) fn warn(&mut self, message: String) {
        self.warnings.push(Warning { message, not_durable: false });
    }

    /// Tells of an error as of something that stands in the way of what was done for good.
    pub(crate) fn warn_about(&mut self, what: &str, error: &Error) {
        self.warn(format!("{what}: {}", chain(error)));
    }

    /// The commit is there, but the disk did not say that it will stay so.
    pub(crate) fn sealed(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.must_finish_for(format!(
                "the commit is visible, but the disk did not confirm it: {}; a power loss may undo it \
                 until the next writer has it confirmed",
                chain(&error)
            ));
        }
    }
}
