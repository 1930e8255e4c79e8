//! Every verb in unusual surroundings: limits of processes, descriptors, file sizes and memory, no
//! temporary folder, no `/proc`, no home, closed descriptors, a working directory that was removed, names
//! and variables that are not UTF-8, a stdout that cannot be written to.
//!
//! In each of them a verb does its work, or prints what is wrong. It does not panic, exits with a
//! documented status, and leaves a sound store, which is unchanged if the verb failed.

use crate::prelude::*;

/// The statuses of `genstore help`.
const DOCUMENTED: [i32; 16] = [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 124, 125, 126, 127, 130, 143];

/// User ids that nothing else uses, one for each test: processes are counted by user.
const USERS: [&str; 2] = ["2777", "2778"];

/// The change that a successful verb makes to the list of generations, with their pins and marks.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    /// No change.
    Same,
    /// A change.
    Other,
    /// It depends on the case.
    Any,
}
use Leaves::{Any, Other, Same};

/// The digest of no content.
const CONTENT: &str = "abababababababababababababababababababababababababababababababab";

/// An example of each verb, and of each nested verb. `STAGE` is an open stage, and `REMOTE` the
/// address of a remote that has the current generation.
const EXAMPLES: &[(&str, &[&str], Leaves)] = &[
    ("init", &["init", "--store", "another"], Same),
    ("publish", &["publish", "new"], Other),
    ("build", &["build", "--", "sh", "-c", "trap '' XFSZ; cp -R new/. \"$GENSTORE_OUT\""], Other),
    // The build of the watch ends it.
    (
        "watch",
        &[
            "watch",
            "--path",
            "new",
            "--",
            "sh",
            "-c",
            "trap '' XFSZ; cp -R new/. \"$GENSTORE_OUT\"; kill $(cat pid)",
        ],
        Any,
    ),
    // No watch runs.
    ("rebuild", &["rebuild"], Same),
    ("restart", &["restart", "api"], Same),
    ("begin", &["begin", "--ttl", "1h"], Same),
    ("put", &["put", "BATCH", "web=new"], Same),
    ("commit", &["commit", "STAGE"], Other),
    ("abort", &["abort", "STAGE"], Same),
    ("list", &["list"], Same),
    ("log", &["log", "a.txt"], Same),
    ("blame", &["blame", "a.txt"], Same),
    ("history", &["history"], Same),
    // Whether they fail or not, they may have changed pins.
    ("bisect start", &["bisect", "start", "1", "2"], Any),
    ("bisect good", &["bisect", "good"], Same),
    ("bisect bad", &["bisect", "bad"], Same),
    ("bisect skip", &["bisect", "skip"], Same),
    ("bisect run", &["bisect", "run", "true"], Same),
    ("bisect status", &["bisect", "status"], Same),
    ("bisect reset", &["bisect", "reset"], Any),
    ("status", &["status"], Same),
    ("show", &["show", "1", "--tree"], Same),
    ("current", &["current"], Same),
    ("path", &["path", "1"], Same),
    ("diff", &["diff", "1", "2", "--patch"], Same),
    ("cat", &["cat", "1", "a.txt"], Same),
    ("export", &["export", "1", "copy"], Same),
    ("import", &["import", "archive"], Other),
    ("rollback", &["rollback"], Other),
    ("resume", &["resume"], Same),
    ("switch", &["switch", "1"], Other),
    ("mark", &["mark", "1", "bad"], Other),
    ("pin", &["pin", "2", "name"], Other),
    ("unpin", &["unpin", "kept"], Other),
    ("gc", &["gc", "--keep-last", "1", "--grace", "0s"], Same),
    ("forget", &["forget", "a.txt"], Other),
    ("verify", &["verify"], Same),
    ("exec", &["exec", "--", "true"], Same),
    ("view add", &["view", "add", "view"], Same),
    ("view ls", &["view", "ls"], Same),
    ("view rm", &["view", "rm", "site"], Same),
    ("du", &["du"], Same),
    ("doctor", &["doctor"], Same),
    ("wait", &["wait", "--after", "1", "--timeout", "1s"], Same),
    ("torture", &["torture", ".", "--steps", "1", "--kinds", "kill", "--only", "refused"], Same),
    ("trust", &["trust"], Same),
    ("push", &["push", "REMOTE"], Same),
    ("pull", &["pull", "REMOTE"], Same),
    ("promote", &["promote", "REMOTE", "main", "stable"], Same),
    ("remote add", &["remote", "add", "there", "REMOTE"], Same),
    ("remote ls", &["remote", "ls"], Same),
    ("remote rm", &["remote", "rm", "kept"], Same),
    ("remote log", &["remote", "log", "REMOTE"], Same),
    ("remote test", &["remote", "test", "REMOTE"], Same),
    ("remote gc", &["remote", "gc", "REMOTE", "--keep-last", "1"], Same),
    ("remote forget", &["remote", "forget", "REMOTE", CONTENT, "-n"], Same),
    ("remote verify", &["remote", "verify", "REMOTE"], Same),
    ("remote pin", &["remote", "pin", "REMOTE", "main", "v1"], Same),
    ("remote unpin", &["remote", "unpin", "REMOTE", "v0"], Same),
    ("serve", &["serve", "--stdio", "remote"], Same),
    ("serve", &["serve", "--addr", "127.0.0.1:0", "--idle-exit", "1ms"], Same),
    ("schema", &["schema", "publish"], Same),
    ("completions", &["completions", "bash"], Same),
    ("help", &["help"], Same),
];

