//! What to do about an error of the library.

use genstore::Error;
use genstore::error::{BadSourceReason, Damaged, Problem, ProblemKind, RefusedKind};

use super::leftover::LEFT_HINT;
use crate::errors::MORE_PROCESSES;
use crate::text::escape::show;

/// Gives the hint to an error of the library.
pub(crate) fn hint_of(error: &Error) -> String {
    let text = match error {
        Error::Io { source, op, .. } => return hint_of_io(source, op),
        Error::NotAStore { .. } => {
            "make one with `genstore init`, or name another with --store or GENSTORE_STORE"
        }
        Error::NotEmpty { .. } => "name a directory that is absent or empty",
        Error::NewerFormat { .. } => "use the genstore that wrote it, or a newer one; nothing was changed",
        Error::Locked { path, .. } if path.ends_with("locks/watch") => {
            "one process watches for a store at a time: end that one first"
        }
        Error::Locked { path, holders, .. }
            if !path.ends_with("manifest") && holders.iter().any(|holder| holder.user.is_some()) =>
        {
            "end that process, or wait for it; a user who may only read the store cannot open its lock \
             files any more"
        }
        Error::Locked { .. } => "wait for the holder to finish, or wait longer with --lock-timeout 10m",
        Error::LocksUnsupported { .. } => "put the store on a local filesystem such as ext4, xfs or btrfs",
        Error::Lost { .. } => {
            "look at what is current with `genstore show`, then publish again and expect that"
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
            Damaged::Object(_) => "`genstore verify --repair`, or publish the right bytes again",
            _ => {
                "`genstore verify` tells all that is damaged, `genstore verify --repair` mends what it can"
            }
        },
        Error::Refused { kind, .. } => hint_of_refusal(*kind),
        _ => "run it again with -v",
    };
    text.to_owned()
}

fn hint_of_source(reason: BadSourceReason) -> &'static str {
    use BadSourceReason as Reason;
    match reason {
        Reason::Absent => "check the spelling; the build may have written elsewhere",
        Reason::NotADirectory => "name the directory that holds the build's output",
        Reason::HoldsStore => {
            "publish the build's output directory, or put the store elsewhere with --store"
        }
        Reason::NotAFile | Reason::NoLongerAFile | Reason::IsStore | Reason::InStore => {
            "name the build's own output, not what genstore made of it"
        }
    }
}

/// Chooses the hint of the problem that has to be solved first.
fn hint_of_plan(problems: &[Problem]) -> &'static str {
    match problems.iter().map(|problem| problem.kind).min() {
        Some(ProblemKind::Root) => {
            "give each --root a name of its own, and a path that is there and apart from the store"
        }
        Some(ProblemKind::NotMovable) => "publish without --consume, which copies the files",
        Some(ProblemKind::MountPoint) => {
            "unmount it at the end of the build: what is mounted there is not the build's output"
        }
        // Links that lead elsewhere are the one thing that a project may allow.
        Some(ProblemKind::Symlink) => {
            "leave them out with `exclude` under [publish] in genstore.toml, \
             or allow such links with `symlinks = \"any\"` there"
        }
        Some(ProblemKind::Unfit) | None => {
            "remove what cannot be kept, or leave it out with `exclude` under [publish] in genstore.toml"
        }
    }
}

