//! The files and symlinks of a mirror: the decision about each path. `views/mirror/compare` observes.

/// The wanted form of an entry of a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Symlink,
    /// A hard link to the file of the generation.
    LinkedFile,
    CopiedFile,
}

/// The entry at a path of a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtPath {
    Nothing,
    /// The wanted symlink.
    SameSymlink,
    /// An entry that genstore created.
    Ours(Put),
    /// A folder that genstore created.
    OurFolder,
    /// A regular file that is in no inventory. `looks_wanted`: its size and mtime are the wanted ones.
    File {
        looks_wanted: bool,
    },
    Other,
}

/// An entry that genstore created at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// A copy. `is_wanted`: it is the wanted one by its inventory and by its size and mtime.
    /// `is_doubtful`: size and mtime may be those of another file.
    Copy { is_wanted: bool, is_doubtful: bool },
    /// A hard link to an object. `is_wanted`: it is the wanted one by its inventory and by its
    /// metadata.
    Link { is_wanted: bool },
    /// A symlink where a file is wanted, or a file where a symlink is wanted.
    Other,
}

/// The values by which a kept file is recognised the next time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KnownBy {
    /// Size and mtime.
    Looks,
    Inode,
}

/// The action at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Add,
    /// Add it once the folder in its place is removed.
    AddLate,
    Keep(KnownBy),
    Replace,
    /// It is not ours, and stays.
    Leave,
}

/// A decision from metadata alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    Is(Action),
    /// It stays if it has the wanted bytes, which must be read.
    IfSameBytes {
        otherwise: Action,
    },
    /// It stays if its inode is the generation's.
    IfSameInode {
        otherwise: Action,
    },
}

/// Decides about the entry at the path of a file or a symlink.
pub(crate) fn decide(wanted: Wanted, standing: AtPath) -> Decision {
    use Decision::{IfSameBytes, IfSameInode, Is};
    use Wanted::{CopiedFile, LinkedFile, Symlink};
    match (wanted, standing) {
        (_, AtPath::Nothing) => Is(Action::Add),
        (_, AtPath::SameSymlink) => Is(Action::Keep(KnownBy::Looks)),
        (_, AtPath::OurFolder) => Is(Action::AddLate),
        (Symlink, AtPath::Ours(_)) | (_, AtPath::Ours(Put::Other)) => Is(Action::Replace),
        (_, AtPath::Ours(Put::Copy { is_wanted: false, .. })) => Is(Action::Replace),
        // Also if links were wanted and could not be made.
        (_, AtPath::Ours(Put::Copy { is_doubtful: false, .. })) => Is(Action::Keep(KnownBy::Looks)),
        (_, AtPath::Ours(Put::Copy { is_doubtful: true, .. })) => {
            IfSameBytes { otherwise: Action::Replace }
        }
        (CopiedFile, AtPath::Ours(Put::Link { .. })) => Is(Action::Replace),
        (LinkedFile, AtPath::Ours(Put::Link { is_wanted: true })) => Is(Action::Keep(KnownBy::Inode)),
        (LinkedFile, AtPath::Ours(Put::Link { is_wanted: false })) => {
            IfSameInode { otherwise: Action::Replace }
        }
        // It already has the wanted form: the inventory was lost, or somebody made the same entry
        // meanwhile.
        (CopiedFile, AtPath::File { looks_wanted: true }) => IfSameBytes { otherwise: Action::Leave },
        (LinkedFile, AtPath::File { .. }) => IfSameInode { otherwise: Action::Leave },
        (CopiedFile | Symlink, AtPath::File { .. }) | (_, AtPath::Other) => Is(Action::Leave),
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::{IfSameBytes, IfSameInode, Is};
    use super::*;

    /// Checks a row for a symlink, for a linked file and for a copied one.
    #[track_caller]
    fn check(standing: AtPath, decisions: [Decision; 3]) {
        let all = [Wanted::Symlink, Wanted::LinkedFile, Wanted::CopiedFile];
        for (wanted, decision) in all.into_iter().zip(decisions) {
            assert_eq!(decide(wanted, standing), decision, "{wanted:?} where {standing:?}");
        }
    }

    const REPLACE: Decision = Is(Action::Replace);
    const LEAVE: Decision = Is(Action::Leave);
    const LOOKS: Decision = Is(Action::Keep(KnownBy::Looks));
    const INODE: Decision = Is(Action::Keep(KnownBy::Inode));

    #[test]
    fn what_is_missing_is_added() {
        check(AtPath::Nothing, [Is(Action::Add); 3]);
        check(AtPath::OurFolder, [Is(Action::AddLate); 3]);
    }

    #[test]
    fn what_is_right_is_kept_by_what_it_is_known_by() {
        check(AtPath::SameSymlink, [LOOKS; 3]);
        let copy = Put::Copy { is_wanted: true, is_doubtful: false };
        check(AtPath::Ours(copy), [REPLACE, LOOKS, LOOKS]);
        let link = Put::Link { is_wanted: true };
        check(AtPath::Ours(link), [REPLACE, INODE, REPLACE]);
    }

    #[test]
    fn what_is_ours_and_wrong_is_replaced() {
        for is_doubtful in [false, true] {
            let copy = Put::Copy { is_wanted: false, is_doubtful };
            check(AtPath::Ours(copy), [REPLACE; 3]);
        }
        check(AtPath::Ours(Put::Other), [REPLACE; 3]);
        let link = Put::Link { is_wanted: false };
        check(AtPath::Ours(link), [REPLACE, IfSameInode { otherwise: Action::Replace }, REPLACE]);
    }

    #[test]
    fn what_is_doubtful_is_read() {
        let read = IfSameBytes { otherwise: Action::Replace };
        let copy = Put::Copy { is_wanted: true, is_doubtful: true };
        check(AtPath::Ours(copy), [REPLACE, read, read]);
    }

    #[test]
    fn what_is_not_ours_stays_and_counts_as_ours_only_if_it_is_the_same() {
        let same_inode = IfSameInode { otherwise: Action::Leave };
        let same_bytes = IfSameBytes { otherwise: Action::Leave };
        check(AtPath::File { looks_wanted: true }, [LEAVE, same_inode, same_bytes]);
        check(AtPath::File { looks_wanted: false }, [LEAVE, same_inode, LEAVE]);
        check(AtPath::Other, [LEAVE; 3]);
    }
}
