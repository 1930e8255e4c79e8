//! Reads an unfinished command line: its verb, its global flags, and what may stand at the cursor.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use crate::globals::{Globals, When};

/// A command line up to the cursor.
pub(crate) struct Line<'c> {
    /// The words of the verb, as in `remote add`.
    pub(crate) verb: String,
    /// The command of the verb.
    pub(crate) command: &'c Command,
    /// The flags that were given, by their id.
    pub(crate) given: Vec<(&'c Arg, OsString)>,
    /// The positional arguments of the verb.
    pub(crate) positions: Vec<OsString>,
    /// The unfinished word; the part after `=` if it is that of a flag.
    pub(crate) word: OsString,
    pub(crate) wanted: Wanted<'c>,
}

/// The kind of word at the cursor.
pub(crate) enum Wanted<'c> {
    /// The value of an argument.
    Value(&'c Arg),
    /// A flag.
    Flags,
    /// A verb, or a positional argument.
    Words(Option<&'c Arg>),
    /// A word of a command after `--`.
    Command,
}

/// A flag that waits for values.
#[derive(Clone, Copy)]
struct Open<'c> {
    arg: &'c Arg,
    /// Whether it takes all words up to the next flag.
    many: bool,
}

struct Reader<'c> {
    line: Line<'c>,
    open: Option<Open<'c>>,
    is_escaped: bool,
}

impl<'c> Line<'c> {
    /// Reads the words after the program's name; the last one is unfinished. Returns `None` without one.
    pub(crate) fn read(command: &'c Command, words: &[OsString]) -> Option<Line<'c>> {
        let words = joined(words);
        let (word, before) = words.split_last()?;
        let line = Line {
            verb: String::new(),
            command,
            given: Vec::new(),
            positions: Vec::new(),
            word: word.clone(),
            wanted: Wanted::Flags,
        };
        let mut reader = Reader { line, open: None, is_escaped: false };
        before.iter().for_each(|word| reader.pass(word));
        Some(reader.finish())
    }

    /// Returns the global flags of the line, without output and without patience.
    pub(crate) fn globals(&self) -> Globals {
        let value = |id: &str| {
            let mut given = self.given.iter().rev();
            given.find(|(arg, _)| arg.get_id() == id).map(|(_, value)| value.clone())
        };
        let path = |id: &str| value(id).filter(|value| !value.is_empty()).map(PathBuf::from);
        Globals {
            store: path("store"),
            chdir: path("chdir"),
            trust: value("trust").is_some(),
            no_project: value("no_project").is_some(),
            json: false,
            color: When::Never,
            progress: When::Never,
            quiet: true,
            verbose: 0,
            actor: None,
            lock_timeout: Duration::ZERO,
        }
    }
}

impl<'c> Reader<'c> {
    fn flag(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'c Arg> {
        self.line.command.get_arguments().find(|arg| is_it(arg))
    }

    /// Reads a finished word.
    fn pass(&mut self, word: &OsStr) {
        let bytes = word.as_bytes();
        let is_flag = bytes.len() > 1 && bytes[0] == b'-';
        match self.open {
            Some(open) if !open.many || !is_flag => {
                self.line.given.push((open.arg, word.to_owned()));
                self.open = Some(open).filter(|open| open.many);
                return;
            }
            _ => self.open = None,
        }
        if self.is_escaped || !is_flag {
            self.pass_position(word);
        } else if bytes == b"--" {
            self.is_escaped = true;
        } else if let Some(name) = bytes.strip_prefix(b"--") {
            self.pass_long(name);
        } else {
            self.pass_short(&String::from_utf8_lossy(&bytes[1..]));
        }
    }

    fn pass_position(&mut self, word: &OsStr) {
        let verb = word.to_str().filter(|_| !self.is_escaped && self.line.positions.is_empty());
        if let Some(below) = verb.and_then(|verb| self.line.command.find_subcommand(verb)) {
            self.line.command = below;
            self.line.verb = format!("{} {}", self.line.verb, below.get_name()).trim_start().to_owned();
        } else {
            self.line.positions.push(word.to_owned());
        }
    }

    fn pass_long(&mut self, name: &[u8]) {
        let mut parts = name.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let found = self.flag(|arg| arg.get_long().is_some_and(|long| long.as_bytes() == name));
        if let Some(arg) = found {
            self.give(arg, value.map(|value| OsString::from_vec(value.to_vec())));
        }
    }

