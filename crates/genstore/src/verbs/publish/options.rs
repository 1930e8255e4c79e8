//! How a plan is staged, and how a staged tree is committed.

use std::collections::BTreeMap;

use crate::change::expect::Expect;
use crate::model::retention::Retention;
use crate::parts::hold::Activate;
use crate::plan::emptied::Emptying;
use crate::verbs::publish::ingest::lossy::Lossy;

/// How a plan is staged.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
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

impl StageOptions {
    /// Makes a generation even if its tree is the current one's.
    pub fn always(mut self) -> StageOptions {
        self.always = true;
        self
    }

    /// Moves the files of the plan's roots in, and removes all of them once they are committed.
    pub fn consume(mut self) -> StageOptions {
        self.consume = true;
        self
    }

    /// Reads every source and every object, whatever the index and stat say of them.
    pub fn rehash(mut self) -> StageOptions {
        self.rehash = true;
        self
    }

    /// Makes the new tree from that of a generation which this rule gives up, if there is one.
    pub fn recycle(mut self, retention: Retention) -> StageOptions {
        self.recycle = Some(retention);
        self
    }

    /// Sets how to handle files with access rights or attributes that a generation does not keep.
    pub fn lossy(mut self, lossy: Lossy) -> StageOptions {
        self.lossy = lossy;
        self
    }
}

/// How a staged tree is committed.
#[derive(Clone, Debug)]
#[non_exhaustive]
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

impl CommitOptions {
    /// Sets the note: a person's words.
    pub fn note(mut self, note: impl Into<String>) -> CommitOptions {
        self.note = note.into();
        self
    }

    /// Adds a fact.
    pub fn fact(mut self, key: impl Into<String>, value: impl Into<String>) -> CommitOptions {
        self.facts.insert(key.into(), value.into());
        self
    }

    /// Adds facts.
    pub fn facts(mut self, facts: impl IntoIterator<Item = (String, String)>) -> CommitOptions {
        self.facts.extend(facts);
        self
    }

    /// Sets what must be current for the commit to happen.
    pub fn expect(mut self, expect: Expect) -> CommitOptions {
        self.expect = expect;
        self
    }

    /// Sets whether the new generation becomes current, or is only kept.
    pub fn activate(mut self, activate: Activate) -> CommitOptions {
        self.activate = activate;
        self
    }

    /// Sets whether the new generation may become current if it is empty.
    pub fn emptying(mut self, emptying: Emptying) -> CommitOptions {
        self.emptying = emptying;
        self
    }
}
