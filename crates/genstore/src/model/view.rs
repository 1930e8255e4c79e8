//! Adding a view: the decision about its path. `verbs/views` observes and acts.

use serde::{Deserialize, Serialize};

/// The way in which a view shows the current generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ViewKind {
    /// A relative symlink to `current`, created once and never changed.
    #[default]
    Link,
    /// A directory of real files, which each commit updates.
    Mirror,
}

/// The effect of adding a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewChange {
    /// None: the view existed.
    Unchanged,
    /// The view is new.
    Made,
    /// The view showed another part of the tree before, or had another kind.
    Retargeted,
    /// The view replaced something else.
    Replaced,
}

/// The view that a caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: ViewKind,
    /// It may replace a directory or a foreign symlink.
    pub(crate) replace: bool,
    pub(crate) recorded: Recorded,
}

/// Whether the store has a record of a view at the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recorded {
    No,
    /// Yes, of the requested view.
    Same,
    /// Yes, of a view of another kind, or of another part of the tree.
    Other,
}

/// The entry at the path of a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ViewAtPath {
    Nothing,
    /// The symlink of a link view of this part of the tree.
    SameLink,
    /// A symlink to another part of the current generation.
    OurLink,
    /// Any other symlink, with its target.
    OtherLink(Vec<u8>),
    /// The directory of a mirror that the store has a record of.
    Mirror {
        holds_strangers: bool,
    },
    /// An empty directory, where a mirror is requested.
    EmptyDirectory,
    Directory,
    MountPoint,
    /// A file, or anything else that is not a directory.
    File,
}

/// The action for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The view exists, and its record is right.
    Keep,
    /// The view exists. Its record must be written.
    Record(ViewChange),
    /// The view must be installed.
    Install(ViewChange),
    Refuse(Refusal),
}

/// The entries that no view replaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    File,
    MountPoint,
    Directory,
    /// A symlink, with its target.
    Symlink(Vec<u8>),
    /// A mirror with files that genstore did not create, where a link is requested.
    MirrorWithStrangers,
}

/// Decides whether and how a view is installed.
pub(crate) fn decide(wanted: Wanted, standing: ViewAtPath) -> Action {
    use ViewKind::{Link, Mirror};
    match (wanted.kind, standing) {
        (_, ViewAtPath::Nothing) | (Mirror, ViewAtPath::EmptyDirectory) => {
            Action::Install(ViewChange::Made)
        }
        (Link, ViewAtPath::SameLink) | (Mirror, ViewAtPath::Mirror { holds_strangers: false }) => {
            keep(wanted)
        }
        (Mirror, ViewAtPath::SameLink) | (_, ViewAtPath::OurLink) => {
            Action::Install(ViewChange::Retargeted)
        }
        (Link, ViewAtPath::Mirror { holds_strangers: false }) => Action::Install(ViewChange::Retargeted),
        (_, ViewAtPath::File) => Action::Refuse(Refusal::File),
        (_, ViewAtPath::MountPoint) => Action::Refuse(Refusal::MountPoint),
        // The other entries are not ours, or contain entries that are not.
        (_, _) if wanted.replace => Action::Install(ViewChange::Replaced),
        (Mirror, ViewAtPath::Mirror { holds_strangers: true }) => keep(wanted),
        (Link, ViewAtPath::Mirror { holds_strangers: true }) => {
            Action::Refuse(Refusal::MirrorWithStrangers)
        }
        (_, ViewAtPath::OtherLink(target)) => Action::Refuse(Refusal::Symlink(target)),
        (_, ViewAtPath::Directory | ViewAtPath::EmptyDirectory) => Action::Refuse(Refusal::Directory),
    }
}

/// The target of a link says what it shows. Only its record says what a mirror shows.
fn keep(wanted: Wanted) -> Action {
    match (wanted.recorded, wanted.kind) {
        (Recorded::Same, _) => Action::Keep,
        (Recorded::Other, ViewKind::Mirror) => Action::Record(ViewChange::Retargeted),
        (Recorded::No | Recorded::Other, _) => Action::Record(ViewChange::Unchanged),
    }
}

#[cfg(test)]
mod tests {
    use super::ViewChange::*;
    use super::*;

    /// Checks a row for a link and for a mirror, each without and with `replace`.
    #[track_caller]
    fn check(standing: ViewAtPath, link: [Action; 2], mirror: [Action; 2]) {
        for (kind, actions) in [(ViewKind::Link, link), (ViewKind::Mirror, mirror)] {
            for (replace, action) in [false, true].into_iter().zip(actions) {
                let wanted = Wanted { kind, replace, recorded: Recorded::Same };
                assert_eq!(decide(wanted, standing.clone()), action, "{wanted:?} where {standing:?}");
            }
        }
    }

    fn twice(action: Action) -> [Action; 2] {
        [action.clone(), action]
    }

    #[test]
    fn what_is_free_or_ours_is_taken_without_asking() {
        let (made, keep) = (Action::Install(Made), Action::Keep);
        let retarget = Action::Install(Retargeted);
        check(ViewAtPath::Nothing, twice(made.clone()), twice(made));
        check(ViewAtPath::SameLink, twice(keep.clone()), twice(retarget.clone()));
        check(ViewAtPath::OurLink, twice(retarget.clone()), twice(retarget.clone()));
        check(ViewAtPath::Mirror { holds_strangers: false }, twice(retarget), twice(keep));
    }

    #[test]
    fn what_is_not_ours_is_replaced_only_where_that_is_asked_for() {
        let replace = Action::Install(Replaced);
        let refuse = |why: Refusal| [Action::Refuse(why), replace.clone()];
        let symlink = || refuse(Refusal::Symlink(b"x".to_vec()));
        check(ViewAtPath::OtherLink(b"x".to_vec()), symlink(), symlink());
        check(ViewAtPath::Directory, refuse(Refusal::Directory), refuse(Refusal::Directory));
        check(ViewAtPath::EmptyDirectory, refuse(Refusal::Directory), twice(Action::Install(Made)));
        let strangers = ViewAtPath::Mirror { holds_strangers: true };
        check(strangers, refuse(Refusal::MirrorWithStrangers), [Action::Keep, replace.clone()]);
    }

    #[test]
    fn no_view_takes_the_place_of_a_file_or_a_mount_point() {
        let refuse = |why: Refusal| twice(Action::Refuse(why));
        check(ViewAtPath::File, refuse(Refusal::File), refuse(Refusal::File));
        check(ViewAtPath::MountPoint, refuse(Refusal::MountPoint), refuse(Refusal::MountPoint));
    }

    #[test]
    fn a_view_that_stands_is_recorded_as_it_is_asked_for() {
        let action = |kind, recorded| {
            let standing = match kind {
                ViewKind::Link => ViewAtPath::SameLink,
                ViewKind::Mirror => ViewAtPath::Mirror { holds_strangers: false },
            };
            decide(Wanted { kind, replace: false, recorded }, standing)
        };
        assert_eq!(action(ViewKind::Link, Recorded::Same), Action::Keep);
        assert_eq!(action(ViewKind::Link, Recorded::No), Action::Record(Unchanged));
        assert_eq!(action(ViewKind::Link, Recorded::Other), Action::Record(Unchanged));
        assert_eq!(action(ViewKind::Mirror, Recorded::Same), Action::Keep);
        assert_eq!(action(ViewKind::Mirror, Recorded::No), Action::Record(Unchanged));
        assert_eq!(action(ViewKind::Mirror, Recorded::Other), Action::Record(Retargeted));
    }
}
