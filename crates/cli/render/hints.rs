//! Hints for errors of the library.

use genstore::Error;
use genstore::error::{BadSourceReason, Damaged, Problem, ProblemKind, RefusedKind};

use super::leftover::LEFT_HINT;
use crate::errors::MORE_PROCESSES;
use crate::text::escape::show;

/// Returns the hint for an error of the library.
pub(crate) fn hint_of(error: &Error) -> String {
    let text = match error {
        Error::Io { source, op, .. } => return hint_of_io(source, op),
        Error::NotAStore { .. } => {
            "create one with `genstore init`, or name another with --store or GENSTORE_STORE"
        }
        Error::NotEmpty { .. } => "name a directory that does not exist or is empty",
        Error::NewerFormat { .. } => {
            "use the version of genstore that wrote it, or a newer one; nothing was changed"
        }
        Error::Locked { path, .. } if path.ends_with("locks/watch") => {
            "only one process can watch a store: end the other one first"
        }
        Error::Locked { path, holders, .. }
            if !path.ends_with("manifest") && holders.iter().any(|holder| holder.user.is_some()) =>
        {
            "end that process, or wait for it; a user who may only read the store can no longer open its lock \
             files"
        }
        Error::Locked { .. } => "wait for that process to end, or use a longer timeout: --lock-timeout 10m",
        Error::LocksUnsupported { .. } => "put the store on a local filesystem such as ext4, xfs or btrfs",
        Error::Lost { .. } => {
            "check the current generation with `genstore show`, then publish again and expect that one"
        }
        Error::Left { .. } => LEFT_HINT,
        Error::UnknownRev { near, .. } if near.is_empty() => "`genstore list` shows all generations",
        Error::UnknownRev { near, .. } => {
            return format!("did you mean {}? `genstore list` shows all", or_list(near));
        }
        Error::UnknownView { near, .. } if near.is_empty() => "`genstore view ls` shows all views",
        Error::UnknownView { near, .. } => {
            let near: Vec<String> = near.iter().map(|path| show(path)).collect();
            return format!("did you mean {}? `genstore view ls` shows all", or_list(&near));
        }
        Error::BadSource { reason, .. } => hint_of_source(*reason),
        Error::BadPlan { problems } => hint_of_plan(problems),
        Error::SourceChanged { .. } => "let the build finish, then publish again",
        Error::Damaged { what, .. } => match what {
            Damaged::Added(_) => {
                "keep paths that a program writes with [shared] in genstore.toml; `genstore verify --repair` moves \
                 what was added to quarantine"
            }
            Damaged::Object(_) => "run `genstore verify --repair`, or publish the right bytes again",
            _ => "`genstore verify` lists all damage, `genstore verify --repair` repairs what it can",
        },
        Error::Refused { kind, .. } => hint_of_refusal(*kind),
        _ => "run the command again with -v",
    };
    text.to_owned()
}

fn hint_of_source(reason: BadSourceReason) -> &'static str {
    use BadSourceReason as Reason;
    match reason {
        Reason::Absent => "check the spelling; the build may have written elsewhere",
        Reason::NotADirectory => "name the directory that holds the build's output",
        Reason::HoldsStore => {
            "publish only the build's output directory, or put the store elsewhere with --store"
        }
        Reason::NotAFile | Reason::NoLongerAFile | Reason::IsStore | Reason::InStore => {
            "name the build's own output, not a directory of genstore"
        }
    }
}

/// Returns the hint for the problem that must be solved first.
fn hint_of_plan(problems: &[Problem]) -> &'static str {
    match problems.iter().map(|problem| problem.kind).min() {
        Some(ProblemKind::Root) => {
            "give each --root a different name, and an existing path outside the store"
        }
        Some(ProblemKind::Base) => "`genstore show REF --tree` lists the paths of the base",
        Some(ProblemKind::NotMovable) => "publish without --consume, to copy the files",
        Some(ProblemKind::Shared) => {
            "let the build leave these paths out, or exclude them under [publish] in genstore.toml; `seed = true` \
             under [shared] makes them the first content of a new place"
        }
        Some(ProblemKind::MountPoint) => {
            "unmount it at the end of the build: a mounted filesystem is not part of the output"
        }
        // A symlink out of the tree is the only problem that a project may allow.
        Some(ProblemKind::Symlink) => {
            "exclude them with `exclude` under [publish] in genstore.toml, \
             or allow such links with `symlinks = \"any\"` there"
        }
        Some(ProblemKind::Unfit) | None => {
            "remove these entries, or exclude them with `exclude` under [publish] in genstore.toml"
        }
    }
}

