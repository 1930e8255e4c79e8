//! Decides which files are sources, and scans them.

use std::ffi::OsStr;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use gix_glob::pattern::Case;

use crate::git::{Repo, work_under_way};
use crate::rules::{Chain, GITIGNORE, Links, Rules};
use crate::scan::{Frame, Scan};
use crate::stamp::{Stamp, is_gone};
use crate::touched::tells_rules;

/// Names that are never sources, unless the rules include them (`!node_modules/`): files that programs keep
/// beside their open files, and files of git or of a package manager.
const USUALLY_IGNORED: &str = "\
.git
node_modules/
.DS_Store
*~
.*.sw[a-z]
.*.kate-swp
.#*
\\#*#
.~lock.*#
*___jb_tmp___
*___jb_old___
.goutputstream-*
.nfs*
.fuse_hidden*
";

/// The rules for sources.
#[derive(Clone, Debug, Default)]
pub struct SourceRules {
    /// The directory that patterns are relative to.
    pub root: PathBuf,
    /// Files and directories, absolute.
    pub paths: Vec<PathBuf>,
    /// The same, but they may be missing.
    pub optional: Vec<PathBuf>,
    /// If not empty, only files with one of these extensions count; without the dot.
    pub extensions: Vec<String>,
    /// Patterns as in a `.gitignore` file in `root`. They take precedence over all others: `!PATTERN`
    /// includes files that git ignores.
    pub ignore: Vec<String>,
    /// Files and directories that never count: the outputs of builds.
    pub never: Vec<PathBuf>,
    /// The ignore file that git reads if its configuration names none.
    pub user_ignore: Option<PathBuf>,
}

/// All reasons why nothing can be watched by these rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSources(pub Vec<String>);

impl fmt::Display for BadSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for BadSources {}

/// The files that count, by checked rules.
pub struct Sources {
    pub(crate) rules: SourceRules,
    /// The patterns of the caller, and those of every project.
    own: Chain,
    never: RwLock<Vec<PathBuf>>,
    /// The git directories of the last scan: events there show when git is done.
    git_dirs: RwLock<Vec<PathBuf>>,
}

