//! Queries git about a repository: the places of its rules, and the files that it tracks although they are
//! ignored.
//!
//! The command `git` is run, because its configuration has includes, conditions and several files, and
//! worktrees and submodules have their own places. Without git there is no repository.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use gix_glob::pattern::Case;

use crate::rules::{Chain, Links, Rules};
use crate::stamp::Stamp;

/// The oldest lock that counts. An older one was left behind by a killed git, or is held by one that waits
/// for a person: `git commit -a` with its editor open.
const OLDEST_LOCK: Duration = Duration::from_secs(30);
/// The time after which an idle rebase waits for a person.
const REBASE_PAUSE: Duration = Duration::from_secs(1);

/// A repository with a worktree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Repo {
    /// The top of its worktree.
    pub(crate) top: PathBuf,
    /// Its git directory; each worktree has one.
    pub(crate) git_dir: PathBuf,
    /// `core.excludesFile` and `info/exclude`, with their stamps.
    excludes: [(PathBuf, Option<Stamp>); 2],
    case: Case,
    index: Option<Stamp>,
    /// The files that are tracked although rules ignore them, or a folder above them.
    pub(crate) tracked: BTreeSet<PathBuf>,
}

impl Repo {
    /// Asks git for the repository whose worktree contains this folder. Returns `None` if there is none.
    ///
    /// `user_ignore` is the ignore file that git reads if its configuration names none.
    pub(crate) fn of(folder: &Path, user_ignore: Option<&Path>) -> Option<Repo> {
        let told =
            git(folder, &["rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir"])?;
        let lines: Vec<PathBuf> =
            told.strip_suffix(b"\n")?.split(|&byte| byte == b'\n').map(path).collect();
        // A path with a line feed looks like two paths.
        let [top, git_dir, common] = <[PathBuf; 3]>::try_from(lines).ok()?;
        let (excludes_file, case) = configuration(folder);
        let excludes_file = excludes_file.or(user_ignore.map(Path::to_owned)).unwrap_or_default();
        let exclude = folder.join(common).join("info/exclude");
        let excludes = [excludes_file, exclude].map(|file| (file.clone(), stamp(&file)));
        let index = stamp(&git_dir.join("index"));
        let tracked = tracked(&top);
        Some(Repo { top, git_dir, excludes, case, index, tracked })
    }

    /// Returns the repository in its present state, if its rules have not changed: only the index is read
    /// again.
    pub(crate) fn again(&self) -> Option<Repo> {
        let is_same = self.excludes.iter().all(|(file, known)| stamp(file) == *known);
        if !is_same || stamp(&self.git_dir).is_none() {
            return None;
        }
        let mut repo = self.clone();
        repo.index = stamp(&self.git_dir.join("index"));
        if repo.index != self.index {
            repo.tracked = tracked(&self.top);
        }
        Some(repo)
    }

    /// Returns the rules for the whole worktree, and messages about those that cannot be read.
    pub(crate) fn rules(&self) -> (Chain, Vec<String>) {
        let mut problems = Vec::new();
        // The empty rules make the rules of its folders compare letters with its setting.
        let none = Chain::default().with(Some(Rules::parse(&self.top, b"", self.case)));
        let chain = self.excludes.iter().fold(none, |chain, (file, _)| {
            let rules = Rules::read(&self.top, file, Links::Follow, self.case);
            chain.with(rules.unwrap_or_else(|problem| {
                problems.push(format!("{problem}; it is left out"));
                None
            }))
        });
        (chain, problems)
    }
}

/// Returns the file that shows that git is working in the repository with this git directory: its sources
/// are between two states.
pub(crate) fn work_under_way(git_dir: &Path, now: SystemTime) -> Option<PathBuf> {
    let age = |path: &Path| {
        let changed = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
        Some(now.duration_since(changed).unwrap_or_default())
    };
    let lock = git_dir.join("index.lock");
    if age(&lock).is_some_and(|age| age < OLDEST_LOCK) {
        return Some(lock);
    }
    let rebase = ["rebase-merge", "rebase-apply"].map(|name| git_dir.join(name));
    rebase.into_iter().find(|rebase| {
        // Each step of a rebase creates and removes files in both.
        let recent = |path: &Path| age(path).is_some_and(|age| age < REBASE_PAUSE);
        age(rebase).is_some() && (recent(rebase) || recent(git_dir))
    })
}

/// Runs git in a folder. Returns `None` if it fails, or if there is no git.
///
/// The git variables in the environment are removed: inside a hook they name the hook's own repository.
fn git(folder: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false"]).args(args);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    let done = command.env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).stderr(Stdio::null()).output();
    done.ok().filter(|done| done.status.success()).map(|done| done.stdout)
}

/// Returns `core.excludesFile`, and whether letters compare without case.
fn configuration(folder: &Path) -> (Option<PathBuf>, Case) {
    let wanted = r"^core\.(excludesfile|ignorecase)$";
    let told = git(folder, &["config", "-z", "--type=path", "--get-regexp", wanted]).unwrap_or_default();
    let (mut excludes_file, mut case) = (None, Case::Sensitive);
    // The last of several values counts.
    for line in told.split(|&byte| byte == 0) {
        let mut parts = line.splitn(2, |&byte| byte == b'\n');
        match (parts.next(), parts.next()) {
            (Some(b"core.excludesfile"), Some(value)) => excludes_file = Some(path(value)),
            (Some(b"core.ignorecase"), value) => {
                let is_on = value.is_none_or(|value| {
                    ["true", "yes", "on", "1"].iter().any(|on| value.eq_ignore_ascii_case(on.as_bytes()))
                });
                case = if is_on { Case::Fold } else { Case::Sensitive };
            }
            _ => {}
        }
    }
    (excludes_file.map(|file| folder.join(file)), case)
}

/// Returns the files that git tracks although they are ignored.
fn tracked(top: &Path) -> BTreeSet<PathBuf> {
    let told = git(top, &["ls-files", "-z", "-c", "-i", "--exclude-standard"]).unwrap_or_default();
    let names = told.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(|name| top.join(OsStr::from_bytes(name))).collect()
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_owned()).into()
}

fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|meta| Stamp::of(&meta))
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
