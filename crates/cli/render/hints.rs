//! What to do about an error of the library.

use genstore::{Damaged, Error, Problem};

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
        Error::BadSource { why, .. } => hint_of_source(why),
        Error::BadPlan { problems } => hint_of_plan(problems),
        Error::SourceChanged { .. } => "let the build finish, then publish again",
        Error::Damaged { what, .. } => match what {
            Damaged::Object(_) => "`genstore verify --repair`, or publish the right bytes again",
            _ => {
                "`genstore verify` tells all that is damaged, `genstore verify --repair` mends what it can"
            }
        },
        Error::Refused { code, .. } => hint_of_refusal(code),
        _ => "run it again with -v",
    };
    text.to_owned()
}

fn hint_of_source(why: &str) -> &'static str {
    match why {
        "there is no such directory" => "check the spelling; the build may have written elsewhere",
        "it is not a directory" => "name the directory that holds the build's output",
        "the store lies in it" => {
            "publish the build's output directory, or put the store elsewhere with --store"
        }
        _ => "name the build's own output, not what genstore made of it",
    }
}

fn hint_of_plan(problems: &[Problem]) -> &'static str {
    let any = |words: &str| problems.iter().any(|problem| problem.what.contains(words));
    // Links that lead elsewhere are the one thing that a project may allow.
    match any("symlink") {
        _ if any("cannot be a root: ") => {
            "give each --root a name of its own, and a path that is there and apart from the store"
        }
        _ if any("is a mount point") && !any("cannot be moved in: ") => {
            "unmount it at the end of the build: what is mounted there is not the build's output"
        }
        _ if any("cannot be moved in: ") => "publish without --consume, which copies the files",
        true => {
            "leave them out with `exclude` under [publish] in genstore.toml, \
             or allow such links with `symlinks = \"any\"` there"
        }
        false => {
            "remove what cannot be kept, or leave it out with `exclude` under [publish] in genstore.toml"
        }
    }
}

fn hint_of_refusal(code: &str) -> &'static str {
    match code {
        "no-current" => "publish something first: `genstore publish DIR`",
        "not-activated" => "`genstore switch N` makes one current; `genstore list` shows all",
        "nothing-older" => "`genstore list` shows what there is; `genstore switch` goes to any of them",
        "store-not-shared" => "make a new one elsewhere with `genstore init --shared`, and publish to it",
        "store-shared" => "make a new one elsewhere with `genstore init --private`, and publish to it",
        "not-a-member" => "choose a group of yours first: `chgrp GROUP DIR`",
        "needs-root" => "run it with sudo",
        "lossy" => "change the files, leave them out, or publish with `--lossy warn`",
        "pin-taken" => "take another name, or remove that pin first with `genstore unpin`",
        "no-such-pin" => "`genstore list` shows the pins",
        "stage-unknown" => "`genstore begin` prints the id of a new stage",
        "stage-expired" => "begin a new stage; `--ttl` and `--owner-pid` say how long it lasts",
        "stage-committed" => "`genstore show` tells of the generation",
        "stage-refused" => "look at report.json there, then begin a new stage",
        "stage-output-replaced" => {
            "write into GENSTORE_OUT and leave the directory itself in its place; \
             nothing of what took its place was changed"
        }
        "stage-foreign" => "commit it as the user who began it, and to the store it was begun in",
        "empty-input" => {
            "was the input made, and is its disk mounted? `--allow-empty` publishes it all the same"
        }
        "moved-meanwhile" => "publish again",
        "no-such-process" => "`--owner-pid $$` names a shell's own process",
        "bad-view-path" => "name the link itself, as in `genstore view add site`",
        "view-in-store" => "a view is a path outside the store; name one beside it",
        "view-holds-store" => "a view shows what is in the store; name a path beside it",
        "target-in-store" | "target-in-view" => "name a directory elsewhere",
        "store-in-store" => "name a directory outside of it with --store",
        "view-no-parent" => "make it with --parents, or check the spelling",
        "view-way" => "name the place without that link, or have the folder that it is in closed to others",
        "view-taken" => "`--replace` puts the view in its place, and keeps what is there beside it",
        "view-file" => "move it away first, or name another path",
        "view-other-filesystem" => "`--copy` makes copies instead of links",
        "view-not-mounted" => "mount it first, or give the view up with `genstore view rm`",
        "view-no-exchange" => "move what is there away first, then add the view",
        "no-such-file" => "`genstore show --tree` lists what a generation holds",
        _ => "nothing was changed",
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
    let shown: Vec<String> = names.iter().map(|name| genstore::show_path(name.as_bytes())).collect();
    match shown.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
