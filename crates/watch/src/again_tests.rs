//! A rescan must always find the same as a full scan: random changes, reported by the system's
//! own events.

#![allow(clippy::disallowed_methods, reason = "tests write files")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::sources::SourceRules;
use crate::wake::Wake;

const LONG: Duration = Duration::from_secs(20);

/// A pseudo-random sequence that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

struct Project {
    dir: tempfile::TempDir,
    dice: Dice,
    written: u32,
}

impl Project {
    fn new(seed: u64) -> Project {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { dir, dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1), written: 0 };
        for folder in ["p/a", "p/b", "q", "s", "barrier", "outside/in"] {
            fs::create_dir_all(project.root().join(folder)).unwrap();
        }
        for file in ["s/one.cfg", "p/.env"] {
            fs::write(project.root().join(file), "1").unwrap();
        }
        project
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap()
    }

    fn rules(&self) -> SourceRules {
        let root = self.root();
        let names = ["p", "q", "barrier", "s/one.cfg", "p/.env"];
        SourceRules {
            paths: names.iter().map(|name| root.join(name)).collect(),
            extensions: vec!["ts".to_owned(), "md".to_owned()],
            ignore: vec!["skip/".to_owned()],
            never: vec![root.join("p/never")],
            root,
            ..SourceRules::default()
        }
    }

    fn folder(&mut self) -> PathBuf {
        let mut path = self.root().join(self.dice.of(&["p", "p", "p", "q"]));
        // The watched folder itself is seldom replaced.
        let depth = if self.dice.below(40) == 0 { 0 } else { 1 + self.dice.below(4) };
        for _ in 0..depth {
            path.push(self.dice.of(&["a", "a", "a", "b", "b", "c", "a-b", "gen", "skip", "never"]));
        }
        path
    }

    fn file(&mut self) -> PathBuf {
        let mut folder = self.folder();
        folder.push(self.dice.of(&["x.ts", "y.ts", "z.log", "w.md", "w.md", "a", "b"]));
        folder
    }

    /// Makes a change, which may have no effect. Returns its description.
    fn change(&mut self) -> String {
        self.written += 1;
        let text = "x".repeat(self.written as usize);
        let (file, folder, other) = (self.file(), self.folder(), self.folder());
        let root = self.root();
        let what = self.dice.below(21);
        let told = format!("{what} {} {} {}", file.display(), folder.display(), other.display());
        match what {
            0..5 => {
                fs::create_dir_all(file.parent().unwrap()).ok();
                fs::write(file, text).ok();
            }
            5 => drop(fs::remove_file(file)),
            6 => drop(fs::remove_dir_all(folder)),
            7 => drop(fs::rename(folder, other)),
            8 => drop(fs::rename(&file, self.file())),
            9 => drop(fs::create_dir_all(folder)),
            10 => {
                // Filesystems reuse the inode of a removed file for the next new one.
                fs::remove_dir_all(&folder).ok();
                fs::create_dir_all(&folder).ok();
                fs::write(folder.join("x.ts"), text).ok();
            }
            11 => {
                fs::remove_dir_all(&folder).ok();
                fs::write(folder, text).ok();
            }
            12 => {
                fs::remove_file(&file).ok();
                fs::create_dir_all(file.join("c")).ok();
                fs::write(file.join("c/x.ts"), text).ok();
            }
            13 => drop(symlink(self.dice.of(&["a", "..", "x.ts", "nowhere"]), file)),
            14 => drop(fs::set_permissions(file, fs::Permissions::from_mode(0o600 + self.written % 8))),
            15 => drop(fs::set_permissions(folder, fs::Permissions::from_mode(0o700 + self.written % 8))),
            16 => {
                let time = filetime::FileTime::from_unix_time(i64::from(self.written), 0);
                filetime::set_file_mtime(self.dice.of(&["s/one.cfg", "p/.env"]), time).ok();
                filetime::set_file_mtime(file, time).ok();
            }
            17 => {
                let rules = self.dice.of(&["*.md\n", "a\n", "!a\nb/\n", "/gen/\n", "[z-a]\n", "c/x.ts\n"]);
                let at = [&folder, &folder, &root.join("p"), &root][self.dice.below(4)].join(".gitignore");
                fs::create_dir_all(at.parent().unwrap()).ok();
                fs::write(at, rules).ok();
            }
            18 => drop(fs::rename(folder, root.join("outside").join(self.written.to_string()))),
            19 => {
                let from = root.join("outside").join(self.dice.below(self.written as usize).to_string());
                fs::rename(from, folder).ok();
            }
            _ => {
                fs::remove_file(folder.join(".gitignore")).ok();
                fs::write(root.join(self.dice.of(&["s/one.cfg", "p/.env"])), text).ok();
            }
        }
        told
    }
}