fn hint_of_refusal(kind: RefusedKind) -> &'static str {
    use RefusedKind as Kind;
    match kind {
        Kind::NoCurrent => "publish something first: `genstore publish DIR`",
        Kind::NotActivated => "`genstore switch N` makes one current; `genstore list` shows all",
        Kind::NothingOlder => "`genstore list` shows what there is; `genstore switch` goes to any of them",
        Kind::StoreNotShared => "make a new one elsewhere with `genstore init --shared`, and publish to it",
        Kind::StoreShared => "make a new one elsewhere with `genstore init --private`, and publish to it",
        Kind::NotAMember => "choose a group of yours first: `chgrp GROUP DIR`",
        Kind::NeedsRoot => "run it with sudo",
        Kind::Lossy => "change the files, leave them out, or publish with `--lossy warn`",
        Kind::PinTaken => "take another name, or remove that pin first with `genstore unpin`",
        Kind::NoSuchPin => "`genstore list` shows the pins",
        Kind::StageUnknown => "`genstore begin` prints the id of a new stage",
        Kind::StageExpired => "begin a new stage; `--ttl` and `--owner-pid` say how long it lasts",
        Kind::StageCommitted => "`genstore show` tells of the generation",
        Kind::StageRefused => "look at report.json there, then begin a new stage",
        Kind::StageOutputReplaced => {
            "write into GENSTORE_OUT and leave the directory itself in its place; \
             nothing of what took its place was changed"
        }
        Kind::StageForeign => "commit it as the user who began it, and to the store it was begun in",
        Kind::EmptyInput => {
            "was the input made, and is its disk mounted? `--allow-empty` publishes it all the same"
        }
        Kind::MovedMeanwhile => "publish again",
        Kind::NoSuchProcess => "`--owner-pid $$` names a shell's own process",
        Kind::BadViewPath => "name the link itself, as in `genstore view add site`",
        Kind::ViewInStore => "a view is a path outside the store; name one beside it",
        Kind::ViewHoldsStore => "a view shows what is in the store; name a path beside it",
        Kind::TargetInStore | Kind::TargetInView => "name a directory elsewhere",
        Kind::StoreInStore => "name a directory outside of it with --store",
        Kind::ViewNoParent => "make it with --parents, or check the spelling",
        Kind::ViewWay => {
            "name the place without that link, or have the folder that it is in closed to others"
        }
        Kind::ViewTaken => "`--replace` puts the view in its place, and keeps what is there beside it",
        Kind::ViewFile => "move it away first, or name another path",
        Kind::ViewOtherFilesystem => "`--copy` makes copies instead of links",
        Kind::ViewNotMounted => "mount it first, or give the view up with `genstore view rm`",
        Kind::ViewNoExchange => "move what is there away first, then add the view",
        Kind::NoSuchFile => "`genstore show --tree` lists what a generation holds",
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
    // By kind, for an error may be wrapped in another that has no number; EIO and its like have
    // no kind.
    let text = match (error.kind(), error.raw_os_error().map(rustix::io::Errno::from_raw_os_error)) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            "nothing that readers see was changed; make room (`genstore gc` may free some) and try again"
        }
        (ErrorKind::ReadOnlyFilesystem, _) => {
            "this filesystem is read-only: list, show, diff, cat, verify and exec work there, changes do not"
        }
        (ErrorKind::PermissionDenied, _) => {
            "check as whom you run this; if another user ran genstore here, `sudo genstore doctor --fix` gives back what is the store's"
        }
        (ErrorKind::NotFound, _) => "check the spelling; the directory above it must be there",
        (ErrorKind::CrossesDevices, _) if op == "cross the mount point" => {
            "genstore enters no mount inside its store; unmount what is mounted there"
        }
        (ErrorKind::NotADirectory, _) => "something on this path is not a directory",
        (ErrorKind::WouldBlock, _) => MORE_PROCESSES,
        (ErrorKind::FileTooLarge, _) => "the limit of file sizes is reached: raise it (`ulimit -f`)",
        (ErrorKind::InvalidFilename, _) => "shorten the path",
        (_, Some(rustix::io::Errno::IO)) => {
            "the disk reports an error: see the system's log, then `genstore verify`"
        }
        (_, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) => {
            "too many files are open: raise the limit (`ulimit -n`)"
        }
        _ if op == "write to" => "what was written so far is not the whole file",
        _ => "nothing that readers see was changed; mend the cause and try again",
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

    /// Whatever else is wrong with a plan: an order of its own would send people round in circles.
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
        check(&[Unfit], "remove what cannot be kept");
    }
}
