//! Which files are sources, and what they are now.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{WalkBuilder, WalkState};

/// Never sources, unless the rules say `!node_modules/` or the like.
const USUALLY_IGNORED: [&str; 2] = [".git/", "node_modules/"];

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct SourceRules {
    /// The directory that patterns are meant from.
    pub root: PathBuf,
    /// Files and directories, absolute.
    pub paths: Vec<PathBuf>,
    /// Only files with one of these extensions count, where there are any; without the dot.
    pub extensions: Vec<String>,
    /// Patterns as in a `.gitignore` file in `root`, on top of those files themselves.
    pub ignore: Vec<String>,
    /// Files and directories that never count: what the builds write.
    pub never: Vec<PathBuf>,
}

/// Why nothing can be watched by these rules: all reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSources(pub Vec<String>);

impl fmt::Display for BadSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for BadSources {}

/// The files that count, by rules that were checked.
pub struct Sources {
    rules: SourceRules,
    ignore: Gitignore,
    never: RwLock<Vec<PathBuf>>,
}

/// What tells that a file is another one than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
    inode: u64,
    mode: u32,
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            inode: meta.ino(),
            mode: meta.mode(),
        }
    }
}

/// What the sources were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// By path. Paths compare by their components, which takes ten times as long as their bytes.
    files: BTreeMap<OsString, Stamp>,
    /// With their inodes: a directory that was made anew is another one.
    folders: BTreeMap<PathBuf, u64>,
    /// What could not be looked at, as sentences.
    pub problems: Vec<String>,
}

impl Sources {
    /// Checks the rules.
    ///
    /// # Errors
    /// All paths that are not there, and all patterns that are none.
    pub fn new(mut rules: SourceRules) -> Result<Sources, BadSources> {
        let mut bad = Vec::new();
        // Events and the walk tell real paths.
        for path in &mut rules.paths {
            match std::fs::canonicalize(&*path) {
                Ok(real) => *path = real,
                Err(error) => bad.push(format!("{}: {error}", path.display())),
            }
        }
        let mut ignore = GitignoreBuilder::new(&rules.root);
        for line in USUALLY_IGNORED.into_iter().chain(rules.ignore.iter().map(String::as_str)) {
            if let Err(error) = ignore.add_line(None, line) {
                bad.push(format!("the pattern \"{line}\": {error}"));
            }
        }
        let ignore = match ignore.build() {
            Ok(ignore) => ignore,
            Err(error) => {
                bad.push(error.to_string());
                Gitignore::empty()
            }
        };
        if !bad.is_empty() {
            return Err(BadSources(bad));
        }
        let never = RwLock::default();
        let sources = Sources { rules, ignore, never };
        sources.set_never(&sources.rules.never);
        Ok(sources)
    }

    /// Says anew what never counts.
    pub fn set_never(&self, paths: &[PathBuf]) {
        // What is not there yet will be there by this name.
        let real = paths.iter().map(|path| real_or_given(path)).collect();
        *self.never.write().unwrap_or_else(PoisonError::into_inner) = real;
    }

    fn never(&self) -> RwLockReadGuard<'_, Vec<PathBuf>> {
        self.never.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the paths that are watched.
    pub fn paths(&self) -> &[PathBuf] {
        &self.rules.paths
    }

    /// Tells whether an event at this path can be that of a source: quickly, and rather yes.
    pub fn may_count(&self, path: &Path, is_file: bool) -> bool {
        if self.never().iter().any(|never| path.starts_with(never)) {
            return false;
        }
        !is_file || self.has_extension(path)
    }

    fn has_extension(&self, path: &Path) -> bool {
        let wanted = &self.rules.extensions;
        wanted.is_empty()
            || path.extension().and_then(OsStr::to_str).is_some_and(|ext| wanted.iter().any(|w| w == ext))
    }

    /// Looks at all of them: a walk by all threads, and a stat for each.
    pub fn scan(&self) -> Scan {
        let mut found = Scan::default();
        let (files, folders): (Vec<_>, Vec<_>) = self.rules.paths.iter().partition(|path| !is_dir(path));
        for path in files {
            match std::fs::symlink_metadata(path) {
                Ok(meta) => drop(found.files.insert(path.clone().into_os_string(), Stamp::of(&meta))),
                Err(error) => found.miss(format!("{}: {error}", path.display()), is_gone(&error)),
            }
            // A single file is watched through its directory: editors replace it.
            if let Some((parent, meta)) = path.parent().and_then(|p| Some((p, std::fs::metadata(p).ok()?)))
            {
                found.folders.insert(parent.to_owned(), meta.ino());
            }
        }
        let Some((first, more)) = folders.split_first() else { return found };
        let mut walk = WalkBuilder::new(first);
        for path in more {
            walk.add(path);
        }
        let (ignore, never) = (self.ignore.clone(), self.never().clone());
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        walk.hidden(false).git_global(false).require_git(false).follow_links(false).threads(threads);
        walk.filter_entry(move |entry| {
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            let ignored = entry.depth() > 0 && ignore.matched(entry.path(), is_dir).is_ignore();
            !ignored && !never.iter().any(|never| entry.path() == never)
        });
        let found = Mutex::new(found);
        walk.build_parallel().run(|| {
            Box::new(|entry| {
                self.note(&found, entry);
                WalkState::Continue
            })
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, found: &Mutex<Scan>, entry: Result<ignore::DirEntry, ignore::Error>) {
        let looked = entry.and_then(|entry| entry.metadata().map(|meta| (entry.into_path(), meta)));
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok((path, meta)) if meta.is_dir() => drop(found.folders.insert(path, meta.ino())),
            Ok((path, meta)) if self.has_extension(&path) => {
                found.files.insert(path.into_os_string(), Stamp::of(&meta));
            }
            Ok(_) => {}
            Err(error) => {
                let gone = error.io_error().is_some_and(is_gone);
                found.miss(error.to_string(), gone);
            }
        }
    }
}

impl Scan {
    /// Gives the paths whose files are others than in this scan, or are there in one of the two only.
    pub fn changes(&self, newer: &Scan) -> Vec<PathBuf> {
        let (mut older, mut newer) = (self.files.iter().peekable(), newer.files.iter().peekable());
        let mut changed = Vec::new();
        loop {
            let order = match (older.peek(), newer.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return changed,
            };
            let was = if order.is_le() { older.next() } else { None };
            let is = if order.is_ge() { newer.next() } else { None };
            if was != is {
                changed.extend(was.or(is).map(|(path, _)| PathBuf::from(path)));
            }
        }
    }

