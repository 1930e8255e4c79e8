//! The values of the records: what stands in `sequence`, `pins/`, `marks/` and `hold`, and in the log.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::model::ids::{GenerationId, StageId};
use crate::model::tree::Mtime;

/// A moment, as records and the log write it.
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

/// What a person or a rollback says of a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Fit to be rolled back to; what every generation is until it is marked.
    Good,
    /// Passed over by `rollback`, and not counted among the last ones to keep.
    Bad,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct MarkRecord {
    pub(crate) mark: Mark,
    pub(crate) made: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// Returns whether nobody said of a generation that it is bad.
pub(crate) fn is_good(marks: &BTreeMap<GenerationId, MarkRecord>, id: GenerationId) -> bool {
    marks.get(&id).is_none_or(|mark| mark.mark == Mark::Good)
}

/// The highest number ever taken, and the one change that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) high: u64,
    /// How often damaged objects were replaced: a stage that began before may hold the old inode.
    #[serde(default)]
    pub(crate) heals: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<Intent>,
}

/// A change that is durable before its first step, so that whoever comes after a crash knows
/// whether to finish it or to take it back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Intent {
    /// A new generation is on its way to `generations/`, and to `current` if `activate`.
    Publish {
        generation: GenerationId,
        activate: bool,
        /// The stage that was begun for it apart from its commit, which goes when it is committed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
    },
    /// A kept generation is made ready to be current; afterwards `marks` are written, and the hold,
    /// or its end.
    Activate {
        generation: GenerationId,
        marks: Vec<(GenerationId, MarkRecord)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldRecord>,
    },
}

/// What a rollback leaves behind: see [`Activate::UnlessHeld`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct HoldRecord {
    /// What was rolled back to.
    pub(crate) generation: GenerationId,
    /// What was left.
    pub(crate) left: GenerationId,
    pub(crate) made: Moment,
    pub(crate) by: String,
}
