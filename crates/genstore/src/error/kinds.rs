//! The kinds of errors, by which programs choose their messages and actions.

use std::fmt;

/// The reason why a directory or a file cannot be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSourceReason {
    /// There is no such directory.
    Absent,
    /// It is not a directory.
    NotADirectory,
    /// It has no name of its own, like `/`.
    NotAFile,
    /// It was a regular file when its folder was read, and is not one any more.
    NoLongerAFile,
    /// The store lies in it.
    HoldsStore,
    /// It is the store.
    IsStore,
    /// It lies in the store, or is a view of it.
    InStore,
}

impl fmt::Display for BadSourceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadSourceReason::Absent => "there is no such directory",
            BadSourceReason::NotADirectory => "it is not a directory",
            BadSourceReason::NotAFile => "it is not a file",
            BadSourceReason::NoLongerAFile => "is not a regular file any more",
            BadSourceReason::HoldsStore => "the store lies in it",
            BadSourceReason::IsStore => "it is the store itself",
            BadSourceReason::InStore => "it lies in the store, or is a view of it",
        })
    }
}

/// The kind of a problem of a plan. The kinds that must be solved first come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A root is invalid: it needs another name or another source.
    Root,
    /// The base has no such path.
    Base,
    /// A source cannot be moved in. It can be copied.
    NotMovable,
    /// The input has entries at a shared path.
    Shared,
    /// Something is mounted there.
    MountPoint,
    /// A symlink leads out of the tree, or nowhere.
    Symlink,
    /// No generation can contain the entry.
    Unfit,
}

/// A request that cannot be fulfilled in the store's present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The target of an export has no name of its own.
    BadTarget,
    /// The path of a view does not end with a name.
    BadViewPath,
    /// An empty input would replace a non-empty tree.
    EmptyInput,
    /// The facts are longer than a manifest may hold.
    FactsTooLong,
    /// The store must forget a content.
    Forgotten,
    /// Another process healed damaged objects while the tree was staged.
    HealedMeanwhile,
    /// Files have attributes that a generation does not keep.
    Lossy,
    /// The tree was current and so was not audited, but it is not current any more.
    MovedMeanwhile,
    /// Only root may do this.
    NeedsRoot,
    /// Nothing has been published yet.
    NoCurrent,
    /// The generation has no such file.
    NoSuchFile,
    /// There is no such pin.
    NoSuchPin,
    /// The process that should own a stage does not exist.
    NoSuchProcess,
    /// The caller is not a member of the group that should share the store.
    NotAMember,
    /// There are generations, and none is current.
    NotActivated,
    /// The note is longer than a manifest may hold.
    NoteTooLong,
    /// There is no older good generation to roll back to.
    NothingOlder,
    /// No number of a generation is left.
    NumbersUsedUp,
    /// The store has no intact object for a file of a plan.
    ObjectMissing,
    /// The name of a pin is used for another generation.
    PinTaken,
    /// A source that can be read only once has been read before.
    ReaderUsedUp,
    /// The filesystem has less free space than the reserve.
    Reserve,
    /// The place of a shared path cannot be used.
    SharedPlace,
    /// The store has no place for a shared path of a generation.
    SharedUnknown,
    /// The stage has been committed already.
    StageCommitted,
    /// The owner of the stage has ended, or its time is over.
    StageExpired,
    /// The stage belongs to another user.
    StageForeign,
    /// The stage was begun for a build, and has an id that is used again.
    StageOfBuild,
    /// A root was put into a stage that was not begun as a batch.
    StageNotBatch,
    /// Another entry has replaced the directory that a build was to write to.
    StageOutputReplaced,
    /// The stage was refused by an audit.
    StageRefused,
    /// There is no such stage.
    StageUnknown,
    /// The new store would be inside another store.
    StoreInStore,
    /// The store exists, and is not shared with a group.
    StoreNotShared,
    /// The store exists, and is shared with a group.
    StoreShared,
    /// The target of an export lies in the store.
    TargetInStore,
    /// The target of an export lies in a view.
    TargetInView,
    /// The path of a view is a file.
    ViewFile,
    /// The store lies at or below the path of a view.
    ViewHoldsStore,
    /// The path of a view lies in the store.
    ViewInStore,
    /// The filesystem cannot exchange two names.
    ViewNoExchange,
    /// The directory of a view does not exist.
    ViewNoParent,
    /// The filesystem of a view is not mounted.
    ViewNotMounted,
    /// A mirror is on another filesystem than the store, and must consist of copies.
    ViewOtherFilesystem,
    /// The path of a view is taken.
    ViewTaken,
    /// The path to a view leads through a symlink that others may replace.
    ViewWay,
    /// Received bytes have another digest than expected.
    WrongBytes,
}

impl RefusedKind {
    /// Returns a short name of the case, for programs. It is stable.
    pub fn code(self) -> &'static str {
        match self {
            RefusedKind::BadTarget => "bad-target",
            RefusedKind::BadViewPath => "bad-view-path",
            RefusedKind::EmptyInput => "empty-input",
            RefusedKind::FactsTooLong => "facts-too-long",
            RefusedKind::Forgotten => "forgotten",
            RefusedKind::HealedMeanwhile => "healed-meanwhile",
            RefusedKind::Lossy => "lossy",
            RefusedKind::MovedMeanwhile => "moved-meanwhile",
            RefusedKind::NeedsRoot => "needs-root",
            RefusedKind::NoCurrent => "no-current",
            RefusedKind::NoSuchFile => "no-such-file",
            RefusedKind::NoSuchPin => "no-such-pin",
            RefusedKind::NoSuchProcess => "no-such-process",
            RefusedKind::NotAMember => "not-a-member",
            RefusedKind::NotActivated => "not-activated",
            RefusedKind::NoteTooLong => "note-too-long",
            RefusedKind::NothingOlder => "nothing-older",
            RefusedKind::NumbersUsedUp => "numbers-used-up",
            RefusedKind::ObjectMissing => "object-missing",
            RefusedKind::PinTaken => "pin-taken",
            RefusedKind::ReaderUsedUp => "reader-used-up",
            RefusedKind::Reserve => "reserve",
            RefusedKind::SharedPlace => "shared-place",
            RefusedKind::SharedUnknown => "shared-unknown",
            RefusedKind::StageCommitted => "stage-committed",
            RefusedKind::StageExpired => "stage-expired",
            RefusedKind::StageForeign => "stage-foreign",
            RefusedKind::StageOfBuild => "stage-of-build",
            RefusedKind::StageNotBatch => "stage-not-batch",
            RefusedKind::StageOutputReplaced => "stage-output-replaced",
            RefusedKind::StageRefused => "stage-refused",
            RefusedKind::StageUnknown => "stage-unknown",
            RefusedKind::StoreInStore => "store-in-store",
            RefusedKind::StoreNotShared => "store-not-shared",
            RefusedKind::StoreShared => "store-shared",
            RefusedKind::TargetInStore => "target-in-store",
            RefusedKind::TargetInView => "target-in-view",
            RefusedKind::ViewFile => "view-file",
            RefusedKind::ViewHoldsStore => "view-holds-store",
            RefusedKind::ViewInStore => "view-in-store",
            RefusedKind::ViewNoExchange => "view-no-exchange",
            RefusedKind::ViewNoParent => "view-no-parent",
            RefusedKind::ViewNotMounted => "view-not-mounted",
            RefusedKind::ViewOtherFilesystem => "view-other-filesystem",
            RefusedKind::ViewTaken => "view-taken",
            RefusedKind::ViewWay => "view-way",
            RefusedKind::WrongBytes => "wrong-bytes",
        }
    }
}