    fn pass_short(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(arg) = self.flag(|arg| arg.get_short() == Some(letter)) else { return };
            let rest = &letters[at + letter.len_utf8()..];
            if takes_value(arg) {
                return self.give(arg, (!rest.is_empty()).then(|| rest.trim_start_matches('=').into()));
            }
            self.give(arg, None);
        }
    }

    fn give(&mut self, arg: &'c Arg, value: Option<OsString>) {
        match value {
            None if takes_value(arg) => self.open = Some(Open { arg, many: takes_many(arg) }),
            value => self.line.given.push((arg, value.unwrap_or_default())),
        }
    }

    /// Decides about the unfinished word.
    fn finish(mut self) -> Line<'c> {
        let bytes = self.line.word.as_bytes();
        let is_flag = !self.is_escaped && bytes.first() == Some(&b'-');
        self.line.wanted = match self.open {
            Some(open) if !open.many || !is_flag => Wanted::Value(open.arg),
            _ if is_flag => match bytes.iter().position(|byte| *byte == b'=') {
                Some(at) if bytes.starts_with(b"--") => {
                    let name = bytes[2..at].to_owned();
                    let value = OsString::from_vec(bytes[at + 1..].to_vec());
                    self.line.word = value;
                    match self.flag(|arg| arg.get_long().is_some_and(|long| long.as_bytes() == name)) {
                        Some(arg) => Wanted::Value(arg),
                        None => Wanted::Flags,
                    }
                }
                _ => Wanted::Flags,
            },
            _ => self.words(),
        };
        self.line
    }

    fn words(&self) -> Wanted<'c> {
        let is_last = |arg: &&&Arg| arg.is_last_set() == self.is_escaped;
        let all: Vec<&Arg> = self.line.command.get_positionals().collect();
        let has_last = all.iter().any(|arg| arg.is_last_set());
        if self.is_escaped && has_last {
            return Wanted::Command;
        }
        let places: Vec<&Arg> = all.iter().filter(|arg| !has_last || is_last(arg)).copied().collect();
        let at = self.line.positions.len();
        let repeated = places.last().filter(|arg| takes_many(arg));
        Wanted::Words(places.get(at).or(repeated).copied())
    }
}

/// Returns the words without the separate `=` that bash makes of `--flag=value`.
fn joined(words: &[OsString]) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_flag = out.last().is_some_and(|last| last.as_bytes().starts_with(b"--"));
        // The value is the next word, or it is still empty.
        if word == "=" && is_flag && at + 1 < words.len() {
            continue;
        }
        out.push(word.clone());
    }
    out
}

/// Returns whether an argument takes a value.
pub(crate) fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|number| number.max_values() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, verb: &str, wanted: &str) {
        let mut command = crate::args::command_line();
        command.build();
        let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        let line = Line::read(&command, &words).unwrap();
        let name = |arg: &Arg| arg.get_value_names().map_or(String::new(), |names| names[0].to_string());
        let found = match line.wanted {
            Wanted::Value(arg) => format!("value {}", name(arg)),
            Wanted::Flags => "flags".to_owned(),
            Wanted::Words(arg) => format!("words {}", arg.map_or(String::new(), name)),
            Wanted::Command => "command".to_owned(),
        };
        assert_eq!((line.verb.as_str(), found.as_str()), (verb, wanted), "{text}");
    }

    #[test]
    fn the_place_at_the_cursor_is_found() {
        check("", "", "words ");
        check("sho", "", "words ");
        check("show ", "show", "words REF");
        check("show 4", "show", "words REF");
        check("show 42 ", "show", "words ");
        check("show --", "show", "flags");
        check("ls --li", "list", "flags");
        check("--store ", "", "value DIR");
        check("--store x show ", "show", "words REF");
        check("--store=x show ", "show", "words REF");
        check("--store = x show ", "show", "words REF");
        check("show --store=", "show", "value DIR");
        check("-C ../x -vq cat 42 ", "cat", "words PATH");
        check("-C../x cat 42 ", "cat", "words PATH");
        check("diff 41 ", "diff", "words B");
        check("diff -p a ", "diff", "value PATH");
        check("diff -p a -", "diff", "flags");
        check("gc 1 2 ", "gc", "words REF|N..M");
        check("remote ", "remote", "words ");
        check("remote unpin prod ", "remote unpin", "words NAME");
        check("view add x --as ", "view add", "value KIND");
        check("exec @ ", "exec", "words ");
        check("exec ", "exec", "words REF");
        check("exec @ -- ls -", "exec", "command");
        check("build -- ", "build", "command");
        check("publish -- ", "publish", "words DIR");
        check("publish -m x --expect ", "publish", "value REF|none");
        check("help publ", "help", "words ");
    }
}
