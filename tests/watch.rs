//! `watch`: when it builds, its messages, and that no process of it remains. `watch_run.rs` tests the
//! programs that run on a commit, `watch_store.rs` the effects on the store.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use crate::prelude::*;

/// A time longer than any step on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A running watch, as an editor's plug-in sees it.
pub struct Loop {
    running: Running,
    lines: Receiver<String>,
    /// All events so far.
    pub events: Vec<Value>,
}

impl Loop {
    /// Starts it with these flags, and with a build in shell if the project has none.
    pub fn start(site: &Site, flags: &str, build: &str) -> Loop {
        let command = site.command(&format!("watch --json {flags}"));
        let build: &[&str] = if build.is_empty() { &[] } else { &["--", "sh", "-c", build] };
        Loop::of(command.args(build).spawn())
    }

    /// Starts it, and waits for the first publication.
    pub fn published(site: &Site) -> Loop {
        let mut watch = Loop::start(site, "", "");
        watch.event("published");
        watch
    }

    /// Starts it, and waits for the start of the program `api`.
    pub fn serving(site: &Site) -> Loop {
        let mut watch = Loop::start(site, "", "");
        watch.child("api", "started");
        watch
    }

    /// Uses a run that was started elsewhere.
    pub fn of(mut running: Running) -> Loop {
        let lines = running.lines();
        let mut watch = Loop { running, lines, events: vec![] };
        let ready = watch.event("ready");
        assert_eq!(ready["schema"], "genstore.watch/1");
        assert_eq!(ready["pid"], watch.running.pid());
        watch
    }

    /// Waits for the next event of this name.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("no {name}: {:#?}", self.events));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Waits for the next event of a child in this state.
    #[track_caller]
    pub fn child(&mut self, name: &str, state: &str) -> Value {
        loop {
            let event = self.event("child");
            if (&event["name"], &event["state"]) == (&name.into(), &state.into()) {
                return event;
            }
        }
    }

    /// Waits for the next event. Returns `None` if none came, or if the watch has ended.
    pub fn next(&mut self) -> Option<Value> {
        let line = match self.lines.recv_timeout(LONG) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        self.events.push(event.clone());
        Some(event)
    }

    /// Waits for the next event, which must be this one.
    #[track_caller]
    pub fn then(&mut self, name: &str) -> Value {
        let event = self.next();
        let found = event.as_ref().map_or(&Value::Null, |event| &event["event"]);
        let last = &self.events[self.events.len().saturating_sub(6)..];
        assert_eq!(found, name, "{last:#?}");
        event.unwrap()
    }

    /// Waits for these events, one after the other and with none between.
    #[track_caller]
    pub fn in_turn(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.then(name)));
    }

    /// Counts the builds that were started.
    pub fn builds(&self) -> usize {
        self.events.iter().filter(|event| event["event"] == "build-start").count()
    }

    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Sends a signal and waits for the end.
    fn end_after(self, signal: &str, site: &Site) -> Output {
        self.signal(signal);
        self.lines.iter().for_each(drop);
        self.running.end_without_reading(site)
    }

    /// Sends this signal, and checks the end.
    pub fn end_by(self, signal: &str, site: &Site) {
        let number = match signal {
            "HUP" => 1,
            "INT" => 2,
            _ => 15,
        };
        assert_eq!(self.end_after(signal, site).status, 128 + number, "{signal}");
    }

    /// Ends the watch.
    pub fn end(self, site: &Site) {
        self.end_by("INT", site);
    }
}

/// Creates a project whose build copies its sources.
pub fn project(more: &str) -> Site {
    let site = Site::new();
    site.write("src/a.txt", "one");
    let build = "mkdir -p $GENSTORE_OUT/lib && cp src/* $GENSTORE_OUT/lib/";
    site.write(
        "genstore.toml",
        format!("[build]\ncommand = '{build}'\n[watch]\npaths = ['src']\ndebounce = '100ms'\n{more}"),
    );
    site
}

pub fn numbers(event: &Value, names: [&str; 2]) -> [Option<u64>; 2] {
    names.map(|name| event[name].as_u64())
}

