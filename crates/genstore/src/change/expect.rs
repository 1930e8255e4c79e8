//! The expected current generation of a change.

use crate::error::{Error, Result};
use crate::model::ids::GenerationId;
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;

/// The generation that must be current for a commit to succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// Any generation, or none.
    #[default]
    Any,
    /// None: no generation has been activated yet.
    Unborn,
    /// This generation.
    Current(GenerationId),
}

/// Compares the current generation with the caller's expectation.
pub(crate) fn check_expected(store: &StoreDir, expect: Expect, found: Option<GenerationId>) -> Result<()> {
    let expected = match expect {
        Expect::Any => return Ok(()),
        Expect::Unborn => None,
        Expect::Current(id) => Some(id),
    };
    if expected == found {
        return Ok(());
    }
    let history = Log::of(store).history()?;
    let last = history.last_activation().filter(|line| Some(line.generation) == found);
    Err(Error::Lost {
        expected,
        found,
        by: last.map(|line| line.by.clone()),
        at: last.map(|line| line.time.into()),
    })
}
