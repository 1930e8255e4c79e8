//! Options for staging a plan, and for committing a staged tree.

use std::collections::BTreeMap;

use crate::change::expect::Expect;
use crate::model::retention::Retention;
use crate::parts::hold::Activate;
use crate::plan::emptied::Emptying;
use crate::verbs::publish::ingest::lossy::Lossy;

/// The options for staging a plan.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StageOptions {
    /// Create a generation even if its tree is the current one's.
    pub always: bool,
    /// Move the files of the plan's roots in, if possible, and remove all of them once they are
    /// committed. No root may be inside another: see [`crate::Plan::check_consume`].
    pub consume: bool,
    /// Read every source and every object, whatever the index and the stat values are.
    pub rehash: bool,
    /// Recycle the tree of a generation that this rule does not keep, if there is one. That generation
    /// is then removed, as by a collection. Its objects are left to gc.
    pub recycle: Option<Retention>,
    /// The handling of files with access rights or attributes that a generation does not keep.
    pub lossy: Lossy,
}

impl StageOptions {
    /// Creates a generation even if its tree is the current one's.
    pub fn always(mut self) -> StageOptions {
        self.always = true;
        self
    }

    /// Moves the files of the plan's roots in, and removes all of them once they are committed.
    pub fn consume(mut self) -> StageOptions {
        self.consume = true;
        self
    }

    /// Reads every source and every object, whatever the index and the stat values are.
    pub fn rehash(mut self) -> StageOptions {
        self.rehash = true;
        self
    }

    /// Recycles the tree of a generation that this rule does not keep, if there is one.
    pub fn recycle(mut self, retention: Retention) -> StageOptions {
        self.recycle = Some(retention);
        self
    }

    /// Sets the handling of files with access rights or attributes that a generation does not keep.
    pub fn lossy(mut self, lossy: Lossy) -> StageOptions {
        self.lossy = lossy;
        self
    }
}

/// The options for committing a staged tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommitOptions {
    /// A note by a person.
    pub note: String,
    /// Facts by key.
    pub facts: BTreeMap<String, String>,
    /// The generation that must be current for the commit to succeed.
    pub expect: Expect,
    /// Whether the new generation becomes current, or is only kept.
    pub activate: Activate,
    /// Whether an empty tree may become current.
    pub emptying: Emptying,
}

impl Default for CommitOptions {
    /// No note, any current generation, and the new generation becomes current unless it is empty.
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
    /// Sets the note by a person.
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

    /// Sets the generation that must be current for the commit to succeed.
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