fn hint_of_refusal(kind: RefusedKind) -> &'static str {
    use RefusedKind as Kind;
    match kind {
        Kind::NoCurrent => "publish something first: `genstore publish DIR`",
        Kind::NotActivated => "`genstore switch N` activates one; `genstore list` shows all",
        Kind::NothingOlder => {
            "`genstore list` shows all generations; `genstore switch` activates any of them"
        }
        Kind::Forgotten => "take the file out of the input; `genstore forget --allow` lifts the ban",
        Kind::StoreNotShared => {
            "create a new one elsewhere with `genstore init --shared`, and publish to it"
        }
        Kind::StoreShared => "create a new one elsewhere with `genstore init --private`, and publish to it",
        Kind::NotAMember => "choose one of your groups first: `chgrp GROUP DIR`",
        Kind::NeedsRoot => "run the command with sudo",
        Kind::Lossy => "change the files, exclude them, or publish with `--lossy warn`",
        Kind::PinTaken => "choose another name, or remove that pin first with `genstore unpin`",
        Kind::NoSuchPin => "`genstore list` shows the pins",
        Kind::StageUnknown => "`genstore begin` prints the id of a new stage",
        Kind::StageExpired => "begin a new stage; `--ttl` and `--owner-pid` set its lifetime",
        Kind::StageCommitted => "`genstore show` shows the generation",
        Kind::StageRefused => "read report.json there, then begin a new stage",
        Kind::StageOfBuild => "begin it with `genstore begin`",
        Kind::StageNotBatch => {
            "begin it with `genstore begin --batch`, or write to the directory that `begin` printed"
        }
        Kind::StageOutputReplaced => {
            "write into GENSTORE_OUT, but do not replace the directory itself; \
             its replacement was not changed"
        }
        Kind::StageForeign => "commit it as the user who began it, to the same store",
        Kind::EmptyInput => {
            "check that the input was created and its disk is mounted; `--allow-empty` publishes it anyway"
        }
        Kind::MovedMeanwhile => "publish again",
        Kind::NoSuchProcess => "`--owner-pid $$` names a shell's own process",
        Kind::BadViewPath => "name the link itself, as in `genstore view add site`",
        Kind::ViewInStore => "name a path outside the store",
        Kind::ViewHoldsStore => "name a path that does not contain the store",
        Kind::Reserve => "free some space (`genstore gc` may help), or change `min_free` under [store]",
        Kind::SharedPlace => "change `at` under [shared] in genstore.toml, or what is there",
        Kind::SharedUnknown => "name its place under [shared] and publish, or leave it out: --shared leave",
        Kind::TargetInStore | Kind::TargetInView => "name a directory outside of it",
        Kind::StoreInStore => "name a directory outside of it with --store",
        Kind::ViewNoParent => "create it with --parents, or check the spelling",
        Kind::ViewWay => {
            "name the path without that link, or deny other users write access to the folder that contains it"
        }
        Kind::ViewTaken => "`--replace` puts the view in its place, and keeps the old one beside it",
        Kind::ViewFile => "move it away first, or name another path",
        Kind::ViewOtherFilesystem => "`--copy` makes copies instead of links",
        Kind::ViewNotMounted => "mount it first, or remove the view with `genstore view rm`",
        Kind::ViewNoExchange => "move the directory away first, then add the view",
        Kind::ObjectMissing => "repeat the command; `genstore verify` finds damaged objects",
        Kind::WrongBytes => "nothing was changed; the source of these bytes is damaged or lies",
        Kind::NoSuchFile => "`genstore show --tree` lists the files of a generation",
        Kind::BadTarget
        | Kind::FactsTooLong
        | Kind::HealedMeanwhile
        | Kind::NoteTooLong
        | Kind::NumbersUsedUp
        | Kind::ReaderUsedUp => "nothing was changed",
    }
}

fn hint_of_io(error: &std::io::Error, op: &str) -> String {
    use std::io::ErrorKind;
    // The kind is matched, because an error may be wrapped in another that has no number; but EIO and
    // similar errors have no kind.
    let text = match (error.kind(), error.raw_os_error().map(rustix::io::Errno::from_raw_os_error)) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            "readers see no change; free some space (`genstore gc` may help) and try again"
        }
        (ErrorKind::ReadOnlyFilesystem, _) => {
            "this filesystem is read-only: list, show, diff, cat, verify and exec work there, changes fail"
        }
        (ErrorKind::PermissionDenied, _) => {
            "check which user runs this; if another user ran genstore here, `sudo genstore doctor --fix` gives its files back to the store's owner"
        }
        (ErrorKind::NotFound, _) => "check the spelling; the parent directory must exist",
        (ErrorKind::CrossesDevices, _) if op == "cross the mount point" => {
            "genstore does not enter mounts inside its store; unmount that filesystem"
        }
        (ErrorKind::NotADirectory, _) => "a part of this path is not a directory",
        (ErrorKind::WouldBlock, _) => MORE_PROCESSES,
        (ErrorKind::FileTooLarge, _) => "the limit of file sizes is reached; raise it (`ulimit -f`)",
        (ErrorKind::InvalidFilename, _) => "shorten the path",
        (_, Some(rustix::io::Errno::IO)) => {
            "the disk reported an error; see the system's log, then run `genstore verify`"
        }
        (_, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) => {
            "too many files are open; raise the limit (`ulimit -n`)"
        }
        _ if op == "write to" => "the file that was written so far is incomplete",
        _ => "readers see no change; fix the cause and try again",
    };
    text.to_owned()
}

fn or_list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().map(|name| genstore::tree::show_path(name.as_bytes())).collect();
    match shown.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order is fixed, whatever other problems a plan has: otherwise users would solve problems in
    /// circles.
    #[test]
    fn the_hint_is_for_what_must_be_solved_first() {
        use ProblemKind::{MountPoint, NotMovable, Root, Symlink, Unfit};
        let check = |kinds: &[ProblemKind], expected: &str| {
            let problem = |kind: &ProblemKind| Problem::new(b"", *kind, "");
            let hint = hint_of_plan(&kinds.iter().map(problem).collect::<Vec<_>>());
            assert!(hint.contains(expected), "{kinds:?}: {hint}");
        };
        check(&[Unfit, Symlink, MountPoint, NotMovable, Root], "--root");
        check(&[Unfit, MountPoint, NotMovable, Symlink], "without --consume");
        check(&[Symlink, MountPoint, Unfit], "unmount");
        check(&[Unfit, Symlink], "symlinks = \"any\"");
        check(&[Unfit], "remove these entries");
    }
}
