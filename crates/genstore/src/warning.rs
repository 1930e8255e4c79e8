//! Warnings: failures after `current` has moved, which cannot undo the commit.

use crate::error::{Error, Result, chain};

/// A failure after `current` had moved. The commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The step that failed, with the cause.
    pub message: String,
    /// Whether a power loss may undo the change, or a part of its records. The next writer makes them
    /// durable.
    pub not_durable: bool,
}

impl Warning {
    /// Creates a warning about a step that a power loss does not undo.
    pub fn new(message: impl Into<String>) -> Warning {
        Warning { message: message.into(), not_durable: false }
    }
}

/// Collects failures after `current` has moved.
#[derive(Default)]
pub(crate) struct AfterCommit {
    pub(crate) warnings: Vec<Warning>,
    /// Whether the intent must stay, so that the next writer retries the failed step.
    pub(crate) unfinished: bool,
}

impl AfterCommit {
    /// Starts with existing warnings.
    pub(crate) fn new(warnings: Vec<Warning>) -> AfterCommit {
        AfterCommit { warnings, unfinished: false }
    }

    /// Records a post-commit step. If it failed, the intent is kept and the next writer retries it.
    /// Until then a power loss may remove records of the commit.
    pub(crate) fn must_finish(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.must_finish_for(format!("could not {what}: {}; the next writer does it", chain(&error)));
        }
    }

    fn must_finish_for(&mut self, message: String) {
        self.unfinished = true;
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

    /// Adds a warning about an error that does not affect the commit.
    pub(crate) fn warn_about(&mut self, what: &str, error: &Error) {
        self.warn(format!("{what}: {}", chain(error)));
    }

    /// Records the flush of the commit. If it failed, the commit is visible but may not be durable.
    pub(crate) fn made_durable(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.must_finish_for(format!(
                "the commit is visible, but the disk did not confirm it: {}; a power loss may undo it \
                 until the next writer has it confirmed",
                chain(&error)
            ));
        }
    }
}