/// Waits until all events so far have arrived.
fn barrier(project: &Project, told: &Receiver<PathBuf>, name: &str) {
    let path = project.root().join("barrier").join(name);
    fs::write(&path, "1").unwrap();
    while told.recv_timeout(LONG).expect("the barrier") != path {}
}

/// Returns the number of rescans that were not full scans.
fn compare(seed: u64) -> usize {
    let mut project = Project::new(seed);
    let sources = Arc::new(Sources::new(project.rules()).unwrap());
    let (tell, told) = channel();
    (0..40).for_each(|_| drop(project.change()));
    let known = Arc::clone(&sources);
    let counts = move |path: &Path, is_file| {
        tell.send(path.to_owned()).unwrap_or_default();
        known.may_count(path, is_file)
    };
    let mut wake = Wake::begin(counts, || ()).unwrap();
    let (mut scan, mut touched) = (Scan::default(), wake.touched(Instant::now()));
    let mut mended = 0;
    let mut changes = vec![];
    for round in 0..60 {
        if project.dice.below(20) == 0 {
            sources.set_never(&[project.folder().join("a")]);
        }
        loop {
            mended += usize::from(sources.mend(&scan, &touched).is_ok());
            scan = sources.scan_again(&scan, &touched);
            touched = wake.follow(&scan, &touched).unwrap();
            if touched.is_empty() {
                break;
            }
        }
        let whole = sources.scan();
        assert!(
            scan == whole,
            "seed {seed}, round {round}, after {changes:?}: {:?}, {:?}; {:?}, {:?}; {:?}, {:?}",
            scan.changes(&whole),
            scan.watched()
                .filter(|folder| !whole.watched().any(|other| *folder == other))
                .collect::<Vec<_>>(),
            whole
                .watched()
                .filter(|folder| !scan.watched().any(|other| *folder == other))
                .collect::<Vec<_>>(),
            scan.problems,
            (&scan.frame, &scan.singles),
            (&whole.frame, &whole.singles),
        );
        changes.clear();
        for _ in 0..project.dice.below(6) {
            changes.push(project.change());
        }
        barrier(&project, &told, &format!("{round}.ts"));
        touched = wake.touched(Instant::now());
    }
    mended
}

#[test]
fn looking_again_finds_what_a_whole_scan_finds() {
    let mended: usize = (1..=12).map(compare).sum();
    assert!(mended > 12 * 60, "most rescans are not full scans: {mended}");
}

#[test]
fn what_is_not_told_is_not_seen() {
    let project = Project::new(1);
    let sources = Sources::new(project.rules()).unwrap();
    let before = sources.scan();
    fs::write(project.root().join("p/a/x.ts"), "1").unwrap();
    assert_eq!(sources.scan_again(&before, &Touched::default()), before);
    let mut touched = Touched::default();
    touched.note(&project.root().join("p/a/x.ts"), true);
    let after = sources.scan_again(&before, &touched);
    assert_eq!(before.changes(&after), [project.root().join("p/a/x.ts")]);
}

#[test]
fn a_folder_that_is_gone_or_another_one_is_found_where_it_lay() {
    let project = Project::new(1);
    let sources = Sources::new(project.rules()).unwrap();
    let folder = project.root().join("p/a");
    fs::write(folder.join("x.ts"), "1").unwrap();
    let before = sources.scan();
    let listed = || Touched::from_iter([project.root().join("p").into_os_string()]);
    fs::rename(&folder, project.root().join("outside/a")).unwrap();
    let gone = sources.mend(&before, &listed()).ok().expect("it is enough to list one folder");
    assert_eq!(before.changes(&gone), [folder.join("x.ts")]);
    fs::create_dir(&folder).unwrap();
    let other = sources.mend(&before, &listed()).ok().expect("it is enough to list one folder");
    assert_eq!(other, sources.scan());
    assert_eq!(before.changes(&other), [folder.join("x.ts")]);
}
