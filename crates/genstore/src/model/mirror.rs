//! The files and symlinks of a mirror: what is done about what stands at the path of one.
//! `views/mirror/compare` observes.

/// How an entry of a mirror is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Symlink,
    /// A hard link to the file of the generation.
    LinkedFile,
    CopiedFile,
}

/// What stands at the path of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Nothing,
    /// The symlink that is wanted.
    SameSymlink,
    /// What genstore put there.
    Ours(Put),
    /// A folder that genstore made.
    OurFolder,
    /// A regular file that no inventory names; with the size and the mtime that are wanted, or without.
    File {
        looks_wanted: bool,
    },
    Other,
}

/// What genstore put at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// A copy. It is the wanted one by its inventory and by its looks, or not; its looks may be those of
    /// another file.
    Copy { is_wanted: bool, is_doubtful: bool },
    /// A hard link to an object. It is the wanted one by its inventory and by its looks, or not.
    Link { is_wanted: bool },
    /// A symlink where a file is wanted, or a file where a symlink is.
    Other,
}

/// By what a file that stays is known the next time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KnownBy {
    /// Size and mtime.
    Looks,
    Inode,
}

/// What is done with what stands there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Add,
    /// Added once the folder in its place is gone.
    AddLate,
    Keep(KnownBy),
    Replace,
    /// It is not ours, and stays.
    Leave,
}

/// What the looks of a path tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    Is(Action),
    /// It stays if it has the bytes that are wanted; they must be read.
    IfSameBytes {
        otherwise: Action,
    },
    /// It stays if it is the inode that the generation has.
    IfSameInode {
        otherwise: Action,
    },
}

/// Decides what is done about what stands at the path of a file or a symlink.
pub(crate) fn decide(wanted: Wanted, standing: Standing) -> Decision {
    use Decision::{IfSameBytes, IfSameInode, Is};
    use Wanted::{CopiedFile, LinkedFile, Symlink};
    match (wanted, standing) {
        (_, Standing::Nothing) => Is(Action::Add),
        (_, Standing::SameSymlink) => Is(Action::Keep(KnownBy::Looks)),
        (_, Standing::OurFolder) => Is(Action::AddLate),
        (Symlink, Standing::Ours(_)) | (_, Standing::Ours(Put::Other)) => Is(Action::Replace),
        (_, Standing::Ours(Put::Copy { is_wanted: false, .. })) => Is(Action::Replace),
        // Also where links were wanted, and could not be made.
        (_, Standing::Ours(Put::Copy { is_doubtful: false, .. })) => Is(Action::Keep(KnownBy::Looks)),
        (_, Standing::Ours(Put::Copy { is_doubtful: true, .. })) => {
            IfSameBytes { otherwise: Action::Replace }
        }
        (CopiedFile, Standing::Ours(Put::Link { .. })) => Is(Action::Replace),
        (LinkedFile, Standing::Ours(Put::Link { is_wanted: true })) => Is(Action::Keep(KnownBy::Inode)),
        (LinkedFile, Standing::Ours(Put::Link { is_wanted: false })) => {
            IfSameInode { otherwise: Action::Replace }
        }
        // As it is to be already: the inventory was lost, or the same was put there meanwhile.
        (CopiedFile, Standing::File { looks_wanted: true }) => IfSameBytes { otherwise: Action::Leave },
        (LinkedFile, Standing::File { .. }) => IfSameInode { otherwise: Action::Leave },
        (CopiedFile | Symlink, Standing::File { .. }) | (_, Standing::Other) => Is(Action::Leave),
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::{IfSameBytes, IfSameInode, Is};
    use super::*;

    /// Checks a row for a symlink, for a linked file and for a copied one.
    #[track_caller]
    fn check(standing: Standing, decisions: [Decision; 3]) {
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
        check(Standing::Nothing, [Is(Action::Add); 3]);
        check(Standing::OurFolder, [Is(Action::AddLate); 3]);
    }

    #[test]
    fn what_is_right_is_kept_by_what_it_is_known_by() {
        check(Standing::SameSymlink, [LOOKS; 3]);
        let copy = Put::Copy { is_wanted: true, is_doubtful: false };
        check(Standing::Ours(copy), [REPLACE, LOOKS, LOOKS]);
        let link = Put::Link { is_wanted: true };
        check(Standing::Ours(link), [REPLACE, INODE, REPLACE]);
    }

    #[test]
    fn what_is_ours_and_wrong_is_replaced() {
        for is_doubtful in [false, true] {
            let copy = Put::Copy { is_wanted: false, is_doubtful };
            check(Standing::Ours(copy), [REPLACE; 3]);
        }
        check(Standing::Ours(Put::Other), [REPLACE; 3]);
        let link = Put::Link { is_wanted: false };
        check(Standing::Ours(link), [REPLACE, IfSameInode { otherwise: Action::Replace }, REPLACE]);
    }

    #[test]
    fn what_is_doubtful_is_read() {
        let read = IfSameBytes { otherwise: Action::Replace };
        let copy = Put::Copy { is_wanted: true, is_doubtful: true };
        check(Standing::Ours(copy), [REPLACE, read, read]);
    }

    #[test]
    fn what_is_not_ours_stays_and_counts_as_ours_only_if_it_is_the_same() {
        let same_inode = IfSameInode { otherwise: Action::Leave };
        let same_bytes = IfSameBytes { otherwise: Action::Leave };
        check(Standing::File { looks_wanted: true }, [LEAVE, same_inode, same_bytes]);
        check(Standing::File { looks_wanted: false }, [LEAVE, same_inode, LEAVE]);
        check(Standing::Other, [LEAVE; 3]);
    }
}
