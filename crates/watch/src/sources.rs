//! Which files are sources, and what they are now.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};

use crate::scan::{Folder, Frame, Scan, Stamp};
use crate::threads::can_start_threads;
use crate::touched::tells_rules;

/// Never sources, unless the rules say `!node_modules/` or the like.
const USUALLY_IGNORED: [&str; 2] = [".git/", "node_modules/"];

/// Files of rules are no longer than this.
const MOST_RULES_BYTES: u64 = 1 << 20;

/// What the rules of git are read from, in the watched folders and in those above them, where no event
/// tells of it.
const RULE_FILES: [&str; 3] = [".gitignore", ".ignore", ".git/info/exclude"];

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
    /// Files of rules that the last walk met and that cannot be read as such.
    bad_rules: Arc<Mutex<Vec<String>>>,
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
        let sources = Sources { rules, ignore, never, bad_rules: Arc::default() };
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

    /// Returns whether an event at this path can be that of a source: quickly, and rather yes.
    pub fn may_count(&self, path: &Path, is_file: bool) -> bool {
        if self.never().iter().any(|never| path.starts_with(never)) {
            return false;
        }
        !is_file
            || self.has_extension(path)
            || tells_rules(path)
            || self.rules.paths.iter().any(|single| single == path)
    }

    pub(crate) fn has_extension(&self, path: &Path) -> bool {
        let wanted = &self.rules.extensions;
        wanted.is_empty()
            || path.extension().and_then(OsStr::to_str).is_some_and(|ext| wanted.iter().any(|w| w == ext))
    }

    /// Looks at all of them: a walk by all threads, and a stat for each.
    pub fn scan(&self) -> Scan {
        let frame = self.frame();
        let mut found = Scan::default();
        self.look_at_singles(&mut found);
        let folders: Vec<&PathBuf> = self.rules.paths.iter().filter(|path| is_dir(path)).collect();
        self.walk_all(&folders, &mut found);
        // A bad line of rules above several of them is told by some of the threads.
        found.problems.sort();
        found.problems.dedup();
        // What it is compared with must have been there before the first look.
        found.frame = frame.filter(|_| found.problems.is_empty());
        found
    }

    /// Looks at those that are named by themselves and are files.
    pub(crate) fn look_at_singles(&self, found: &mut Scan) {
        for path in self.rules.paths.iter().filter(|path| !is_dir(path)) {
            match std::fs::symlink_metadata(path) {
                Ok(meta) => {
                    found.singles.insert(path.clone().into_os_string(), Stamp::of(&meta));
                }
                Err(error) => found.miss(format!("{}: {error}", path.display()), is_gone(&error)),
            }
            // A single file is watched through its directory: editors replace it.
            if let Some((parent, meta)) = path.parent().and_then(|p| Some((p, std::fs::metadata(p).ok()?)))
            {
                found.parents.insert(parent.as_os_str().to_owned(), meta.ino());
            }
        }
    }

    /// Walks into folders that are sources, with all below them.
    pub(crate) fn walk_all(&self, folders: &[impl AsRef<Path>], found: &mut Scan) {
        let Some((first, more)) = folders.split_first() else { return };
        let mut walk = self.walk(first.as_ref());
        for path in more {
            walk.add(path);
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        let walked = Mutex::new((HashMap::<OsString, Folder>::new(), found));
        let look = |entry: Result<DirEntry, ignore::Error>| {
            let looked = entry.and_then(|entry| entry.metadata().map(|meta| (entry.into_path(), meta)));
            let mut walked = walked.lock().unwrap_or_else(PoisonError::into_inner);
            let (folders, found) = &mut *walked;
            match looked {
                Ok((path, meta)) if meta.is_dir() => {
                    let folder = Folder { inode: meta.ino(), files: vec![] };
                    folders.insert(path.into_os_string(), folder);
                }
                // A folder is told before what is in it; if not, it is gone since.
                Ok((path, meta)) if self.has_extension(&path) => {
                    if let Some(folder) = path.parent().and_then(|p| folders.get_mut(p.as_os_str())) {
                        let name = path.file_name().unwrap_or_default().to_owned();
                        folder.files.push((name, Stamp::of(&meta)));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let gone = error.io_error().is_some_and(is_gone);
                    found.miss(error.to_string(), gone);
                }
            }
        };
        match threads > 1 && can_start_threads(threads) {
            true => walk.threads(threads).build_parallel().run(|| {
                Box::new(|entry| {
                    look(entry);
                    WalkState::Continue
                })
            }),
            false => walk.build().for_each(look),
        }
        let (folders, found) = walked.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.problems.append(&mut self.bad_rules.lock().unwrap_or_else(PoisonError::into_inner));
        found.folders.extend(folders.into_iter().map(|(path, mut folder)| {
            folder.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            (path, Arc::new(folder))
        }));
    }

    /// Begins a walk by the rules.
    pub(crate) fn walk(&self, folder: &Path) -> WalkBuilder {
        let mut walk = WalkBuilder::new(folder);
        let (ignore, never) = (self.ignore.clone(), self.never().clone());
        walk.hidden(false).git_global(false).require_git(false).follow_links(false);
        let bad_rules = Arc::clone(&self.bad_rules);
        let tell = move |problem| bad_rules.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
        if let Some(problem) = folder.ancestors().skip(1).find_map(bad_rules_in) {
            tell(format!("{problem}; no rules above {} are read", folder.display()));
            // The crate reads the files above unless all of these are off. By another option it still
            // reads what git would, in the folders that it walks.
            walk.parents(false).git_ignore(false).git_exclude(false);
            walk.add_custom_ignore_filename(".gitignore");
        }
        walk.filter_entry(move |entry| {
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            let ignored = entry.depth() > 0 && ignore.matched(entry.path(), is_dir).is_ignore();
            if ignored || never.iter().any(|never| entry.path() == never) {
                return false;
            }
            match Some(entry.path()).filter(|_| is_dir).and_then(bad_rules_in) {
                Some(problem) => {
                    tell(format!("{problem}; its folder is not watched"));
                    false
                }
                None => true,
            }
        });
        walk
    }

    /// Tells what an older scan must have in common with a new one, for some of it to be kept; `None`
    /// where that is too hard to tell.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let mut frame = Frame { never: self.never().clone(), ..Frame::default() };
        for (at, path) in self.rules.paths.iter().enumerate() {
            let root = std::fs::symlink_metadata(path).ok();
            let is_dir = root.as_ref().is_some_and(Metadata::is_dir);
            let others = self.rules.paths.iter().enumerate().filter(|(other, _)| *other != at);
            // One of these is looked into from two sides.
            let overlaps = is_dir && others.into_iter().any(|(_, other)| path.starts_with(other));
            if overlaps || root.as_ref().is_some_and(Metadata::is_symlink) {
                return None;
            }
            frame.roots.push(root.filter(Metadata::is_dir).map(|meta| meta.ino()));
            let rules = |folder: &Path| RULE_FILES.map(|name| folder.join(name));
            let above = path.ancestors().filter(|_| is_dir).flat_map(rules);
            frame.rules.extend(above.map(|file| std::fs::metadata(file).ok().map(|meta| Stamp::of(&meta))));
        }
        Some(frame)
    }
}

