//! Remotes by name: in the project's file, in the user's configuration, or as an address.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use genstore_remote::{Cache, Error, Options, Patience, Remote};

use crate::command::context::Context;
use crate::errors::Fail;
use crate::project::config::RemoteSection;
use crate::text::nearest::nearest;

/// A remote that a user named.
pub(crate) struct Named {
    /// The name, or the address.
    pub(crate) name: String,
    pub(crate) section: RemoteSection,
    pub(crate) remote: Remote,
}

/// The file that defines a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefinedIn {
    Project,
    User,
}

/// Returns all remotes. A project's remote takes precedence over a user's of the same name.
pub(crate) fn all(context: &Context<'_>) -> Result<BTreeMap<String, (RemoteSection, DefinedIn)>> {
    let with = |sections: &BTreeMap<String, RemoteSection>, place| {
        let each = |(name, section): (&String, &RemoteSection)| (name.clone(), (section.clone(), place));
        sections.iter().map(each).collect::<BTreeMap<_, _>>()
    };
    let mut all = with(&context.trust.user()?.remote, DefinedIn::User);
    if let Some(project) = context.project()? {
        all.extend(with(&project.config.remote, DefinedIn::Project));
    }
    Ok(all)
}

/// Returns whether a word is an address.
pub(crate) fn is_address(word: &str) -> bool {
    word.contains("://")
}

/// Opens a remote. No request is made.
pub(crate) fn open(context: &Context<'_>, name: &str) -> Result<Named> {
    let all = all(context)?;
    let section = match all.get(name) {
        Some((section, _)) => section.clone(),
        None if is_address(name) => {
            RemoteSection { url: name.to_owned(), channel: "main".to_owned(), single_writer: false }
        }
        None => {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let hint = match (nearest(name, &known), known.is_empty()) {
                (Some(near), _) => format!("did you mean {near}? `genstore remote ls` lists all"),
                (None, false) => format!("there are {}; an address works, too", known.join(", ")),
                (None, true) => "add it with `genstore remote add NAME URL`, or give an address".to_owned(),
            };
            let shown = genstore::tree::show_path(name.as_bytes());
            return Err(Fail::new("unknown-remote", format!("there is no remote {shown}"), hint).into());
        }
    };
    let mut options = Options::new(context.clock(), section.url.clone());
    if let Some(folder) = context.trust.remotes() {
        let id = genstore::tree::Digest::of(section.url.as_bytes()).to_string();
        options = options.cache(Cache::new(&folder.join(&id[..32])));
    }
    if section.url.starts_with("file://") {
        // A disk does not cut files off, and it does not mend them.
        options = options.patience(Patience { attempts: 2, pause: Duration::from_millis(20) });
    }
    let transport =
        genstore_remote::open(&section.url, &context.access).map_err(|why| bad_address(&why))?;
    context.out.detail(&format!("remote {}", section.url));
    Ok(Named { name: name.to_owned(), section, remote: Remote::new(transport, options) })
}

/// Creates the error of an address that cannot be used.
pub(crate) fn bad_address(why: &str) -> Fail {
    let hint = "write it like file:///srv/remote, s3://bucket/prefix or https://host/path".to_owned();
    Fail { hint, ..Fail::usage("bad-address", why) }
}

/// Converts an error. One of the local store is reported as such.
pub(crate) fn failed(error: Error) -> anyhow::Error {
    match error {
        Error::Store(error) => error.into(),
        error => error.into(),
    }
}
