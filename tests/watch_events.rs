//! `watch` rescans only the paths of events. It must always find the same as a full scan.

use genstore::plan::{ScanMemory, ScanRules, Symlinks};
use genstore::{CommitOptions, Options, Plan, StageOptions, Store};
use genstore_watch::Witness;

use crate::prelude::*;
use crate::watch::{Loop, project};

/// Waits for the next published build, and returns the changes before it.
fn changed(watch: &mut Loop) -> Vec<String> {
    let change = watch.event("change");
    watch.event("published");
    let paths = change["paths"].as_array().unwrap().iter();
    paths.map(|path| path.as_str().unwrap().to_owned()).collect()
}

fn rename(site: &Site, from: &str, to: &str) {
    fs::rename(site.path(from), site.path(to)).unwrap();
}

#[test]
fn sources_are_found_wherever_they_change_come_and_go() {
    let site = project("");
    for n in 0..30 {
        site.write(&format!("src/{n}/deep/file"), "1");
    }
    let mut watch =
        Loop::start(&site, "", "find src -type f -printf '%p %s\\n' | sort > $GENSTORE_OUT/list");
    watch.event("published");
    let built = |site: &Site| site.read("genstore/current/list");

    site.write("src/7/deep/file", "22");
    assert_eq!(changed(&mut watch), ["src/7/deep/file"]);
    site.write("src/new/very/deep/file", "1");
    assert_eq!(changed(&mut watch), ["src/new/very/deep/file"]);
    site.write("src/new/very/deep/file", "22");
    assert_eq!(changed(&mut watch), ["src/new/very/deep/file"], "new folders are heard of");
    rename(&site, "src/new/very", "src/8/very");
    assert_eq!(changed(&mut watch), ["src/8/very/deep/file", "src/new/very/deep/file"]);
    site.write("src/8/very/deep/file", "333");
    assert_eq!(changed(&mut watch), ["src/8/very/deep/file"], "and so are those that moved");
    fs::remove_dir_all(site.path("src/9")).unwrap();
    site.write("src/9/deep/file", "22");
    assert_eq!(changed(&mut watch), ["src/9/deep/file"]);
    site.write("src/9/deep/file", "333");
    assert_eq!(changed(&mut watch), ["src/9/deep/file"], "and those that were made anew");
    fs::remove_dir_all(site.path("src/10")).unwrap();
    assert_eq!(changed(&mut watch), ["src/10/deep/file"]);
    assert!(built(&site).contains("src/9/deep/file 3\n") && !built(&site).contains("src/10/"));
    watch.end(&site);
}

#[test]
fn rules_of_git_that_change_hold_at_once() {
    let site = project("");
    for file in ["src/a/x.log", "src/b/c/y.log", "src/b/c/z.txt"] {
        site.write(file, "1");
    }
    let mut watch = Loop::start(&site, "--ext log --ext txt", "date +%N > $GENSTORE_OUT/built");
    watch.event("published");
    // The extension excludes the file itself; the files that it excludes are no longer sources.
    site.write("src/b/.gitignore", "*.log\n");
    assert_eq!(changed(&mut watch), ["src/b/c/y.log"]);
    site.write("src/b/c/y.log", "22");
    site.write("src/a/x.log", "22");
    assert_eq!(changed(&mut watch), ["src/a/x.log"]);
    fs::remove_file(site.path("src/b/.gitignore")).unwrap();
    assert_eq!(changed(&mut watch), ["src/b/c/y.log"]);
    let told = watch.events.iter().filter(|event| event["event"] == "change").count();
    assert_eq!(told, 3);
    watch.end(&site);
}

/// A project whose builder keeps its output, and runs given commands.
struct Kept {
    site: Site,
    watch: Loop,
    builds: u32,
}

impl Kept {
    fn new() -> Kept {
        let site = project("");
        let first =
            "mkdir -p out/a/b out/c; for n in 1 2 3; do echo $n > out/$n; echo $n > out/a/b/$n; done";
        site.write("todo", first);
        let mut watch = Loop::start(&site, "--output out", "sh todo");
        watch.event("published");
        let mut kept = Kept { site, watch, builds: 0 };
        // From the second build on, the state after the first one is known.
        kept.build("echo 1 > out/c/1");
        kept
    }

    /// Builds once more; the publication must equal the folder.
    #[track_caller]
    fn build(&mut self, todo: &str) -> Value {
        let done = self.publish(todo);
        let trees = ["genstore/current", "out"].map(|tree| read_tree(&self.site.path(tree)).unwrap());
        assert!(same_content(&trees[0], &trees[1]), "{todo}: {trees:#?}");
        done
    }