    /// Counts the files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Gives the directories that were looked into, with their inodes.
    pub(crate) fn folders(&self) -> &BTreeMap<PathBuf, u64> {
        &self.folders
    }

    /// What vanished while we looked is no problem: the next scan tells.
    fn miss(&mut self, problem: String, gone: bool) {
        if !gone {
            self.problems.push(problem);
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn is_dir(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn real_or_given(path: &Path) -> PathBuf {
    // A view is itself a symlink, which is not to be followed.
    let parent = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests write files")]

    use std::fs;

    use super::*;

    struct Project(tempfile::TempDir);

    impl Project {
        fn new(files: &[&str]) -> Project {
            let project = Project(tempfile::tempdir().unwrap());
            files.iter().for_each(|file| project.write(file, "1"));
            project
        }

        fn root(&self) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap()
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.root().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn rules(&self) -> SourceRules {
            SourceRules { root: self.root(), paths: vec![self.root()], ..SourceRules::default() }
        }

        fn names(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
            let root = self.root();
            paths.into_iter().map(|p| p.strip_prefix(&root).unwrap().display().to_string()).collect()
        }

        fn files(&self, rules: SourceRules) -> Vec<String> {
            let scan = Sources::new(rules).unwrap().scan();
            assert_eq!(scan.problems, [""; 0]);
            self.names(scan.files.into_keys().map(PathBuf::from))
        }
    }

    #[test]
    fn sources_are_what_git_would_not_ignore() {
        let all =
            ["src/a.ts", "src/b.log", "src/.env", "gen/x.ts", "node_modules/p/i.js", ".git/HEAD", "z.md"];
        let project = Project::new(&all);
        project.write(".gitignore", "*.log\n");
        let seen = |change: &dyn Fn(&mut SourceRules)| {
            let mut rules = project.rules();
            change(&mut rules);
            project.files(rules).join(" ")
        };
        assert_eq!(seen(&|_| {}), ".gitignore gen/x.ts src/.env src/a.ts z.md");
        assert_eq!(seen(&|r| r.extensions = vec!["ts".into()]), "gen/x.ts src/a.ts");
        assert_eq!(
            seen(&|r| r.ignore = vec!["gen/".into(), "*.md".into()]),
            ".gitignore src/.env src/a.ts"
        );
        let unignore = |r: &mut SourceRules| r.ignore = vec!["!node_modules/".into(), "*.md".into()];
        assert_eq!(seen(&unignore), ".gitignore gen/x.ts node_modules/p/i.js src/.env src/a.ts");
        assert_eq!(seen(&|r| r.never = vec![r.root.join("src")]), ".gitignore gen/x.ts z.md");
        let two = |r: &mut SourceRules| r.paths = vec![r.root.join("gen"), r.root.join("z.md")];
        assert_eq!(seen(&two), "gen/x.ts z.md");
    }

    #[test]
    fn a_view_that_is_never_a_source_is_not_followed() {
        let project = Project::new(&["real/a"]);
        std::os::unix::fs::symlink("real", project.root().join("view")).unwrap();
        let mut rules = project.rules();
        rules.never = vec![project.root().join("view")];
        assert_eq!(project.files(rules), ["real/a"]);
    }

    #[test]
    fn a_comparison_names_what_is_new_gone_or_other() {
        let project = Project::new(&["same", "other", "gone"]);
        let sources = Sources::new(project.rules()).unwrap();
        let before = sources.scan();
        assert_eq!(before.changes(&sources.scan()), [""; 0].map(PathBuf::from));
        project.write("other", "22");
        project.write("new/deep/file", "1");
        fs::remove_file(project.root().join("gone")).unwrap();
        let after = sources.scan();
        assert_eq!(project.names(before.changes(&after)), ["gone", "new/deep/file", "other"]);
        // Same size, another time.
        filetime::set_file_mtime(project.root().join("same"), filetime::FileTime::from_unix_time(7, 0))
            .unwrap();
        assert_eq!(project.names(after.changes(&sources.scan())), ["same"]);
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let project = Project::new(&["a"]);
        let mut rules = project.rules();
        rules.paths = vec![project.root().join("no"), project.root().join("neither")];
        rules.ignore = vec!["[z-a]".into()];
        let BadSources(bad) = Sources::new(rules).err().unwrap();
        assert_eq!(bad.len(), 3, "{bad:?}");
    }
}