#[test]
fn builds_first_and_whenever_sources_change() {
    let site = project("");
    let mut watch = Loop::start(&site, "", "");
    assert_eq!(watch.then("build-start")["build"], 1);
    let end = watch.then("build-end");
    has(&end, json!({"ok": true, "exit": 0}));
    let first = watch.then("published");
    assert_eq!(numbers(&first, ["generation", "previous"]), [Some(1), None]);
    assert_eq!(first["path"], site.path("genstore/generations/1/tree").to_str().unwrap());

    site.write("src/a.txt", "two");
    let change = watch.then("change");
    assert_eq!((&change["paths"][0], &change["count"]), (&"src/a.txt".into(), &1.into()));
    assert_eq!(watch.then("build-start")["build"], 2);
    watch.then("build-end");
    let second = watch.then("published");
    assert_eq!(numbers(&second, ["generation", "previous"]), [Some(2), Some(1)]);
    assert_eq!(second["modified"], 1);
    assert_eq!(site.read("genstore/current/lib/a.txt"), "two");

    // A touch changes the sources, but the output is the same: nothing is restarted.
    let notice = fs::metadata(site.path("genstore/notice")).unwrap().modified().unwrap();
    site.write("src/a.txt", "two");
    watch.in_turn(&["change", "build-start", "build-end"]);
    assert_eq!(watch.then("unchanged")["generation"], 2);
    assert_eq!(fs::metadata(site.path("genstore/notice")).unwrap().modified().unwrap(), notice);
    watch.end(&site);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn a_folder_full_of_new_files_is_one_change_and_one_build() {
    let site = project("");
    let mut watch = Loop::start(&site, "--debounce 1s", "find src -type f | sort > $GENSTORE_OUT/list");
    watch.in_turn(&["build-start", "build-end", "published"]);
    for n in 0..40 {
        site.write(&format!("src/deep/{}/{n}/file.txt", n % 4), "new");
    }
    assert_eq!(watch.then("change")["count"], 40);
    assert_eq!(watch.then("build-start")["build"], 2);
    watch.in_turn(&["build-end", "published"]);
    assert_eq!(site.read("genstore/current/list").lines().count(), 41);
    // If another build had run, this one would not be the third.
    fs::remove_dir_all(site.path("src/deep")).unwrap();
    assert_eq!(watch.then("change")["count"], 40);
    assert_eq!(watch.then("build-start")["build"], 3);
    watch.end(&site);
}

#[test]
fn what_fails_or_is_refused_is_told_and_the_old_goes_on_being_served() {
    let site = project("[audit]\nforbid = ['**/bad*']\n");
    let build = "test ! -e src/broken && cp src/* $GENSTORE_OUT/";
    let mut watch = Loop::start(&site, "", build);
    watch.event("published");
    site.write("src/broken", "");
    let end = watch.event("build-end");
    has(&end, json!({"ok": false, "exit": 1}));
    let error = watch.then("error");
    assert_eq!((&error["code"], &error["failed"]["number"]), (&"build-failed".into(), &1.into()));
    assert_eq!(site.read("genstore/current/a.txt"), "one");

    fs::rename(site.path("src/broken"), site.path("src/bad")).unwrap();
    let error = watch.event("error");
    assert_eq!((&error["code"], &error["findings"][0]["path"]), (&"audit-refused".into(), &"bad".into()));
    assert_eq!(site.run("current").ok().stdout, "1\n");

    fs::remove_file(site.path("src/bad")).unwrap();
    site.write("src/a.txt", "two");
    assert_eq!(watch.event("published")["generation"], 2);
    watch.end(&site);
}

/// Creates the pipe at which a build waits for [`open_gate`].
pub fn make_gate(site: &Site) {
    let made = Command::new("mkfifo").arg(site.path("gate")).status().unwrap();
    assert!(made.success());
}

/// Returns a build that reports its begin, and ends on request.
pub fn gated(site: &Site) -> &'static str {
    make_gate(site);
    "cp src/* $GENSTORE_OUT/ && echo >> copied && until read go < gate; do :; done"
}

/// Waits until this many builds have read their sources.
pub fn wait_for_copy(site: &Site, builds: usize) {
    eventually("the build has read its sources", || {
        site.has("copied") && site.read("copied").lines().count() >= builds
    });
}

pub fn open_gate(site: &Site) {
    fs::write(site.path("gate"), "go\n").unwrap();
}