/// Lists the verbs in the program's help, and nested verbs like `view add`.
fn verbs(site: &Site) -> Vec<String> {
    let listed = |help: Output, heading: &str| -> Vec<String> {
        let lines = help.stdout.lines().skip_while(|line| *line != heading).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')));
        names.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    for verb in listed(site.run("help").ok(), "Verbs:") {
        let below = listed(site.command("help").args(&[&verb]).run(), "Commands:");
        match below.is_empty() {
            true => all.push(verb),
            false => all.extend(below.iter().filter(|b| *b != "help").map(|b| format!("{verb} {b}"))),
        }
    }
    all
}

/// Folders for the trials in one kind of surroundings: a model, and a copy of it for each.
struct Trials {
    site: Site,
    stage: String,
    batch: String,
    /// The program that runs instead when the surroundings are normal.
    calm: Vec<&'static str>,
}

impl Trials {
    fn new() -> Trials {
        let site = Site::published();
        site.run("pin 1 kept").ok();
        site.run("view add site").ok();
        site.tree("new", &[("a.txt", "=three"), ("deep/b", "=b")]);
        let stage = site.run("begin --ttl 1h --json").ok().json("genstore.begin/1");
        let stage = stage["stage"].as_str().unwrap().to_owned();
        site.write(&format!("genstore/staging/s-{stage}/out/staged"), "staged");
        let batch = site.run("begin --batch --ttl 1h --json").ok().json("genstore.begin/1");
        let batch = batch["stage"].as_str().unwrap().to_owned();
        fs::create_dir(site.path("model")).unwrap();
        site.write("genstore.toml", "[remote.kept]\nurl = \"file:///srv/kept\"\n");
        let remote = format!("file://{}", site.path("remote").display());
        site.run(&format!("push {remote}")).ok();
        site.run(&format!("remote pin {remote} main v0")).ok();
        site.run("--store other publish new -m other").ok();
        site.run("--store other export --archive archive").ok();
        for name in ["archive", "genstore", "genstore.toml", "new", "remote", "site"] {
            fs::rename(site.path(name), site.path("model").join(name)).unwrap();
        }
        // The target of the view is relative, so the copies have the same depth.
        fs::remove_file(site.path("model/site")).unwrap();
        Trials { site, stage, batch, calm: vec![] }
    }

    /// Runs everything as another user, if this user can change to one.
    fn of_a_user(user: &'static str) -> Option<Trials> {
        let mut trials = Trials::new();
        trials.calm =
            vec!["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all"];
        let owned = Command::new("chown").args(["-R", user]).arg(trials.site.path("")).status();
        let owned = owned.is_ok_and(|status| status.success());
        let runs = owned && trials.site.command("--version").under(&trials.calm).try_run().is_some();
        if !runs {
            skip_on_this_machine("no other user can run the program from where it lies");
        }
        runs.then_some(trials)
    }

    /// Tries every verb. `surround` creates the surroundings: a program that runs another.
    fn all(
        &self,
        name: &str,
        surround: &[&str],
        change: impl Fn(Run<'_>) -> Run<'_>,
    ) -> Vec<(String, i32)> {
        let one = |verb: String| {
            let example = EXAMPLES.iter().find(|(of, ..)| *of == verb);
            let (_, args, leaves) = example.unwrap_or_else(|| panic!("there is no example of {verb}"));
            let status = self.one(name, surround, &change, &verb, args, *leaves);
            (verb, status)
        };
        verbs(&self.site).into_iter().map(one).collect()
    }

    fn one(
        &self,
        name: &str,
        surround: &[&str],
        change: &impl Fn(Run<'_>) -> Run<'_>,
        verb: &str,
        args: &[&'static str],
        leaves: Leaves,
    ) -> i32 {
        let site = &self.site;
        let copied = Command::new("cp").args(["-a", "model", "trial"]).current_dir(site.path("")).status();
        assert!(copied.unwrap().success());
        let calm = |args: &str| site.command(args).dir("trial").under(&self.calm).run();
        calm("view add site").ok();
        // The log of a failed build takes space, but changes no generation.
        let list = || {
            let list = calm("list --json").ok().json("genstore.list/1");
            (list["current"].clone(), list["generations"].clone(), list["damaged"].clone())
        };
        let before = list();

        let (store, remote) = (site.path("trial/genstore"), site.path("trial/remote"));
        let remote = format!("file://{}", remote.display());
        let meant = |arg: &&'static str| match *arg {
            "STAGE" => self.stage.clone(),
            "BATCH" => self.batch.clone(),
            "REMOTE" => remote.clone(),
            arg => arg.to_owned(),
        };
        let args: Vec<String> = args.iter().map(meant).collect();
        let args: Vec<&OsStr> = args
            .iter()
            .map(OsStr::new)
            .chain(if ["init", "help"].contains(&verb) {
                vec![]
            } else {
                vec![OsStr::new("--store"), store.as_os_str()]
            })
            .collect();
        // The store's flag must not reach the command.
        let parts: Vec<&[&OsStr]> = args.splitn(2, |arg| *arg == "--").collect();
        let args = match parts.as_slice() {
            [own, command] => {
                let (command, store) = command.split_at(command.len() - 2);
                [*own, store, &[OsStr::new("--")], command].concat()
            }
            _ => args,
        };
        // The build of `watch` sends a signal to this pid.
        let wrapper = ["sh", "-c", "echo $$ > pid && exec \"$@\"", "sh"];
        let wrapper = [&wrapper, self.calm.as_slice(), surround].concat();
        let run =
            site.command("").args(&args).dir("trial").env("HOME", site.path("trial/home")).under(&wrapper);
        let output = change(run).run();

        let told = format!("{name}, {verb}: status {}\n{}{}", output.status, output.stdout, output.stderr);
        assert!(DOCUMENTED.contains(&output.status), "not a documented status: {told}");
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!told.contains(word), "a panic: {told}");
        }
        let verified = calm("verify");
        assert_eq!(verified.status, 0, "damaged by {told}\n{}{}", verified.stdout, verified.stderr);
        let after = list();
        let is_done = [0, 3].contains(&output.status);
        match leaves {
            Any => {}
            Other if is_done => assert_ne!(after, before, "nothing was done by {told}"),
            Same | Other => assert_eq!(after, before, "something was changed by {told}"),
        }
        calm("publish new --always").ok();
        fs::remove_dir_all(site.path("trial")).unwrap();
        output.status
    }
}

/// Returns whether a filesystem can be mounted for this test.
fn mounts() -> bool {
    let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        skip_on_this_machine("no filesystem can be mounted");
    }
    can
}