    #[track_caller]
    fn publish(&mut self, todo: &str) -> Value {
        self.builds += 1;
        self.site.write("todo", todo);
        self.site.write("src/a.txt", "x".repeat(self.builds as usize));
        self.watch.event("build-end");
        loop {
            let event = self.watch.next().expect("an end");
            if ["published", "unchanged", "error"].iter().any(|name| event["event"] == *name) {
                return event;
            }
        }
    }
}

#[test]
fn what_a_build_did_to_its_output_is_found() {
    let mut kept = Kept::new();
    let counts = |event: &Value| ["added", "modified", "removed"].map(|name| event[name].as_u64().unwrap());
    assert_eq!(counts(&kept.build("echo 22 > out/a/b/2")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("echo 3 > out/a/b/2")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("echo 4 > out/new; mkdir -p out/d/e; echo 4 > out/d/e/4")), [2, 0, 0]);
    assert_eq!(counts(&kept.build("echo 5 > out/d/e/4")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("rm out/a/b/1 out/2")), [0, 0, 2]);
    assert_eq!(counts(&kept.build("mv out/d out/f; echo 6 > out/1")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("echo 7 > out/f/e/4; mv out/f/e out/a/e")), [2, 0, 1]);
    assert_eq!(counts(&kept.build("rm -r out/a; mkdir -p out/a/b; echo 8 > out/a/b/2")), [0, 1, 2]);
    assert_eq!(counts(&kept.build("echo 9 > out/a/b/2; ln -s b/2 out/a/link; chmod 755 out/1")), [1, 2, 0]);
    assert_eq!(kept.build("echo 9 > out/a/b/2")["event"], "unchanged");
    assert_eq!(counts(&kept.build("echo 10 > out/c/1")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("mkdir next; cp -r out/c next; mv out old; mv next out")), [0, 0, 6]);
    assert_eq!(counts(&kept.build("echo 11 > out/c/1")), [0, 1, 0]);
    assert_eq!(counts(&kept.build("rm -rf out && mkdir out && echo 12 > out/1")), [1, 0, 1]);
    assert_eq!(counts(&kept.build("echo 13 > out/1")), [0, 1, 0]);
    kept.watch.end(&kept.site);
}

#[test]
fn what_was_not_published_is_found_again() {
    let mut kept = Kept::new();
    kept.site.run("rollback").ok();
    kept.site.run("resume").ok();
    assert_eq!(kept.build("true")["modified"], 0, "the rest is as it was");
    assert_eq!(kept.publish("echo 2 > out/c/1; ln -s / out/bad")["code"], "bad-plan");
    assert_eq!(kept.build("rm out/bad")["modified"], 1);
    assert_eq!(kept.publish("echo 3 > out/c/1; false")["code"], "build-failed");
    assert_eq!(kept.build("true")["modified"], 1);
    kept.site.run("rollback").ok();
    kept.site.run("resume").ok();
    assert_eq!(kept.build("echo 4 > out/c/1")["modified"], 1);
    kept.watch.end(&kept.site);
}

#[test]
fn of_what_no_event_tells_another_generation_does() {
    let mut kept = Kept::new();
    // A second name, for which no event comes.
    fs::hard_link(kept.site.path("out/3"), kept.site.path("behind")).unwrap();
    fs::write(kept.site.path("behind"), "4\n").unwrap();
    kept.publish("echo 2 > out/c/1");
    assert_eq!(kept.site.read("genstore/current/3"), "3\n", "no file is looked at where nothing happened");
    kept.site.run("rollback").ok();
    kept.site.run("resume").ok();
    kept.build("echo 3 > out/c/1");
    assert_eq!(kept.site.read("genstore/current/3"), "4\n");
    kept.watch.end(&kept.site);
}

#[test]
fn where_the_output_has_too_many_folders_the_sources_are_watched_still() {
    let site = project("");
    site.write("todo", "mkdir -p out/a/b/c/d; date +%N > out/a/b/c/d/built");
    // A user namespace has its own limit: for the notice, the sources, and two more.
    let script = "echo 4 > /proc/sys/user/max_inotify_watches &&";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]).current_dir(site.path(""));
    if !Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &format!("{script} true")])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        skip_on_this_machine("no user namespace can be made");
        return;
    }
    let program = env!("CARGO_BIN_EXE_genstore");
    command.arg(format!("{script} exec {program} watch --json --output out -- sh todo"));
    let mut watch = Loop::of(Running::of(command));
    assert_eq!(watch.events[0]["polling"], false);
    watch.event("published");
    let message = watch.event("warning")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("sysctl fs.inotify.max_user_watches="), "{message}");
    assert!(message.ends_with("the whole output is scanned after each build"), "{message}");
    for text in ["1", "2"] {
        site.write("src/a.txt", text);
        watch.event("published");
    }
    watch.end(&site);
}

