//! How a plan is staged, and how a staged tree is committed.

use std::collections::BTreeMap;

use crate::change::expect::Expect;
use crate::model::retention::Retention;
use crate::parts::hold::Activate;
use crate::verbs::publish::emptied::Emptying;
use crate::verbs::publish::ingest::lossy::Lossy;

/// How a plan is staged.
#[derive(Clone, Debug, Default)]
pub struct StageOptions {
    /// Make a generation even if its tree is the current one's.
    pub always: bool,
    /// Move the files of the plan's roots in, where that is possible, and remove all of them once
    /// they are committed. No root may lie in another: see [`crate::Plan::check_consume`].
    pub consume: bool,
    /// Read every source and every object, whatever the index and stat say of them.
    pub rehash: bool,
    /// Make the new tree of that of a generation which this rule gives up, if there is one: that
    /// generation is gone then, as if it had been collected. Its objects are left to gc.
    pub recycle: Option<Retention>,
    /// How to handle files with access rights or attributes that a generation does not keep.
    pub lossy: Lossy,
}

/// How a staged tree is committed.
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// A person's words.
    pub note: String,
    /// Facts by key.
    pub facts: BTreeMap<String, String>,
    /// What must be current for the commit to happen.
    pub expect: Expect,
    /// Whether the new generation becomes current, or is only kept.
    pub activate: Activate,
    /// Whether it may become current where it is empty.
    pub emptying: Emptying,
}

impl Default for CommitOptions {
    /// No note, whatever is current, and the new generation becomes it unless it is empty.
    fn default() -> CommitOptions {
        CommitOptions {
            note: String::new(),
            facts: BTreeMap::new(),
            expect: Expect::Any,
            activate: Activate::Always,
            emptying: Emptying::Refuse,
        }
    }
}
