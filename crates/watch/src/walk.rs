//! Lists folders, with several threads if there are many.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirEntry, FileType};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::git::Repo;
use crate::rules::{Chain, GITIGNORE, Links, Rules};
use crate::scan::{Folder, Scan};
use crate::sources::Sources;
use crate::stamp::{Stamp, is_gone};
use crate::threads::can_start_threads;

/// This many folders are listed by one thread.
const FEW: usize = 32;
/// The most threads.
const MOST_THREADS: usize = 4;

/// A folder to be listed, with the rules of its parent.
pub(crate) type Unlisted = (OsString, Chain);
/// Repositories by the tops of their worktrees.
pub(crate) type Repos = BTreeMap<OsString, Repo>;

/// The content of a folder.
#[derive(Default)]
pub(crate) struct Listed {
    /// `None` if the folder is gone, or cannot be listed.
    pub(crate) folder: Option<Folder>,
    /// The subfolders that count, with their inodes.
    pub(crate) folders: Vec<(OsString, u64)>,
    /// The repository whose worktree begins here.
    pub(crate) repo: Option<Repo>,
    pub(crate) problems: Vec<String>,
}

impl Sources {
    /// Lists folders, and everything below them.
    pub(crate) fn walk_all(&self, mut level: Vec<Unlisted>, found: &mut Scan) {
        while !level.is_empty() {
            level.retain(|(path, _)| !found.folders.contains_key(path));
            let mut next = Vec::new();
            for (path, mut listed) in self.list_all(level, &found.repos) {
                found.problems.append(&mut listed.problems);
                if let Some(repo) = listed.repo {
                    found.repos.insert(repo.top.clone().into_os_string(), repo);
                }
                if let Some(folder) = listed.folder {
                    next.extend(listed.folders.into_iter().map(|(inner, _)| (inner, folder.rules.clone())));
                    found.folders.insert(path, Arc::new(folder));
                }
            }
            level = next;
        }
    }

    fn list_all(&self, level: Vec<Unlisted>, known: &Repos) -> Vec<(OsString, Listed)> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS));
        if level.len() < FEW || threads == 1 || !can_start_threads(threads) {
            return level
                .into_iter()
                .map(|folder| (folder.0.clone(), self.list_folder(folder, known)))
                .collect();
        }
        let share = level.len().div_ceil(threads);
        let list = |folders: &[Unlisted]| -> Vec<(OsString, Listed)> {
            folders
                .iter()
                .map(|folder| (folder.0.clone(), self.list_folder(folder.clone(), known)))
                .collect()
        };
        std::thread::scope(|scope| {
            let start = |folders| {
                let started = std::thread::Builder::new().spawn_scoped(scope, move || list(folders));
                (folders, started.ok())
            };
            let shares: Vec<_> = level.chunks(share).map(start).collect();
            let ended = shares.into_iter().map(|(folders, thread)| match thread.map(|t| t.join()) {
                Some(Ok(listed)) => listed,
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                // The system grants no thread after all.
                None => list(folders),
            });
            ended.flatten().collect()
        })
    }

    /// Lists one folder. `known` are the repositories that need not be queried again.
    pub(crate) fn list_folder(&self, (path, above): Unlisted, known: &Repos) -> Listed {
        let mut listed = Listed::default();
        let folder = Path::new(&path);
        let read = || Ok((std::fs::symlink_metadata(folder)?, entries_of(folder)?));
        let (meta, entries) = match read() {
            Ok(found) if self.never().iter().any(|never| never == folder) => {
                drop(found);
                return listed;
            }
            Ok(found) => found,
            Err(error) => {
                listed.miss(folder, &error);
                return listed;
            }
        };
        let has = |name: &str| entries.iter().any(|(_, entry)| entry.file_name() == name);
        let mut rules = above;
        if has(".git") {
            rules = self.rules_of_repo(folder, known, &mut listed).unwrap_or(rules);
        }
        if has(GITIGNORE) {
            match Rules::read(folder, &folder.join(GITIGNORE), Links::Refuse, rules.case()) {
                Ok(own) => rules = rules.with(own),
                Err(problem) => {
                    listed.problems.push(format!("{problem}; its folder is not watched"));
                    return listed;
                }
            }
        }
        let mut files = Vec::new();
        for (kind, entry) in entries {
            let path = entry.path();
            let is_dir = kind.is_dir();
            if self.is_out(path.as_os_str(), is_dir, &rules) || !(is_dir || self.has_extension(&path)) {
                continue;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => listed.folders.push((path.into_os_string(), meta.ino())),
                Ok(meta) => files.push((entry.file_name(), Stamp::of(&meta))),
                Err(error) => listed.miss(&path, &error),
            }
        }
        files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        listed.folder = Some(Folder { inode: meta.ino(), files, rules });
        listed
    }

    /// Returns the rules of a whole worktree, if this folder is its top.
    fn rules_of_repo(&self, folder: &Path, known: &Repos, listed: &mut Listed) -> Option<Chain> {
        let asked;
        let repo = match known.get(folder.as_os_str()) {
            Some(repo) => repo,
            None => {
                asked = Repo::of(folder, self.rules.user_ignore.as_deref()).filter(|r| r.top == folder)?;
                listed.repo.insert(asked)
            }
        };
        let (rules, mut problems) = repo.rules();
        listed.problems.append(&mut problems);
        Some(rules)
    }
}

impl Listed {
    /// Records a problem. A folder that vanished during the scan is no problem: the next scan finds that.
    fn miss(&mut self, path: &Path, error: &io::Error) {
        if !is_gone(error) {
            self.problems.push(format!("{}: {error}", path.display()));
        }
    }
}

fn entries_of(folder: &Path) -> io::Result<Vec<(FileType, DirEntry)>> {
    let entries = std::fs::read_dir(folder)?;
    entries.map(|entry| entry.and_then(|entry| Ok((entry.file_type()?, entry)))).collect()
}
