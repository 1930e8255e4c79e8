//! `watch`: the files that count as sources, with the real git and like editors write them.

use crate::prelude::*;
use crate::watch::{Loop, make_gate, open_gate, project};

/// Creates a project in a repository whose user has a global ignore file with the names of an IDE.
fn repository(site: &Site) {
    site.write("home/git/ignore", ".idea/\n*.orig\n");
    site.write(".gitignore", "/genstore/\n/home/\n*.log\n/gen/\n");
    site.write("src/a.txt", "one");
    site.write("gen/kept.txt", "one");
    git(site, &["init", "-q"]);
    git(site, &["add", "-A"]);
    git(site, &["add", "-f", "gen/kept.txt"]);
    git(site, &["commit", "-qm", "one"]);
}

fn git(site: &Site, args: &[&str]) {
    let who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"];
    let run = Command::new("git").args(who).args(args).current_dir(site.path("")).output().unwrap();
    assert!(run.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

fn start(site: &Site, more: &str) -> Loop {
    let config = format!("[watch]\ndebounce = '100ms'\n{more}");
    site.write("genstore.toml", config);
    let build = ["--", "sh", "-c", "cp src/a.txt $GENSTORE_OUT/"];
    let command = site.command("watch --json").env("XDG_CONFIG_HOME", site.path("home").to_str().unwrap());
    Loop::of(command.args(&build).spawn())
}

/// Waits for the next change, and for the end of its build.
#[track_caller]
fn built_for(watch: &mut Loop, paths: &[&str]) {
    let change = watch.event("change");
    assert_eq!(change["paths"], serde_json::json!(paths));
    watch.event("build-end");
    watch.next();
}

#[test]
fn a_build_comes_of_what_git_would_show_and_of_nothing_else() {
    let site = Site::new();
    repository(&site);
    let mut watch = start(&site, "paths = ['.']\n");
    watch.event("published");
    site.write("src/.idea/workspace.xml", "1");
    site.write("src/a.txt.orig", "1");
    site.write("src/x.log", "1");
    site.write("src/.a.txt.swp", "1");
    site.write("src/#a.txt#", "1");
    symlink("me@host.1", site.path("src/.#a.txt")).unwrap();
    // The first build is for a file that is ignored but tracked.
    site.write("gen/kept.txt", "two");
    built_for(&mut watch, &["gen/kept.txt"]);
    site.write("src/.ignore", "b.txt\n");
    built_for(&mut watch, &["src/.ignore"]);
    site.write("src/b.txt", "ripgrep's rules are not git's");
    built_for(&mut watch, &["src/b.txt"]);
    watch.end(&site);
}

#[test]
fn paths_may_be_patterns_and_need_not_be_there() {
    let site = Site::new();
    repository(&site);
    let mut watch = start(&site, "paths = ['src', '.env?', '!*.test.txt']\nignore = ['!keep.log']\n");
    watch.event("published");
    site.write("src/a.test.txt", "1");
    site.write("src/x.log", "1");
    site.write(".env", "A=1");
    built_for(&mut watch, &[".env"]);
    fs::remove_file(site.path(".env")).unwrap();
    built_for(&mut watch, &[".env"]);
    site.write("src/keep.log", "1");
    built_for(&mut watch, &["src/keep.log"]);
    watch.end(&site);
}

#[test]
fn what_a_build_makes_and_removes_needs_no_other_build() {
    let site = Site::new();
    site.write("src/a.txt", "one");
    site.write("genstore.toml", "[watch]\npaths = ['src']\ndebounce = '100ms'\n");
    make_gate(&site);
    let build = "f=src/config.$$.mjs; echo x > $f; until read go < gate; do :; done; rm $f; cp src/a.txt $GENSTORE_OUT/";
    let mut watch = Loop::start(&site, "", build);
    // A separate check during the build finds the file.
    assert_eq!(watch.event("change")["queued"], true);
    open_gate(&site);
    watch.event("build-end");
    assert_eq!(watch.event("inputs-restored")["build"], 1);
    watch.event("published");
    site.write("src/a.txt", "two");
    assert_eq!(watch.event("change")["paths"][0], "src/a.txt");
    assert_eq!(watch.event("build-start")["build"], 2, "none was between");
    watch.signal("INT");
}

#[test]
fn sources_are_looked_at_when_git_is_done() {
    let site = Site::new();
    repository(&site);
    let mut watch = start(&site, "paths = ['src']\n");
    watch.event("published");
    // The site would set the mtime, so the file is written directly.
    fs::write(site.path(".git/index.lock"), "").unwrap();
    site.write("src/a.txt", "half of a checkout");
    // The wait is reported.
    let waiting = watch.event("waiting");
    assert_eq!(waiting["paths"][0], ".git/index.lock");
    site.write("src/a.txt", "two");
    fs::remove_file(site.path(".git/index.lock")).unwrap();
    built_for(&mut watch, &["src/a.txt"]);
    assert_eq!(site.read("genstore/current/a.txt"), "two");
    assert_eq!(watch.builds(), 2, "none while git worked: {:#?}", watch.events);
    // A rebase of several commits, each of which changes the file.
    git(&site, &["commit", "-qam", "two"]);
    for text in ["three", "four", "five"] {
        site.write("src/b.txt", text);
        git(&site, &["add", "-A"]);
        git(&site, &["commit", "-qm", text]);
    }
    watch.end(&site);
    let mut watch = start(&site, "paths = ['src']\n");
    watch.event("build-end");
    git(&site, &["rebase", "-q", "--exec", "sleep 0.3", "--force-rebase", "HEAD~3"]);
    site.write("src/a.txt", "after it");
    let change = watch.event("change");
    assert_eq!(change["paths"], serde_json::json!(["src/a.txt", "src/b.txt"]), "one change for all of it");
    watch.end(&site);
}

#[test]
fn where_no_more_can_be_watched_it_polls_and_names_the_sysctl() {
    let site = project("");
    site.write("src/deep/er/b.txt", "");
    // A user namespace has its own limit.
    let limit = |then: &str| {
        let script = format!("echo 2 > /proc/sys/user/max_inotify_watches && {then}");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &script]).current_dir(site.path(""));
        command
    };
    if !limit("true").output().is_ok_and(|output| output.status.success()) {
        skip_on_this_machine("no user namespace can be made");
        return;
    }
    let program = env!("CARGO_BIN_EXE_genstore");
    let script = format!("exec {program} watch --json -- sh -c 'ls -R src > $GENSTORE_OUT/list'");
    let mut child = limit(&script).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let warning = lines.find(|event| event["event"] == "warning").unwrap();
    assert!(
        warning["message"].as_str().unwrap().contains("sysctl fs.inotify.max_user_watches="),
        "{warning}"
    );
    assert_eq!(lines.find(|event| event["event"] == "ready").unwrap()["polling"], true);
    lines.find(|event| event["event"] == "published").unwrap();
    site.write("src/deep/er/c.txt", "");
    assert_eq!(lines.find(|event| event["event"] == "published").unwrap()["generation"], 2);
    child.kill().unwrap();
    child.wait().unwrap();
}
