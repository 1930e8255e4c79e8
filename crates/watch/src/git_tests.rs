//! Tests with the real git: the sources are the files that git lists, whatever the rules are.

#![allow(clippy::disallowed_methods, reason = "tests write files")]

use std::fs;

use super::*;
use crate::scan::Scan;
use crate::sources::{SourceRules, Sources};
use crate::touched::Touched;

struct Project {
    dir: tempfile::TempDir,
    /// A pseudo-random sequence that is the same each time.
    dice: u64,
}

impl Project {
    fn new(seed: u64) -> Project {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { dir, dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 };
        project.git(&["init", "-q"]);
        // The excludes of this machine's user must not matter.
        project.git(&["config", "core.excludesFile", "outside/everywhere"]);
        project.git(&["config", "user.email", "nobody@example.com"]);
        project.git(&["config", "user.name", "nobody"]);
        project
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap()
    }

    fn git(&self, args: &[&str]) -> Vec<u8> {
        super::git(&self.root(), args).unwrap_or_else(|| panic!("git {args:?} failed"))
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn sources(&self) -> Sources {
        let root = self.root();
        Sources::new(SourceRules { paths: vec![root.clone()], root, ..SourceRules::default() }).unwrap()
    }

    /// Lists the files that `git status` shows, or would show if they changed.
    fn listed(&self) -> Vec<PathBuf> {
        let told = self.git(&["ls-files", "-z", "-c", "-o", "--exclude-standard"]);
        let names = told.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        let mut files: Vec<PathBuf> = names.map(|name| self.root().join(OsStr::from_bytes(name))).collect();
        files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        files.dedup();
        files.retain(|file| fs::symlink_metadata(file).is_ok());
        files
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        choices[(self.dice % choices.len() as u64) as usize]
    }
}

fn files(scan: &Scan) -> Vec<PathBuf> {
    Scan::default().changes(scan)
}

const FOLDERS: [&str; 6] = ["", "a/", "a/b/", "a b/", "build/", "build/a/"];
const NAMES: [&str; 8] = ["x.ts", "x.log", "y.log", "{x,y}.log", "a#b", "[x]", "name ", "B.TS"];
const PATTERNS: [&str; 26] = [
    "*.log",
    "!x.log",
    "/x.log",
    "build/",
    "build",
    "!build/",
    "a/b",
    "/a/b/",
    "**/b/x.ts",
    "a/**",
    "a/**/x.ts",
    "*.{log,ts}",
    "[[:lower:]].log",
    "[!y].log",
    "[^y].log",
    "x.??",
    "\\#*",
    "# none",
    "name\\ ",
    "name ",
    "\\!x",
    "a b/",
    "*",
    "!*.ts",
    "[x]",
    "b/*",
];

#[test]
fn whatever_the_rules_the_sources_are_what_git_lists() {
    for seed in 1..=60 {
        let mut project = Project::new(seed);
        for folder in FOLDERS {
            for name in NAMES {
                project.write(&format!("{folder}{name}"), "1");
            }
        }
        for file in
            [".gitignore", "a/.gitignore", "build/.gitignore", ".git/info/exclude", "outside/everywhere"]
        {
            if project.of(&["no", "yes", "yes"]) == "yes" {
                let lines = [(); 3].map(|()| project.of(&PATTERNS)).join(project.of(&["\n", "\n", "\r\n"]));
                project.write(file, &lines);
            }
        }
        for _ in 0..2 {
            let file = format!("{}{}", project.of(&FOLDERS), project.of(&NAMES));
            project.git(&["--literal-pathspecs", "add", "-f", &file]);
        }
        let found = files(&project.sources().scan());
        let rules = ["cat .gitignore */.gitignore .git/info/exclude outside/everywhere"];
        let shown = Command::new("sh").arg("-c").args(rules).current_dir(project.root()).output().unwrap();
        assert_eq!(found, project.listed(), "seed {seed}: {}", String::from_utf8_lossy(&shown.stdout));
    }
}

#[test]
fn what_is_tracked_later_is_found_by_the_index_alone() {
    let project = Project::new(1);
    project.write(".gitignore", "gen/\n");
    project.write("gen/kept.ts", "1");
    let sources = project.sources();
    let before = sources.scan();
    assert_eq!(files(&before), [project.root().join(".gitignore")]);
    project.git(&["add", "-f", "gen/kept.ts"]);
    let tracked = sources.scan_again(&before, &Touched::default());
    assert_eq!(before.changes(&tracked), [project.root().join("gen/kept.ts")]);
    let watched = |path: PathBuf| tracked.watched().any(|(known, _)| known == path.as_os_str());
    assert!(watched(project.root().join("gen")) && watched(project.root().join(".git")));
    assert!(sources.may_count(&project.root().join(".git/index"), true));
    assert!(!sources.may_count(&project.root().join(".git/COMMIT_EDITMSG"), true));
}

#[test]
fn rules_outside_the_folders_that_are_watched_are_heard_of_by_the_next_look() {
    let project = Project::new(1);
    ["x.log", "a/y.log", "z"].iter().for_each(|file| project.write(file, "1"));
    let sources = project.sources();
    let mut scan = sources.scan();
    for file in [".git/info/exclude", "outside/everywhere"] {
        project.write(file, "*.log\n");
        let after = sources.scan_again(&scan, &Touched::default());
        assert_eq!(files(&after), project.listed());
        assert!(files(&after).iter().all(|path| !path.ends_with("x.log")), "{file}");
        project.write(file, "# none\n");
        scan = sources.scan_again(&after, &Touched::default());
        assert_eq!(files(&scan), project.listed());
    }
}

#[test]
fn worktrees_and_repositories_within_have_their_own_rules() {
    let project = Project::new(1);
    project.write(".gitignore", "*.log\n/tree/\n");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "one"]);
    project.git(&["worktree", "add", "-q", "tree"]);
    // A worktree has the rules of its own top, and of the repository.
    project.write(".git/info/exclude", "*.tmp\n");
    ["tree/x.log", "tree/x.tmp", "tree/x"].iter().for_each(|file| project.write(file, "1"));
    let root = project.root().join("tree");
    let rules = SourceRules { paths: vec![root.clone()], root: root.clone(), ..SourceRules::default() };
    assert_eq!(files(&Sources::new(rules).unwrap().scan()), [root.join(".gitignore"), root.join("x")]);
    // One repository inside another.
    project.git(&["init", "-q", "inner"]);
    project.write("inner/.git/info/exclude", "*.tmp\n");
    ["inner/x.log", "inner/x.tmp"].iter().for_each(|file| project.write(file, "1"));
    let found = files(&project.sources().scan());
    assert_eq!(found, [project.root().join(".gitignore"), project.root().join("inner/x.log")]);
}

#[test]
fn a_lock_and_a_rebase_are_work_under_way_but_not_for_ever() {
    let project = Project::new(1);
    let git_dir = project.root().join(".git");
    let now = SystemTime::now();
    assert_eq!(work_under_way(&git_dir, now), None);
    for name in ["index.lock", "rebase-merge/done"] {
        project.write(&format!(".git/{name}"), "");
        let sign = git_dir.join(name.split('/').next().unwrap());
        assert_eq!(work_under_way(&git_dir, now), Some(sign.clone()), "{name}");
        assert_eq!(work_under_way(&git_dir, now + OLDEST_LOCK * 2), None, "{name} waits for a person");
        fs::remove_dir_all(&sign).or_else(|_| fs::remove_file(&sign)).unwrap();
    }
    assert_eq!(work_under_way(&git_dir, now), None);
}
