//! The values of the records: the content of `sequence`, `pins/`, `marks/` and `hold`, and of log
//! lines.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::ids::{GenerationId, StageId};
use crate::model::tree::Mtime;

/// A point in time, as records and the log store it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) secs: i64,
    pub(crate) nanos: u32,
}

impl Moment {
    pub(crate) fn from_mtime(Mtime { secs, nanos }: Mtime) -> Moment {
        Moment { secs, nanos }
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Moment {
        let Mtime { secs, nanos } = time.into();
        Moment { secs, nanos }
    }
}

impl From<Moment> for SystemTime {
    fn from(Moment { secs, nanos }: Moment) -> SystemTime {
        Mtime { secs, nanos: nanos.min(999_999_999) }.into()
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PinRecord {
    pub(crate) generation: GenerationId,
    pub(crate) made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Moment>,
}

impl PinRecord {
    pub(crate) fn holds(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| SystemTime::from(until) > now)
    }
}

/// A judgement about a generation, by a person or by a rollback.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Fit to be rolled back to. Every generation is good until it is marked.
    Good,
    /// Skipped by `rollback`, and not counted among the last ones to keep.
    Bad,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct MarkRecord {
    pub(crate) mark: Mark,
    pub(crate) made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// The reason why a kept generation became current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Cause {
    /// A rollback.
    Rollback,
    /// Somebody chose it.
    Switch,
    /// The end of a hold.
    Resume,
}

/// Reads a cause. One that only newer programs know counts as none.
fn known_cause<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Cause>, D::Error> {
    Ok(match Option::<String>::deserialize(input)?.as_deref() {
        Some("rollback") => Some(Cause::Rollback),
        Some("switch") => Some(Cause::Switch),
        Some("resume") => Some(Cause::Resume),
        _ => None,
    })
}

/// The part of a move of `current` that the log has beside the two generations.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moving {
    /// Missing if a publication made the generation current, and in logs of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_cause")]
    pub(crate) cause: Option<Cause>,
    /// The marks that it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marked: Vec<(GenerationId, Mark)>,
}

/// Returns whether a generation is not marked as bad.
pub(crate) fn is_good(marks: &BTreeMap<GenerationId, MarkRecord>, id: GenerationId) -> bool {
    marks.get(&id).is_none_or(|mark| mark.mark == Mark::Good)
}

/// The highest number ever taken, and the one change in progress.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) high: u64,
    /// The number of replacements of damaged objects so far. A stage that began before a replacement
    /// may contain the old inode.
    #[serde(default)]
    pub(crate) heals: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<Intent>,
}

/// A change that is durable before its first step. After a crash, recovery uses it to decide whether to
/// complete or to undo the change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Intent {
    /// A new generation is about to become an entry of `generations/`, and current if `activate`.
    Publish {
        generation: GenerationId,
        activate: bool,
        /// The stage that was begun separately from its commit. It is removed after the commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
        /// The actor. Missing in intents of older programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A kept generation is prepared to become current. Afterwards `marks` are written, and the hold is
    /// written or removed.
    Activate {
        generation: GenerationId,
        marks: Vec<(GenerationId, MarkRecord)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldRecord>,
        /// Missing in intents of older programs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_cause")]
        cause: Option<Cause>,
        /// The actor. Missing in intents of older programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
}

/// The record that a rollback leaves: see [`crate::publish::Activate::UnlessHeld`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct HoldRecord {
    /// The generation that was rolled back to.
    pub(crate) generation: GenerationId,
    /// The generation that was current before.
    pub(crate) left: GenerationId,
    pub(crate) made: Moment,
    pub(crate) by: String,
}
