//! The steps of a plan. A step names generations, paths and pins by small numbers that fit whatever is there,
//! so that each step still means something when others are taken out of its plan.

use std::fmt;

use genstore::faults::FaultKind;
use serde::{Deserialize, Serialize};

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The action.
    pub act: Act,
    /// The fault during the action.
    pub fault: Option<Fault>,
}

/// A fault at a call that changes the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// At which call, counted from 1.
    pub at: u64,
}

/// The action of a step. It is passed as JSON to a child that is killed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Changes the wanted tree and publishes it.
    Publish(Publish),
    /// Goes back so many generations; the one that is left is marked as bad, or keeps its mark.
    Rollback {
        /// How many.
        steps: u64,
        /// The one that is left keeps its mark.
        keep_good: bool,
    },
    /// Makes a generation current.
    Switch(u8),
    /// Ends a hold.
    EndHold,
    /// Collects by a rule.
    Collect {
        /// The rule.
        keep: Keep,
        /// The actions of another process between the plan and the collection.
        meanwhile: Vec<Act>,
    },
    /// Pins a generation.
    Pin {
        /// Which generation.
        generation: u8,
        /// Under which of three names.
        name: u8,
        /// For so many seconds; for ever if there are none.
        secs: Option<u16>,
    },
    /// Removes one of three pins.
    Unpin(u8),
    /// Marks a generation as good or bad.
    Mark(u8, bool),
    /// Adds one of the three views: a link, a mirror, a mirror of copies.
    AddView(u8),
    /// Removes one of the three views.
    RemoveView(u8),
    /// Sets the clock forth or back, by so many seconds.
    Clock(i64),
    /// Breaks something in the store, behind its back. With an odd number it is in the current generation.
    Damage(Damage, u8),
    /// Verifies, which notes what is damaged.
    Verify,
    /// Repairs, and publishes every tree that is known again: after it the store must be whole.
    Repair,
}

/// A publication of the wanted tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Publish {
    /// The changes of the wanted tree before it.
    pub edits: Vec<Edit>,
    /// Where the bytes come from.
    pub way: Way,
    /// The rule by which a generation may be recycled.
    pub recycle: Option<Keep>,
    /// A generation is made even if nothing changed.
    pub always: bool,
    /// Every source is read.
    pub rehash: bool,
    /// Whether it becomes current.
    pub moves: Moves,
    /// The expected current generation.
    pub expect: Expected,
    /// The action of another process between staging and commit.
    pub meanwhile: Option<Box<Act>>,
}

/// Whether a publication becomes current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Moves {
    /// It does.
    Always,
    /// It does unless a rollback holds what is current.
    UnlessHeld,
    /// It is only kept.
    Never,
}

/// Where the bytes of a publication come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Way {
    /// A folder that is copied; its inodes are the same from one publication to the next.
    Copy,
    /// The same, after the clock of files has gone on, so that the index knows its files.
    CopySettled,
    /// A folder that is consumed.
    Consume,
    /// Bytes in memory.
    Memory,
    /// A stage that a build writes to.
    Stage,
}

/// The expected current generation of a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expected {
    /// Whatever is.
    Any,
    /// What is.
    Right,
    /// Another one than the current one.
    Wrong,
}

/// A rule of retention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keep {
    /// So many of the newest good ones.
    pub last: u8,
    /// Generations made within so many seconds.
    pub within: Option<u16>,
    /// Generations that were current within so many seconds.
    pub grace: u16,
}

/// A change of one path of the wanted tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edit {
    /// The number of the path, of ten.
    pub path: u8,
    /// The new entry.
    pub what: What,
    /// The number of the mtime, of five.
    pub time: u8,
}

/// The entry that an edit makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum What {
    /// Nothing.
    Nothing,
    /// A file, with some content of five.
    File(u8),
    /// An executable file.
    Tool(u8),
    /// A symlink to one of two targets.
    Link(u8),
    /// An empty folder.
    Folder,
}

/// A kind of damage at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Damage {
    /// A bit of an object; its mtime stays, so that only reading finds it.
    ObjectBitKeepingTime,
    /// A bit of an object.
    ObjectBit,
    /// An object is gone.
    NoObject,
    /// A name in a tree is gone.
    NoName,
    /// A file that has an inode of its own has other bytes.
    OwnBit,
    /// A name that nobody published.
    Stranger,
    /// A bit of a manifest.
    Manifest,
    /// `current` is gone.
    NoCurrent,
    /// The log is gone.
    NoLog,
    /// `sequence` is gone.
    NoSequence,
    /// `shown` is gone where there is one.
    NoShown,
}

impl Damage {
    pub(crate) const ALL: [Damage; 11] = [
        Damage::ObjectBitKeepingTime,
        Damage::ObjectBit,
        Damage::NoObject,
        Damage::NoName,
        Damage::OwnBit,
        Damage::Stranger,
        Damage::Manifest,
        Damage::NoCurrent,
        Damage::NoLog,
        Damage::NoSequence,
        Damage::NoShown,
    ];
}

impl Publish {
    /// Publishes after these edits, by copying, and makes it current.
    pub fn plain(edits: Vec<Edit>) -> Publish {
        Publish {
            edits,
            way: Way::Copy,
            recycle: None,
            always: false,
            rehash: false,
            moves: Moves::Always,
            expect: Expected::Any,
            meanwhile: None,
        }
    }
}

impl From<Act> for Step {
    fn from(act: Act) -> Step {
        Step { act, fault: None }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None => write!(f, "{:?}", self.act),
            Some(Fault { kind, at }) => write!(f, "{:?}, with {kind:?} at call {at}", self.act),
        }
    }
}