impl Sources {
    /// Checks the rules.
    ///
    /// # Errors
    /// All missing paths, and all invalid patterns.
    pub fn new(mut rules: SourceRules) -> Result<Sources, BadSources> {
        let mut bad = Vec::new();
        // Events and the walk use real paths.
        for path in &mut rules.paths {
            match std::fs::canonicalize(&*path) {
                Ok(real) => *path = real,
                Err(error) => bad.push(format!("{}: {error}", path.display())),
            }
        }
        for path in &rules.optional {
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| real_or_given(path));
            rules.paths.push(real);
        }
        for line in &rules.ignore {
            let is_one = !line.contains('\n') && gix_ignore::parse(line.as_bytes(), false).next().is_some();
            if !is_one {
                bad.push(format!("the pattern \"{line}\" is invalid"));
            }
        }
        if !bad.is_empty() {
            return Err(BadSources(bad));
        }
        let parse = |base: &Path, text: &str| Some(Rules::parse(base, text.as_bytes(), Case::Sensitive));
        let own = Chain::default()
            .with(parse(Path::new("/"), USUALLY_IGNORED))
            .with(parse(&rules.root, &rules.ignore.join("\n")));
        let sources = Sources { rules, own, never: RwLock::default(), git_dirs: RwLock::default() };
        sources.set_never(&sources.rules.never);
        Ok(sources)
    }

    /// Replaces the paths that never count.
    pub fn set_never(&self, paths: &[PathBuf]) {
        // A path that does not exist yet will exist under this name.
        let real = paths.iter().map(|path| real_or_given(path)).collect();
        *self.never.write().unwrap_or_else(PoisonError::into_inner) = real;
    }

    pub(crate) fn never(&self) -> RwLockReadGuard<'_, Vec<PathBuf>> {
        self.never.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn git_dirs(&self) -> RwLockReadGuard<'_, Vec<PathBuf>> {
        self.git_dirs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the paths that are watched.
    pub fn paths(&self) -> &[PathBuf] {
        &self.rules.paths
    }

    /// Returns quickly whether an event at this path may be of a source; if in doubt, true.
    pub fn may_count(&self, path: &Path, is_file: bool) -> bool {
        if self.never().iter().any(|never| path.starts_with(never)) {
            return false;
        }
        if self.rules.paths.iter().any(|single| single == path) || tells_rules(path) {
            return true;
        }
        if path.parent().is_some_and(|parent| self.git_dirs().iter().any(|git_dir| git_dir == parent)) {
            return path.file_name().is_some_and(|name| name == "index" || name == "index.lock");
        }
        // A removed name may have been a folder's.
        !is_file || (self.has_extension(path) && self.own.judge(path.as_os_str(), false) != Some(true))
    }

    /// Returns the file that shows that git is changing the sources right now: a lock, or a rebase.
    pub fn git_works(&self, now: SystemTime) -> Option<PathBuf> {
        self.git_dirs().iter().find_map(|git_dir| work_under_way(git_dir, now))
    }

    pub(crate) fn has_extension(&self, path: &Path) -> bool {
        let wanted = &self.rules.extensions;
        wanted.is_empty()
            || path.extension().and_then(OsStr::to_str).is_some_and(|ext| wanted.iter().any(|w| w == ext))
    }

    /// Returns whether an entry does not count in a folder with these rules.
    pub(crate) fn is_out(&self, path: &OsStr, is_dir: bool, chain: &Chain) -> bool {
        let is_never = self.never().iter().any(|never| never.as_os_str() == path);
        is_never || self.own.judge(path, is_dir).or_else(|| chain.judge(path, is_dir)) == Some(true)
    }

    /// Scans all sources: a walk by all threads, and a stat for each file.
    pub fn scan(&self) -> Scan {
        let frame = self.frame();
        let mut found = Scan::default();
        let folders: Vec<&PathBuf> = self.rules.paths.iter().filter(|path| is_dir(path)).collect();
        for folder in &folders {
            let above = self.above(folder, &mut found);
            found.above.insert(folder.as_os_str().to_owned(), above);
        }
        let level = folders.iter().map(|path| {
            let path = path.as_os_str().to_owned();
            let above = found.above[&path].clone();
            (path, above)
        });
        self.walk_all(level.collect(), &mut found);
        self.look_at_singles(&mut found);
        found.problems.sort();
        found.problems.dedup();
        // The frame must have been read before the first folder.
        found.frame = frame.filter(|_| found.problems.is_empty());
        found
    }

    /// Scans the files that no walk finds: named individually, or tracked by git in spite of its rules.
    pub(crate) fn look_at_singles(&self, found: &mut Scan) {
        for path in self.rules.paths.iter().filter(|path| !is_dir(path)) {
            look_at_single(path, found);
        }
        let tracked: Vec<PathBuf> = found.repos.values().flat_map(|repo| &repo.tracked).cloned().collect();
        for path in tracked.iter().filter(|path| self.has_extension(path)) {
            let Some(root) = self.rules.paths.iter().find(|root| path.starts_with(root)) else { continue };
            let mut way = path.ancestors().take_while(|above| above != root);
            let is_out = way.any(|at| self.is_out(at.as_os_str(), at != path, &Chain::default()));
            if !is_out && !is_dir(path) {
                look_at_single(path, found);
            }
        }
        for repo in found.repos.values() {
            if let Ok(meta) = std::fs::metadata(&repo.git_dir) {
                found.parents.insert(repo.git_dir.clone().into_os_string(), meta.ino());
            }
        }
        let git_dirs = found.repos.values().map(|repo| repo.git_dir.clone()).collect();
        *self.git_dirs.write().unwrap_or_else(PoisonError::into_inner) = git_dirs;
    }

    /// Collects the rules above a watched folder: those of its repository, or without one, those of the
    /// `.gitignore` files from the project's root on.
    fn above(&self, folder: &Path, found: &mut Scan) -> Chain {
        let is_around = |repo: &&Repo| {
            let mut way = folder.ancestors().take_while(|above| *above != repo.top);
            folder.starts_with(&repo.top) && !way.any(|above| is_there(&above.join(".git")))
        };
        let known = found.repos.values().find(is_around).cloned();
        let repo = known.or_else(|| Repo::of(folder, self.rules.user_ignore.as_deref()));
        let top = match &repo {
            Some(repo) => repo.top.clone(),
            None => {
                let outer = folder.ancestors().find(|above| is_there(&above.join(".git")));
                let root = Some(&*self.rules.root).filter(|root| folder.starts_with(root));
                outer.or(root).unwrap_or(folder).to_owned()
            }
        };
        let mut chain = Chain::default();
        if let Some(repo) = repo {
            let (rules, mut problems) = repo.rules();
            chain = rules;
            found.problems.append(&mut problems);
            found.repos.insert(repo.top.clone().into_os_string(), repo);
        }
        let mut way: Vec<&Path> = folder.ancestors().take_while(|above| above.starts_with(&top)).collect();
        way.reverse();
        for pair in way.windows(2) {
            match Rules::read(pair[0], &pair[0].join(GITIGNORE), Links::Refuse, chain.case()) {
                Ok(rules) => chain = chain.with(rules),
                Err(problem) => found.problems.push(format!("{problem}; it is left out")),
            }
            // A path that is named although it is ignored counts as a whole.
            if chain.judge(pair[1].as_os_str(), true) == Some(true) {
                return Chain::default();
            }
        }
        chain
    }

    /// Returns the conditions under which parts of an older scan can be kept, or `None` if they are too
    /// hard to check.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let mut frame = Frame { never: self.never().clone(), ..Frame::default() };
        for (at, path) in self.rules.paths.iter().enumerate() {
            let root = std::fs::symlink_metadata(path).ok();
            let is_dir = root.as_ref().is_some_and(Metadata::is_dir);
            let others = self.rules.paths.iter().enumerate().filter(|(other, _)| *other != at);
            // Such a folder is listed from two sides.
            let overlaps = is_dir && others.into_iter().any(|(_, other)| path.starts_with(other));
            if overlaps || root.as_ref().is_some_and(Metadata::is_symlink) {
                return None;
            }
            frame.roots.push(root.filter(Metadata::is_dir).map(|meta| meta.ino()));
            for above in path.ancestors().filter(|_| is_dir).skip(1) {
                let stat = |name: &str| std::fs::symlink_metadata(above.join(name)).ok();
                frame.rules.push(stat(GITIGNORE).map(|meta| Stamp::of(&meta)));
                frame.repos.push(stat(".git").map(|meta| meta.ino()));
            }
        }
        Some(frame)
    }
}

fn look_at_single(path: &Path, found: &mut Scan) {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => {
            found.singles.insert(path.as_os_str().to_owned(), Stamp::of(&meta));
        }
        Err(error) => found.miss(format!("{}: {error}", path.display()), is_gone(&error)),
    }
    // A single file is watched through its directory, because editors replace it. If that does not exist
    // yet, the next folder above is watched.
    let parent = path.ancestors().skip(1).find_map(|above| Some((above, std::fs::metadata(above).ok()?)));
    if let Some((parent, meta)) = parent {
        found.parents.insert(parent.as_os_str().to_owned(), meta.ino());
    }
}

fn is_dir(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn real_or_given(path: &Path) -> PathBuf {
    // A view is itself a symlink, which must not be followed.
    let parent = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
