//! Remotes by name: in the project's file, in the user's configuration, or as an address.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use genstore_remote::{Cache, Error, Options, Patience, Remote, Sign, Verify};

use crate::command::context::Context;
use crate::command::signing::{Key, Signers};
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
    let with = |sections: &BTreeMap<String, RemoteSection>, place, folder: Option<&Path>| {
        let each = |(name, section): (&String, &RemoteSection)| {
            let mut section = section.clone();
            for path in [&mut section.sign, &mut section.trust] {
                *path = path.take().map(|path| context.below(folder, &path));
            }
            (name.clone(), (section, place))
        };
        sections.iter().map(each).collect::<BTreeMap<_, _>>()
    };
    let folder = context.trust.config_file().and_then(Path::parent);
    let mut all = with(&context.trust.user()?.remote, DefinedIn::User, folder);
    if let Some(project) = context.project()? {
        for (name, (mut section, place)) in
            with(&project.config.remote, DefinedIn::Project, Some(project.root()))
        {
            // The user's own keys and signers count more, for the same remote.
            if let Some((own, _)) = all.get(&name).filter(|(own, _)| own.url == section.url) {
                section.sign = own.sign.clone().or(section.sign);
                section.trust = own.trust.clone().or(section.trust);
            }
            all.insert(name, (section, place));
        }
    }
    Ok(all)
}

/// Returns whether a word is an address.
pub(crate) fn is_address(word: &str) -> bool {
    word.contains("://")
}

/// Returns whether a remote is a directory, here or behind ssh: its files are created by link(2), which needs
/// no check.
pub(crate) fn is_directory(url: &str) -> bool {
    url.starts_with("file://") || url.starts_with("ssh://")
}

/// Opens a remote. No request is made.
pub(crate) fn open(context: &Context<'_>, name: &str) -> Result<Named> {
    open_with(context, name, true)
}

/// Opens a remote whose copies on this machine are not used.
pub(crate) fn open_without_copies(context: &Context<'_>, name: &str) -> Result<Named> {
    open_with(context, name, false)
}

fn open_with(context: &Context<'_>, name: &str, copies: bool) -> Result<Named> {
    let all = all(context)?;
    let section = match all.get(name) {
        Some((section, _)) => section.clone(),
        None if is_address(name) => RemoteSection::of(name, "main"),
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
    let transport =
        genstore_remote::open(&section.url, &context.access).map_err(|why| bad_address(&why))?;
    let mut options = Options::new(context.clock(), section.url.clone());
    options.sign = section.sign.clone().map(|key| Arc::new(Key(key)) as Arc<dyn Sign>);
    options.trust = section.trust.clone().map(|file| Arc::new(Signers(file)) as Arc<dyn Verify>);
    options.report = context.progress.transfers();
    options.best_before = section.best_before.unwrap_or_default();
    if let Some(folder) = context.trust.remotes() {
        let id = genstore::tree::Digest::of(section.url.as_bytes()).to_string();
        let cache = Cache::new(&folder.join(&id[..32]));
        // A directory of this machine is as trusted as the store.
        if section.trust.is_none() && !section.url.starts_with("file://") && cache.is_first("unsigned") {
            let key = if is_address(name) { "NAME" } else { name };
            context.out.hint(&format!(
                "signatures of this remote are not checked: set `trust` under [remote.{key}] to a file of \
                 allowed signers"
            ));
        }
        options = options.cache(if copies { cache } else { cache.without_copies() });
    }
    if section.url.starts_with("file://") {
        // A disk does not cut files off, and it does not mend them.
        options = options.patience(Patience { attempts: 2, pause: Duration::from_millis(20) });
    }
    context.out.detail(&format!("remote {}", section.url));
    Ok(Named { name: name.to_owned(), section, remote: Remote::new(transport, options) })
}

/// Creates the error of an address that cannot be used.
pub(crate) fn bad_address(why: &str) -> Fail {
    let hint = "write it like file:///srv/remote, ssh://host/path, s3://bucket/prefix or https://host/path"
        .to_owned();
    Fail { hint, ..Fail::usage("bad-address", why) }
}

/// Converts an error. One of the local store is reported as such.
pub(crate) fn failed(error: Error) -> anyhow::Error {
    match error {
        Error::Store(error) => error.into(),
        error => error.into(),
    }
}
