//! The kind of value that each argument takes.

use clap::Arg;

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Generations, pins, `@` and `@-`.
    Refs,
    /// The same, and `none`.
    RefsOrNone,
    /// Generations, or a folder.
    RefsOrFolders,
    /// A generation first, then a remote.
    RefsOrRemotes,
    Pins,
    Views,
    Stages,
    Remotes,
    /// The channels that the configuration names.
    Channels,
    /// The programs of a running watch.
    Programs,
    /// Paths in a generation.
    Paths,
    /// Folders in the current generation.
    PathsOfFolders,
    Documents,
    Folders,
    Files,
    /// A command and its arguments.
    Command,
    /// One of these words.
    Words(&'static [&'static str]),
    /// The argument's own possible values.
    Possible,
    /// Text that only the user knows.
    Free,
}

impl Kind {
    /// Returns whether the shell completes it itself.
    pub(crate) fn of_shell(self) -> Option<&'static str> {
        match self {
            Kind::Folders => Some("folders"),
            Kind::Files => Some("files"),
            Kind::Command => Some("command"),
            _ => None,
        }
    }
}

const SIGNALS: &[&str] = &["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"];

/// Returns the kind of an argument's value.
pub(crate) fn of(verb: &str, arg: &Arg) -> Kind {
    known(verb, arg).unwrap_or(Kind::Free)
}

/// Returns the kind, or `None` for an argument that this table does not have.
fn known(verb: &str, arg: &Arg) -> Option<Kind> {
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    Some(match (verb, name) {
        ("unpin", "NAME") => Kind::Pins,
        ("restart", "NAME") => Kind::Programs,
        ("schema", "NAME") => Kind::Documents,
        ("remote rm", "NAME") => Kind::Remotes,
        (_, "NAME") => Kind::Free,
        ("blame" | "cat" | "diff" | "log" | "publish", "PATH")
        | ("forget", _)
        | ("remote forget", "PATH|DIGEST") => Kind::Paths,
        ("view rm", "PATH") => Kind::Views,
        ("view add", "PATH") => Kind::Folders,
        ("watch", "PATH") => Kind::Files,
        (_, "SUBDIR") => Kind::PathsOfFolders,
        ("diff", "A" | "B") => Kind::RefsOrFolders,
        (_, "REF" | "REF|N..M") => Kind::Refs,
        (_, "REF|none") => Kind::RefsOrNone,
        (_, "[REF] REMOTE [CHANNEL]") => Kind::RefsOrRemotes,
        (_, "REMOTE" | "REMOTE[/CHANNEL]") => Kind::Remotes,
        (_, "CHANNEL" | "CHANNEL|ID" | "FROM" | "TO") => Kind::Channels,
        (_, "STAGE") => Kind::Stages,
        (_, "DIR") => Kind::Folders,
        (_, "FILE|-" | "NAME=PATH") => Kind::Files,
        (_, "CMD" | "BUILD") => Kind::Command,
        (_, "all|N") => Kind::Words(&["all"]),
        (_, "full|none") => Kind::Words(&["full", "none"]),
        (_, "good|bad") => Kind::Words(&["good", "bad"]),
        (_, "link|copy|leave") => Kind::Words(&["link", "copy", "leave"]),
        (_, "warn|refuse|allow") => Kind::Words(&["warn", "refuse", "allow"]),
        (_, "WHERE") => Kind::Words(&["project", "generation"]),
        ("watch", "WHAT") => Kind::Words(&["queue", "restart"]),
        (_, "SIGNAL") => Kind::Words(SIGNALS),
        (_, "LIST") => Kind::Words(&["kill", "eio", "eio-from", "enospc"]),
        (_, "KIND" | "SHELL" | "WHEN") => Kind::Possible,
        (
            _,
            "ADDR" | "DUR" | "EXT" | "K=V" | "MSG" | "N" | "ORIGIN" | "PATTERN" | "PID" | "SIZE" | "TEXT"
            | "TIME" | "URL" | "WHO" | "WHY" | "[NAME: ]CMD",
        ) => Kind::Free,
        _ if !arg.get_possible_values().is_empty() => Kind::Possible,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_has_a_kind() {
        let mut command = crate::args::command_line();
        command.build();
        let mut missing = Vec::new();
        walk(&command, "", &mut missing);
        assert!(missing.is_empty(), "add these to the table, as Kind::Free if nothing helps: {missing:#?}");
    }

    fn walk(command: &clap::Command, verb: &str, missing: &mut Vec<String>) {
        let takes = |arg: &&Arg| arg.get_num_args().is_some_and(|number| number.takes_values());
        for arg in command.get_arguments().filter(takes).filter(|arg| known(verb, arg).is_none()) {
            missing.push(format!("{verb} {:?} {:?}", arg.get_id(), arg.get_value_names()));
        }
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(below, format!("{verb} {}", below.get_name()).trim_start(), missing);
        }
    }
}