fn as_it_is(run: Run<'_>) -> Run<'_> {
    run
}

#[test]
fn as_it_is_everything_works() {
    for (verb, status) in Trials::new().all("as it is", &["env"], as_it_is) {
        let expected = match verb.as_str() {
            "watch" => 143,
            // No watch runs that could answer.
            "rebuild" | "restart" => 1,
            // No search is under way.
            "bisect good" | "bisect bad" | "bisect skip" | "bisect run" | "bisect status" => 1,
            _ => 0,
        };
        assert_eq!(status, expected, "{verb}");
    }
}

#[test]
fn at_a_limit_of_processes() {
    if let Some(trials) = Trials::of_a_user(USERS[0]) {
        // No process besides the program itself, and then one more.
        trials.all("no more processes", &["prlimit", "--nproc=1:1"], as_it_is);
        trials.all("few processes", &["prlimit", "--nproc=2:2"], as_it_is);
    }
}

/// A verb that needs no other process works without any new thread.
#[test]
fn without_threads_the_work_is_done() {
    let Some(trials) = Trials::of_a_user(USERS[1]) else { return };
    let limit = [&trials.calm[..], &["prlimit", "--nproc=1:1"]].concat();
    let run = |args: &str| trials.site.command(args).dir("model").under(&limit).run();
    for args in ["publish new", "rollback", "switch 3", "gc --keep-last 1 --grace 0s", "verify", "du"] {
        let output = run(args);
        assert_eq!(output.status, 0, "{args}: {}{}", output.stdout, output.stderr);
    }
    let refused = run("build -- true");
    let text = "error: cannot connect the guard of the command\n  Resource temporarily unavailable (os error 11)\n\
                hint: the limit of processes is reached: end some, or raise it (`ulimit -u`)\n";
    assert_eq!((refused.status, refused.stderr.as_str()), (125, text));
}

#[test]
fn at_a_limit_of_descriptors() {
    let trials = Trials::new();
    for limit in ["--nofile=5:5", "--nofile=9:9", "--nofile=16:16"] {
        trials.all(limit, &["prlimit", limit], as_it_is);
    }
}

/// A store may have more generations than a process may have descriptors.
#[test]
fn with_more_generations_than_descriptors() {
    const GENERATIONS: u64 = 100;
    let site = Site::new();
    site.tree("one", &[("a", "=one"), ("deep/b", "=b"), ("deep/c", "=c")]);
    site.tree("two", &[("a", "=two"), ("deep/b", "=b"), ("deep/c", "=c")]);
    for number in 1..=GENERATIONS {
        // Freshness gives `a` a new inode each time.
        site.run(if number % 2 == 1 { "publish one" } else { "publish two" }).ok();
    }
    let run = |args: &str| {
        let few = site.command(args).under(&["prlimit", "--nofile=48:48"]).env("RAYON_NUM_THREADS", "2");
        let output = few.run();
        let no_descriptor = output.stderr.contains("Too many open files");
        assert!(!no_descriptor, "{args}: {}", output.stderr);
        output
    };
    for args in ["verify", "verify --quick", "du", "list", "show 1", "diff 1 100", "gc -n --keep-last 1"] {
        run(args).ok();
    }
    run("export 1 copy").ok();
    let every_tree = |change: &dyn Fn(&str)| {
        (1..=GENERATIONS).for_each(|number| change(&format!("genstore/generations/{number}/tree")));
    };
    let is_mended = || {
        assert_eq!(run("verify").status, 4);
        run("verify --repair").ok();
        run("verify").ok();
    };
    // A path that is missing in all generations.
    every_tree(&|tree| fs::remove_file(site.path(tree).join("deep/b")).unwrap());
    is_mended();
    // An object whose only copy is in the last generation that shows it.
    let spoil = |path: &Path| {
        let (mode, time) = (path.metadata().unwrap().permissions(), path.metadata().unwrap().modified());
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        fs::write(path, "x").unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(time.unwrap()).unwrap();
        fs::set_permissions(path, mode).unwrap();
    };
    let last = site.path(format!("genstore/generations/{GENERATIONS}/tree/deep/c"));
    let kept = site.path("kept");
    fs::copy(&last, &kept).unwrap();
    spoil(&last);
    fs::remove_file(&last).unwrap();
    fs::rename(&kept, &last).unwrap();
    is_mended();
    assert_eq!(site.read("genstore/generations/1/tree/deep/c"), "c");
    // A manifest of which no other generation than the current one has anything.
    for number in 1..GENERATIONS {
        fs::remove_file(site.path(format!("genstore/generations/{number}/manifest"))).unwrap();
    }
    is_mended();
    run("gc --keep-last 1 --grace 0s").ok();
    assert_eq!(site.names("genstore/generations"), ["100"]);
}

#[test]
fn at_a_limit_of_file_sizes() {
    let trials = Trials::new();
    for limit in ["--fsize=0:0", "--fsize=40:40"] {
        trials.all(limit, &["prlimit", limit], as_it_is);
    }
}

#[test]
fn at_a_limit_of_memory() {
    // The address space of the program that does nothing, and 28 MiB for the work.
    let starts = |mib: &u64| {
        let limit = format!("--as={}", mib << 20);
        let done =
            Command::new("prlimit").args([&limit, crate::harness::PROGRAM, "--version"]).output().unwrap();
        done.status.success()
    };
    let own = (16..256).step_by(4).find(starts).unwrap();
    let limit = format!("--as={}", (own + 28) << 20);
    Trials::new().all("little memory", &["prlimit", &limit], as_it_is);
}

#[test]
fn without_room_for_temporary_files() {
    let trials = Trials::new();
    trials.all("a TMPDIR that is not there", &["env", "TMPDIR=/not/there"], as_it_is);
    if mounts() {
        let full = "mount -t tmpfs -o nr_inodes=1 none /mnt && exec \"$@\"";
        let full = ["unshare", "-m", "sh", "-c", full, "sh", "env", "TMPDIR=/mnt"];
        trials.all("a full TMPDIR", &full, as_it_is);
    }
}

#[test]
fn without_proc() {
    if mounts() {
        let hide = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
        Trials::new().all("no /proc", &hide, as_it_is);
    }
}

#[test]
fn without_a_home() {
    let trials = Trials::new();
    trials.all("a HOME that is not there", &["env", "HOME=/dev/null/not/there"], as_it_is);
    let odd = ["env", "HOME=relative", "XDG_CONFIG_HOME=/dev/null", "PATH=/usr/bin:/bin::", "TZ=nowhere"];
    trials.all("odd variables", &odd, as_it_is);
}

#[test]
fn with_closed_descriptors() {
    let trials = Trials::new();
    for close in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let script = format!("exec \"$@\" {close}");
        trials.all(close, &["sh", "-c", &script, "sh"], as_it_is);
    }
}

