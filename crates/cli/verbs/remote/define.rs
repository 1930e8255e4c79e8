//! The names of remotes, in the project's file and in the user's configuration.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use genstore::Error;
use genstore_remote::codec::names;
use serde::Serialize;

use crate::command::context::Context;
use crate::command::remotes::{self, DefinedIn, bad_address};
use crate::errors::Fail;
use crate::exit;
use crate::project::config::{self, Config, RemoteSection};
use crate::project::trust::UserConfig;
use crate::text::escape::show;
use crate::text::human::{self, left};
use crate::text::nearest::nearest;

#[derive(Args)]
pub(super) struct Add {
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
    /// The address: file:///srv/remote, s3://bucket/prefix, or https://host/path for reading
    #[arg(value_name = "URL")]
    url: String,
    /// The channel that is pushed and pulled if none is given
    #[arg(long, value_name = "CHANNEL", default_value = "main")]
    channel: String,
    /// Write it to your own configuration, also in a project
    #[arg(long)]
    user: bool,
}

#[derive(Args)]
pub(super) struct Ls {}

#[derive(Args)]
pub(super) struct Rm {
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DefinedDoc<'a> {
    schema: &'static str,
    #[serde(flatten)]
    remote: RemoteDoc<'a>,
    file: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct RemoteDoc<'a> {
    name: &'a str,
    url: &'a str,
    channel: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ListDoc<'a> {
    schema: &'static str,
    remotes: Vec<RemoteDoc<'a>>,
}

impl<'a> RemoteDoc<'a> {
    fn of(name: &'a str, section: &'a RemoteSection) -> RemoteDoc<'a> {
        RemoteDoc { name, url: &section.url, channel: &section.channel }
    }
}

impl Add {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        for name in [&self.name, &self.channel] {
            let bad = |why| Fail::usage("bad-name", format!("{}: {why}", human::line(name, 80)));
            names::check(name).map_err(bad)?;
        }
        genstore_remote::open(&self.url, &context.access).map_err(|why| bad_address(&why))?;
        if let Some((known, _)) = remotes::all(context)?.get(&self.name) {
            let message = format!("there is a remote {} already: {}", self.name, known.url);
            let hint = format!("remove it first: `genstore remote rm {}`", self.name);
            return Err(Fail::new("remote-taken", message, hint).into());
        }
        let file = match context.project()? {
            Some(project) if !self.user => project.file.clone(),
            _ => user_file(context)?,
        };
        // A string of JSON is one of TOML.
        let url = serde_json::Value::from(self.url.as_str());
        let channel = serde_json::Value::from(self.channel.as_str());
        let mut text = read(&file)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}[remote.\"{}\"]\nurl = {url}\nchannel = {channel}\n", self.name));
        replace(&file, &text)?;
        context.out.has_changed(format!("the remote {} was added", self.name));
        let section = RemoteSection::of(&self.url, &self.channel);
        let remote = RemoteDoc::of(&self.name, &section);
        context
            .out
            .confirm(&DefinedDoc { schema: "genstore.remote-add/1", remote, file: show(&file) }, || {
                format!("Added the remote {} to {}\n", self.name, show(&file))
            });
        Ok(exit::DONE)
    }
}

impl Ls {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let all = remotes::all(context)?;
        let remotes = all.iter().map(|(name, (section, _))| RemoteDoc::of(name, section)).collect();
        context.out.emit(&ListDoc { schema: "genstore.remote-ls/1", remotes }, || {
            let row = |(name, (section, _)): (&String, &(RemoteSection, DefinedIn))| {
                vec![left(name.as_str()), left(section.url.as_str()), left(section.channel.as_str())]
            };
            human::table(&all.iter().map(row).collect::<Vec<_>>())
        });
        Ok(exit::DONE)
    }
}

impl Rm {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let all = remotes::all(context)?;
        let Some((section, place)) = all.get(&self.name) else {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let hint = nearest(&self.name, &known).map(|near| format!("did you mean {near}?"));
            let hint = hint.unwrap_or("`genstore remote ls` lists all".to_owned());
            let message = format!("there is no remote {}", human::line(&self.name, 80));
            return Err(Fail::new("unknown-remote", message, hint).into());
        };
        let file = match (place, context.project()?) {
            (DefinedIn::Project, Some(project)) => project.file.clone(),
            _ => user_file(context)?,
        };
        let text = without(&read(&file)?, &self.name);
        let is_there = match place {
            DefinedIn::Project => config::parse::<Config>(&file, text.as_bytes())?.remote,
            DefinedIn::User => config::parse::<UserConfig>(&file, text.as_bytes())?.remote,
        };
        if is_there.contains_key(&self.name) {
            let message = format!("the remote {} cannot be cut out of {}", self.name, show(&file));
            return Err(Fail::new("remote-by-hand", message, "remove it from the file by hand").into());
        }
        replace(&file, &text)?;
        context.out.has_changed(format!("the remote {} was removed", self.name));
        let remote = RemoteDoc::of(&self.name, section);
        context
            .out
            .confirm(&DefinedDoc { schema: "genstore.remote-rm/1", remote, file: show(&file) }, || {
                format!("Removed the remote {} from {}\n", self.name, show(&file))
            });
        Ok(exit::DONE)
    }
}

/// Returns the file of the user's configuration.
fn user_file(context: &Context<'_>) -> Result<PathBuf> {
    let none = || {
        let hint = "set HOME or XDG_CONFIG_HOME, or create a genstore.toml in the project";
        Fail::new("no-configuration", "there is no folder for your configuration", hint)
    };
    Ok(context.trust.config_file().ok_or_else(none)?.to_owned())
}

/// Returns the text without the section of a remote.
fn without(text: &str, name: &str) -> String {
    let headers =
        [format!("[remote.{name}]"), format!("[remote.\"{name}\"]"), format!("[remote.'{name}']")];
    let mut out = String::new();
    let mut is_in = false;
    for line in text.split_inclusive('\n') {
        let header = line.trim();
        if header.starts_with('[') {
            is_in = headers.iter().any(|it| it == header);
        }
        if !is_in {
            out.push_str(line);
        }
    }
    out
}

fn read(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(read.map_err(|source| Error::Io { op: "read", path: file.to_owned(), source })?),
    }
}

/// Replaces a file at once, and keeps its mode.
#[allow(clippy::disallowed_methods, reason = "configuration is no part of a store")]
fn replace(file: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        // A link stays one: its target is replaced.
        let file = std::fs::canonicalize(file).unwrap_or(file.to_owned());
        let folder = file.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let mode = std::fs::metadata(&file).map_or(0o644, |data| data.permissions().mode());
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(text.as_bytes())?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
        new.as_file().sync_all()?;
        new.persist(&file)?;
        Ok(())
    };
    Ok(write().map_err(|source| Error::Io { op: "write", path: file.to_owned(), source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_cut_out_with_its_lines_alone() {
        let text = "[store]\npath = 'x'\n\n[remote.\"a\"]\nurl = 'u'\n# mine\n[remote.b]\nurl = 'v'\n";
        assert_eq!(without(text, "a"), "[store]\npath = 'x'\n\n[remote.b]\nurl = 'v'\n");
        assert_eq!(without(text, "b"), "[store]\npath = 'x'\n\n[remote.\"a\"]\nurl = 'u'\n# mine\n");
        assert_eq!(without(text, "c"), text);
    }
}