/// A pseudo-random sequence that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn path(&mut self, dir: &Path) -> PathBuf {
        let mut path = dir.to_owned();
        for _ in 0..=self.below(3) {
            path.push(["a", "a", "b", "a-b", "one", "two"][self.below(6)]);
        }
        path
    }

    /// Changes a folder, as a builder might.
    fn change(&mut self, dir: &Path) {
        let (path, other) = (self.path(dir), self.path(dir));
        let text = self.below(1000).to_string();
        let remove = |path: &Path| drop(fs::remove_file(path).or_else(|_| fs::remove_dir_all(path)));
        let write = |path: PathBuf| {
            fs::create_dir_all(path.parent().unwrap()).ok();
            fs::write(path, &text).ok();
        };
        let append = |path: &Path| {
            drop(fs::File::options().append(true).open(path).and_then(|mut file| file.write_all(b"+")));
        };
        match self.below(14) {
            0..3 => write(path),
            3 => remove(&path),
            4 => drop(fs::rename(path, other)),
            5 => {
                drop(fs::hard_link(path, &other));
                append(&other);
            }
            6 => {
                remove(&path);
                write(path.join("one"));
            }
            7 => {
                let file = fs::File::options().write(true).open(path);
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.below(9) as u64);
                drop(file.and_then(|file| file.set_modified(time)));
            }
            8 => {
                let mode = [0o644, 0o755][self.below(2)];
                let file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
                drop(file.then(|| fs::set_permissions(&path, PermissionsExt::from_mode(mode))));
            }
            9 => drop(symlink("a", path)),
            10 => append(&path),
            11 => {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, path, rustix::fs::CWD, other, exchange).ok();
            }
            12 if self.below(4) == 0 => {
                let away = dir.with_file_name(format!("away-{text}"));
                drop(fs::rename(dir, away));
                write(path);
            }
            13 if self.below(4) == 0 => {
                remove(dir);
                write(path);
            }
            _ => write(other),
        }
    }
}

fn linked_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            found.extend(linked_files(&entry.path()));
        } else if meta.nlink() > 1 && meta.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn what_the_system_tells_is_enough_to_remember_the_rest() {
    let mut remembered = 0;
    for seed in 1..=6 {
        let (temp, mut dice) = (genstore_testkit::scratch(), Dice(seed));
        let dir = temp.path().join("out");
        fs::create_dir_all(dir.join("a/a")).unwrap();
        fs::write(dir.join("a/a/one"), "1").unwrap();
        let stores = ["with", "without"].map(|name| {
            let options = Options::new(Arc::new(|| genstore_testkit::at(2_000_000)));
            Store::init(&temp.path().join(name), options).unwrap().store
        });
        let rules = ScanRules::default().symlinks(Symlinks::Any);
        let mut memory = ScanMemory::new(&dir, rules.clone());
        let mut witness = Witness::begin(&dir).unwrap();
        for round in 0..25 {
            // Settled times make both stores trust the same files.
            genstore_testkit::settle(temp.path());
            let same = witness.ask(Instant::now());
            remembered += memory.folders().filter(|folder| same(folder)).count();
            let plans = [memory.scan(same), Plan::scan(&dir, &rules)].map(Result::unwrap);
            let done = [0, 1].map(|at| {
                let staged = stores[at].stage(&plans[at], StageOptions::default()).unwrap();
                staged.unaudited().commit(&CommitOptions::default()).unwrap()
            });
            memory.published(&done[0]);
            let index = |name| {
                fs::read(temp.path().join(format!("{name}/generations/{}/index", done[0].generation)))
            };
            assert_eq!(done[0].tree, done[1].tree, "seed {seed}, round {round}");
            assert_eq!(index("with").ok(), index("without").ok(), "seed {seed}, round {round}");
            witness.watch(memory.folders()).unwrap();
            (0..dice.below(4)).for_each(|_| dice.change(&dir));
            if dice.below(3) == 0 {
                // Some files with several names are written to by one of them.
                let linked = linked_files(&dir);
                if !linked.is_empty() {
                    fs::write(&linked[dice.below(linked.len())], format!("linked {round}")).unwrap();
                }
            }
        }
    }
    assert!(remembered > 150, "most of it is not looked at: {remembered}");
}