#[test]
fn in_a_directory_that_was_removed() {
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    Trials::new().all("a removed directory", &["sh", "-c", script, "sh"], as_it_is);
}

#[test]
fn with_names_that_are_not_utf8() {
    let odd = OsStr::from_bytes(b"\xff\x1b[31m\xe2\x80\xae");
    let trials = Trials::new();
    trials.all("variables that are not UTF-8", &["env"], |run| {
        run.env("USER", odd).env("HOME", odd).env("TMPDIR", odd).env("LANG", odd).env("TERM", odd)
    });
    trials.all("one argument more", &["env"], |run| run.args(&[odd]));
    let store = OsStr::from_bytes(b"/dev/shm/\xff/none");
    trials.all("a store that is not there", &["env"], |run| run.env("GENSTORE_STORE", store));
}

/// Each flag that takes a path accepts any bytes.
#[test]
fn paths_of_any_bytes() {
    let site = Site::published();
    let odd = site.path(OsStr::from_bytes(b"o\xff"));
    fs::rename(site.path("genstore"), &odd).unwrap();
    let current = |args: &[&OsStr]| site.command("current").args(args).run().prints("2\n");
    current(&[OsStr::new("--store"), odd.as_os_str()]);
    current(&[OsStr::new("-C"), odd.as_os_str(), OsStr::new("--store"), OsStr::new(".")]);
}

#[test]
fn with_a_stdout_that_takes_nothing() {
    let trials = Trials::new();
    trials.all("a full stdout", &["env"], |run| run.stdout_to("/dev/full"));
    trials.all("a broken pipe", &["env"], |run| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        run.stdout_is(Stdio::from(writer))
    });
}
