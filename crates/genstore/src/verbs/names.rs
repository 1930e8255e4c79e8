//! Marks and pins, with their lines in the log.

use std::time::SystemTime;

use crate::change::recover;
use crate::error::{Error, RefusedKind, Result};
use crate::model::ids::{GenerationId, PinName, Rev};
use crate::model::records::{Mark, MarkRecord, PinRecord};
use crate::parts::deeds::Deed;
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;
use crate::parts::records::Records;
use crate::verbs::inspect;
use crate::warning::{AfterCommit, Warning};

/// The result of a mark or a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// The generation.
    pub generation: GenerationId,
    /// Failures after the change.
    pub warnings: Vec<Warning>,
}

/// The result of the removal of a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpinned {
    /// The generation that was pinned; `None` if the pin was unreadable.
    pub generation: Option<GenerationId>,
    /// Failures after the change.
    pub warnings: Vec<Warning>,
}

/// Marks a generation.
pub(crate) fn mark(store: &StoreDir, rev: &Rev, mark: Mark, why: Option<String>) -> Result<Recorded> {
    let (lock, _) = recover::lock_and_recover(store)?;
    let generation = inspect::resolve(store, rev)?;
    let record = MarkRecord { mark, made: store.now().into(), why: why.clone() };
    Records::of(store).write_mark(&lock, generation, &record)?;
    let mut after = AfterCommit::default();
    let told = Log::of(store).tell(&lock, Some(generation), Deed::Mark { mark, why });
    after.record("write the log", told);
    Ok(Recorded { generation, warnings: after.warnings })
}

/// Pins a generation.
pub(crate) fn pin(
    store: &StoreDir,
    rev: &Rev,
    name: &PinName,
    why: Option<String>,
    until: Option<SystemTime>,
) -> Result<Recorded> {
    // Under the commit lock, which gc holds too, so the pinned generation exists and stays.
    let (lock, _) = recover::lock_and_recover(store)?;
    let generation = inspect::resolve(store, rev)?;
    let records = Records::of(store);
    if let Some(taken) = records.pins()?.get(name).filter(|pin| pin.generation != generation) {
        let why = format!("the pin {name} is used for generation {} already", taken.generation);
        return Err(Error::refused(RefusedKind::PinTaken, why));
    }
    let until = until.map(Into::into);
    let record = PinRecord { generation, made: store.now().into(), why: why.clone(), until };
    records.write_pin(&lock, name, &record)?;
    let mut after = AfterCommit::default();
    let deed = Deed::Pin { name: name.to_string(), why, until };
    after.record("write the log", Log::of(store).tell(&lock, Some(generation), deed));
    Ok(Recorded { generation, warnings: after.warnings })
}

/// Removes a pin.
pub(crate) fn unpin(store: &StoreDir, name: &PinName) -> Result<Unpinned> {
    let (lock, _) = recover::lock_and_recover(store)?;
    let records = Records::of(store);
    // An unreadable pin is removed as well.
    let generation = records.readable_pins()?.records.get(name).map(|pin| pin.generation);
    if !records.remove_pin(&lock, name)? {
        return Err(Error::refused(RefusedKind::NoSuchPin, format!("there is no pin {name}")));
    }
    let mut after = AfterCommit::default();
    let told = Log::of(store).tell(&lock, generation, Deed::Unpin { name: name.to_string() });
    after.record("write the log", told);
    Ok(Unpinned { generation, warnings: after.warnings })
}