/// Names a file of rules in a folder that must not be opened: reading it could block, or not end.
fn bad_rules_in(folder: &Path) -> Option<String> {
    RULE_FILES.iter().map(|name| folder.join(name)).find_map(|file| {
        let meta = std::fs::metadata(&file).ok()?;
        let why = match (meta.is_file(), meta.is_dir()) {
            (true, _) if meta.len() > MOST_RULES_BYTES => "is longer than 1 MiB",
            // A folder of this name says nothing, to git too.
            (true, _) | (_, true) => return None,
            _ => "is not a regular file",
        };
        Some(format!("{} {why}", file.display()))
    })
}

pub(crate) fn is_gone(error: &std::io::Error) -> bool {
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
            self.names(Scan::default().changes(&scan))
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
    fn rules_that_cannot_be_read_never_block() {
        let project = Project::new(&["a/x", "b/y", "z"]);
        let scan = |folder: &str| {
            let root = project.root();
            let rules = SourceRules { paths: vec![root.join(folder)], root, ..SourceRules::default() };
            let scan = Sources::new(rules).unwrap().scan();
            let top = format!("{}/", project.root().display());
            let problems = scan.problems.iter().map(|p| p.replace(&top, "")).collect::<Vec<_>>().join("|");
            (project.names(Scan::default().changes(&scan)).join(" "), problems)
        };
        let fifo = |file: &str| {
            let made = std::process::Command::new("mkfifo").arg(project.root().join(file)).status();
            assert!(made.unwrap().success());
        };
        fifo("a/.gitignore");
        let told = "a/.gitignore is not a regular file; its folder is not watched";
        assert_eq!(scan(""), ("b/y z".to_owned(), told.to_owned()));
        fs::remove_file(project.root().join("a/.gitignore")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", project.root().join(".ignore")).unwrap();
        let (files, told) = scan("a");
        assert_eq!(files, "a/x");
        assert!(told.starts_with(".ignore is not a regular file; no rules above "), "{told}");
        fs::remove_file(project.root().join(".ignore")).unwrap();
        project.write("b/.ignore", &"#".repeat(MOST_RULES_BYTES as usize + 1));
        assert_eq!(scan("").0, "a/x z");
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