#[test]
fn changes_during_a_build_make_one_more_build() {
    let site = project("");
    let mut watch = Loop::start(&site, "", gated(&site));
    watch.then("build-start");
    wait_for_copy(&site, 1);
    for content in ["two", "three"] {
        site.write("src/a.txt", content);
        assert_eq!(watch.then("change")["queued"], true);
    }
    open_gate(&site);
    watch.then("build-end");
    // A possible mixture is not shown.
    has(&watch.then("kept"), json!({"generation": 1, "why": "inputs-changed"}));
    assert!(!site.has("genstore/current"));
    assert_eq!(watch.then("build-start")["build"], 2);
    open_gate(&site);
    watch.then("build-end");
    assert_eq!(watch.then("published")["generation"], 2);
    assert_eq!(site.read("genstore/current/a.txt"), "three");
    // There is exactly one more build: the next one is the third.
    site.write("src/a.txt", "four");
    watch.then("change");
    assert_eq!(watch.then("build-start")["build"], 3);
    watch.end(&site);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn an_input_that_changed_while_it_was_built_is_said_and_built_again() {
    let site = project("");
    // The change comes before the end of the debounce, so the end of the build finds it.
    let mut watch = Loop::start(&site, "--debounce 2s", gated(&site));
    watch.then("build-start");
    wait_for_copy(&site, 1);
    site.write("src/a.txt", "two");
    open_gate(&site);
    watch.then("build-end");
    let changed = watch.then("inputs-changed");
    assert_eq!((&changed["paths"][0], &changed["build"]), (&"src/a.txt".into(), &1.into()));
    watch.then("kept");
    assert_eq!(watch.then("build-start")["build"], 2);
    open_gate(&site);
    watch.in_turn(&["build-end", "published"]);
    assert_eq!(site.read("genstore/current/a.txt"), "two");
    watch.end(&site);
}

#[test]
fn what_was_built_while_sources_changed_can_be_shown() {
    let site = project("show_changed = true\n");
    let mut watch = Loop::start(&site, "", gated(&site));
    watch.then("build-start");
    wait_for_copy(&site, 1);
    site.write("src/a.txt", "two");
    watch.then("change");
    open_gate(&site);
    watch.then("build-end");
    assert_eq!(watch.then("published")["generation"], 1);
    assert_eq!(site.read("genstore/current/a.txt"), "one");
    assert_eq!(watch.then("build-start")["build"], 2);
    watch.end(&site);
}

#[test]
fn a_change_can_restart_the_build() {
    let site = project("on_busy = 'restart'\n");
    let mut watch = Loop::start(&site, "", gated(&site));
    watch.then("build-start");
    site.write("src/a.txt", "two");
    watch.then("change");
    let end = watch.then("build-end");
    has(&end, json!({"ok": false, "restarted": true}));
    assert_eq!(watch.then("build-start")["build"], 2);
    open_gate(&site);
    watch.then("build-end");
    assert_eq!(watch.then("published")["generation"], 1);
    assert_eq!(site.read("genstore/current/a.txt"), "two");
    watch.end(&site);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn its_own_outputs_are_no_sources() {
    let site = Site::new();
    site.write("a.txt", "one");
    site.write("genstore.toml", "[watch]\npaths = ['.']\ndebounce = '100ms'\nignore = ['*.log']\n");
    let build = "mkdir -p out && cp a.txt out/a.txt && date +%N > built.log";
    let mut watch = Loop::start(&site, "--output out", build);
    watch.in_turn(&["build-start", "build-end", "published"]);
    // A view beside the sources, and a file that a program writes into the store.
    site.run("view add shown").ok();
    symlink("a.txt", site.path("built.log.1")).unwrap();
    let change = watch.then("change");
    assert_eq!(change["paths"][0], "built.log.1");
    for (build, content) in [(2, "one"), (3, "two"), (4, "three")] {
        if build > 2 {
            site.write("a.txt", content);
            assert_eq!(watch.then("change")["paths"][0], "a.txt");
        }
        assert_eq!(watch.then("build-start")["build"], build, "no build was between");
        watch.then("build-end");
        watch.next();
        assert_eq!(site.read("shown/a.txt"), content);
    }
    watch.end(&site);
}

#[test]
fn a_build_that_writes_sources_does_not_build_for_ever() {
    // The same bytes each time: one more build finds that nothing changed.
    let site = project("");
    let mut watch = Loop::start(&site, "", "echo same > src/generated; cp src/* $GENSTORE_OUT/");
    assert_eq!(watch.event("inputs-changed")["paths"][0], "src/generated");
    watch.in_turn(&["kept", "build-start", "build-end", "warning", "published"]);
    site.write("src/a.txt", "two");
    watch.then("change");
    assert_eq!(watch.then("build-start")["build"], 3);
    watch.end(&site);

    // Other bytes each time: after some builds, a message is printed.
    let site = project("");
    let mut watch = Loop::start(&site, "", "echo x >> src/generated; cp src/a.txt $GENSTORE_OUT/");
    // The third build, which is shown, proves that the build itself makes the changes.
    watch.event("published");
    let warning = watch.event("warning");
    let message = warning["message"].as_str().unwrap();
    assert!(message.starts_with("sources change during each build (src/generated)"), "{message}");
    assert_eq!(watch.builds(), 5);
    // A person may have made the change after all: another build follows, after a pause.
    watch.then("build-start");
    watch.end(&site);
}

#[test]
fn sources_can_be_polled() {
    let site = project("poll = '50ms'\n");
    let mut watch = Loop::start(&site, "", "");
    assert_eq!((&watch.events[0]["polling"], &watch.events[0]["watched"]), (&true.into(), &0.into()));
    watch.event("published");
    site.write("src/new/b.txt", "");
    assert_eq!(watch.then("change")["paths"][0], "src/new/b.txt");
    watch.end(&site);
}

#[test]
fn the_whole_project_is_watched_and_files_that_builds_write_are_named() {
    let site = Site::new();
    site.write("in.txt", "one");
    site.write("genstore.toml", "[watch]\ndebounce = '20ms'\n");
    let build = "grep -q broken in.txt && { echo 'line 7: no such tag'; exit 3; }; \
                 cp in.txt gen.txt; cp gen.txt \"$GENSTORE_OUT\"";
    let mut watch = Loop::start(&site, "", build);
    // The first build makes the file, and the second one makes it again.
    let warning = watch.event("warning")["message"].as_str().unwrap().to_owned();
    assert!(warning.starts_with("the build writes gen.txt itself"), "{warning}");
    watch.event("published");
    site.write("in.txt", "broken");
    let error = watch.event("error");
    assert_eq!((&error["code"], &error["output"]), (&json!("build-failed"), &json!("line 7: no such tag")));
    watch.end(&site);
    // As the warning says.
    site.write("genstore.toml", "[watch]\ndebounce = '20ms'\npaths = ['.', '!gen.txt']\n");
    site.write("in.txt", "two");
    let mut watch = Loop::start(&site, "", build);
    watch.event("published");
    site.write("in.txt", "three");
    assert_eq!(watch.event("change")["paths"], json!(["in.txt"]));
    watch.event("published");
    assert_eq!(site.read("genstore/current/gen.txt"), "three");
    assert!(watch.events.iter().all(|event| event["event"] != "kept"), "{:#?}", watch.events);
    watch.end(&site);
}

#[test]
fn bad_input_is_told() {
    let site = Site::new();
    site.write("src/a", "");
    let no_paths = "error: there is nothing to watch\n";
    site.run("watch -- true").fails(2, no_paths);
    site.run("watch --path src").fails(2, "error: no build command is set\n");
    site.run("watch --path gone --path away -- true").exits(2).says(
        "error: cannot watch [DIR]/gone: No such file or directory (os error 2); [DIR]/away: No such file or \
         directory (os error 2)\nhint: correct `paths` and `ignore` under [watch], or --path and --ignore\n",
    );
    let missing = site.run("watch --path src -- no-such-program").exits(127);
    assert!(missing.stderr.contains("error: cannot run no-such-program\n"), "{}", missing.stderr);
    site.command("watch --path src").args(&["--run", "a: x", "--run", "a: y", "--", "true"]).run().exits(2).says(
        "error: two programs are called a\nhint: give each a name of its own, as in `api: node server.js`\n",
    );
    site.write("genstore.toml", "[watch]\npath = ['src']\n");
    site.run("watch -- true")
        .exits(2)
        .says("error: [DIR]/genstore.toml:2: unknown key `path`\nhint: did you mean `paths`?\n");
    site.write("genstore.toml", "[watch]\npaths = ['src']\non_busy = 'wait'\n");
    site.run("watch -- true").fails(
        2,
        "error: [DIR]/genstore.toml:3: `on_busy`: it is `wait`, and must be `queue` or `restart`",
    );
    assert!(!site.has("genstore/staging/x"));
}

#[test]
fn an_editor_that_goes_away_ends_it() {
    let site = project("");
    let mut running = site.command("watch --json").spawn();
    let ready: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(ready["event"], "ready");
    // The reader of its events is gone; the next event finds that out.
    assert_eq!(running.end_without_reading(&site).status, 0);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn people_read_lines() {
    let site = project("");
    let mut running = site.command("watch").spawn();
    let lines = running.lines();
    // The rest of the line after the time of day.
    let line = || site.replace(&lines.recv_timeout(LONG).unwrap()["00:00:00 ".len()..]);
    assert_eq!(line(), "  Watching 1 file (1 directory)");
    assert_eq!(line(), "  Building (build 1)");
    assert!(line().starts_with("     Built in "));
    let published = line();
    assert!(published.starts_with(" Published generation 1 "), "{published}");
    assert!(published.contains(" (the first): +1 ~0 -0 in "), "{published}");
    site.write("src/b.txt", "");
    assert_eq!(line(), "   Changed src/b.txt");
    running.signal("TERM");
    eventually("it ends", || lines.recv_timeout(LONG).is_err());
    assert_eq!(running.end_without_reading(&site).status, 143);
}
