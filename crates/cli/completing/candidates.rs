//! The candidates: verbs, flags, and what the store and the configuration know.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::SystemTime;

use anyhow::Result;
use clap::{Arg, ArgAction};
use genstore::{Rev, Store};

use crate::command::context::Context;
use crate::command::{control, refs, remotes};
use crate::completing::kinds::Kind;
use crate::completing::line::Line;
use crate::text::{human, time};
use crate::topics::TOPICS;
use crate::verbs::schema;

/// The newest generations that are offered.
const MOST_GENERATIONS: usize = 100;
/// The columns of a description.
const DESCRIPTION: usize = 60;

/// The candidates for a word, and what the shell adds.
pub(crate) struct Answer {
    word: OsString,
    lines: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(word: &std::ffi::OsStr) -> Answer {
        Answer { word: word.to_owned(), lines: Vec::new() }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.lines
    }

    /// Leaves the word to the shell.
    pub(crate) fn shell(&mut self, what: &str) {
        self.lines.extend_from_slice(format!("\t{what}\n").as_bytes());
    }

    /// Adds a candidate if the word is its beginning.
    fn add(&mut self, value: impl AsRef<[u8]>, description: &str) {
        let value = value.as_ref();
        let is_plain = |byte: &u8| !matches!(byte, b'\t' | b'\n' | b'\r');
        if value.starts_with(self.word.as_bytes()) && value.iter().all(is_plain) {
            let description = description.replace(['\t', '\n'], " ");
            self.lines.extend_from_slice(value);
            self.lines.extend_from_slice(format!("\t{description}\n").as_bytes());
        }
    }

    /// Adds the verbs that may follow.
    pub(crate) fn verbs(&mut self, line: &Line<'_>) {
        if !line.positions.is_empty() {
            return;
        }
        for verb in line.command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            self.add(verb.get_name(), &about);
        }
        if line.verb == "help" {
            TOPICS.iter().for_each(|topic| self.add(topic.name, topic.about));
        }
    }

    /// Adds the flags that are not given yet: those of the verb first.
    pub(crate) fn flags(&mut self, line: &Line<'_>) {
        let is_global = |arg: &&Arg| arg.is_global_set();
        let all = || line.command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
        for arg in all().filter(|arg| !is_global(arg)).chain(all().filter(is_global)) {
            let again = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
            if !again && line.given.iter().any(|(given, _)| given.get_id() == arg.get_id()) {
                continue;
            }
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            match (arg.get_long(), arg.get_short()) {
                (Some(long), _) => self.add(format!("--{long}"), &about),
                (None, Some(short)) => self.add(format!("-{short}"), &about),
                (None, None) => {}
            }
        }
    }

    /// Adds the values of an argument.
    pub(crate) fn value(&mut self, context: Option<&Context<'_>>, arg: &Arg, kind: Kind, line: &Line<'_>) {
        if let Some(what) = kind.of_shell() {
            return self.shell(what);
        }
        match kind {
            Kind::Words(words) => words.iter().for_each(|word| self.add(word, "")),
            Kind::Possible => {
                for value in arg.get_possible_values() {
                    let about = value.get_help().map(ToString::to_string).unwrap_or_default();
                    self.add(value.get_name(), &about);
                }
            }
            Kind::Documents => {
                for name in schema::names() {
                    self.add(schema::short(name), "");
                }
            }
            _ => {
                // A store that cannot be read has no candidates.
                if let Some(context) = context {
                    self.found(context, kind, line).unwrap_or_default();
                }
                if kind == Kind::RefsOrFolders {
                    self.shell("folders");
                }
            }
        }
    }

    fn found(&mut self, context: &Context<'_>, kind: Kind, line: &Line<'_>) -> Result<()> {
        match kind {
            Kind::Remotes => self.remotes(context)?,
            Kind::Channels => self.channels(context)?,
            Kind::Refs | Kind::RefsOrFolders => self.refs(&context.open()?, context.now())?,
            Kind::RefsOrNone => {
                self.add("none", "nothing was published before");
                self.refs(&context.open()?, context.now())?;
            }
            Kind::RefsOrRemotes => {
                self.remotes(context)?;
                match line.positions.is_empty() {
                    true => self.refs(&context.open()?, context.now())?,
                    false => self.channels(context)?,
                }
            }
            Kind::Pins => self.pins(&context.open()?)?,
            Kind::Views => {
                for view in context.open()?.views()? {
                    self.add(view.path.as_os_str().as_bytes(), "");
                }
            }
            Kind::Stages => {
                for stage in context.open()?.stages()? {
                    let begun = time::ago(stage.since, context.now());
                    self.add(stage.id.to_string(), &format!("begun {begun} by {}", stage.by));
                }
            }
            Kind::Programs => {
                for name in control::ask(&context.open()?, &control::Request::Look)?.names {
                    self.add(name, "");
                }
            }
            Kind::Paths => self.paths(&context.open()?, line, false)?,
            Kind::PathsOfFolders => self.paths(&context.open()?, line, true)?,
            _ => {}
        }
        Ok(())
    }

    fn refs(&mut self, store: &Store, now: SystemTime) -> Result<()> {
        let listing = store.list()?;
        let newest = || listing.generations.iter().take(MOST_GENERATIONS);
        self.add("@", "the current generation");
        self.add("@-", "the one before");
        self.pins(store)?;
        for listed in newest() {
            let mut about = time::ago(listed.head.created.into(), now);
            for part in [
                human::line(&listed.head.note, DESCRIPTION),
                human::tags(listed.current, &listed.mark, &listed.pins),
            ] {
                if !part.is_empty() {
                    about = format!("{about}, {part}");
                }
            }
            self.add(listed.id.to_string(), &about);
        }
        // The ids of trees only help who has begun to type one.
        if self.word.len() >= 2 {
            for listed in newest() {
                let number = format!("the tree of generation {}", listed.id);
                self.add(listed.head.tree.short(), &number);
            }
        }
        Ok(())
    }

    fn pins(&mut self, store: &Store) -> Result<()> {
        for pin in store.pins()? {
            self.add(pin.name.as_str(), &format!("the pin of generation {}", pin.generation));
        }
        Ok(())
    }

    fn remotes(&mut self, context: &Context<'_>) -> Result<()> {
        for (name, (section, _)) in remotes::all(context)? {
            self.add(name, &section.url);
        }
        Ok(())
    }

    fn channels(&mut self, context: &Context<'_>) -> Result<()> {
        let all = remotes::all(context)?;
        let channels: BTreeSet<&str> = all.values().map(|(section, _)| section.channel.as_str()).collect();
        channels.into_iter().for_each(|channel| self.add(channel, ""));
        Ok(())
    }

    /// Adds the names in one folder of a generation's tree: that which the word has already.
    fn paths(&mut self, store: &Store, line: &Line<'_>, only_folders: bool) -> Result<()> {
        let named = line.positions.last().and_then(|word| word.to_str()).map(refs::rev);
        let base = line.given.iter().find(|(arg, _)| arg.get_id() == "base");
        let rev = base.and_then(|(_, value)| value.to_str()).map(refs::rev).or(named);
        let tree = store.open_generation(&rev.unwrap_or(Rev::Current { older: 0 }))?.manifest()?.tree;
        let word = self.word.clone().into_vec();
        let folder = word.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let mut last: Vec<u8> = Vec::new();
        for entry in tree.iter().filter(|entry| entry.path.starts_with(&word)) {
            let name = &entry.path[folder..];
            let end = name.iter().position(|byte| *byte == b'/');
            let shown = &entry.path[..end.map_or(entry.path.len(), |at| folder + at + 1)];
            if (end.is_some() || !only_folders) && shown != last {
                self.add(shown, "");
                last = shown.to_vec();
            }
        }
        Ok(())
    }
}
