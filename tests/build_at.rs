//! `[build] at`: a build sees its stage at a folder of the project, and the folder is unchanged for all others.

use std::os::unix::fs::chown;

use genstore_testkit::Bystanders;

use crate::prelude::*;
use crate::watch::Loop;

/// A user without rights.
const NOBODY: u32 = 65_534;

/// Returns whether this command can create a mount namespace. If not, records that the test is skipped.
fn has_namespaces(command: &[&str]) -> bool {
    let done = Command::new(command[0]).args(&command[1..]).arg("true").output();
    let works = done.is_ok_and(|done| done.status.success());
    if !works {
        skip_on_this_machine("no mount namespace can be made");
    }
    works
}

/// Returns whether this user can have a private mount.
fn can_mount() -> bool {
    match rustix::process::geteuid().is_root() {
        true => has_namespaces(&["unshare", "--mount"]),
        false => has_namespaces(&["unshare", "--user", "--mount"]),
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// A project whose folder `dist` has files, and a FIFO at which its build waits.
fn site(build: &str) -> (Site, Bystanders) {
    let site = Site::new();
    let dist = Bystanders::make(&site.path("dist"));
    let made = Command::new("mkfifo").args([site.path("begun"), site.path("gate")]).status();
    assert!(made.unwrap().success());
    site.write("genstore.toml", format!("[build]\nat = 'dist'\ncommand = '{build}'\n"));
    (site, dist)
}

/// Runs a build that waits at its gate, and checks that no other program sees what it sees.
fn seen_by_the_build_alone(site: &Site, dist: &Bystanders, build: Run<'_>) {
    let before = mounts();
    let running = build.spawn();
    // Opening waits until the build has written.
    assert_eq!(site.read("begun"), "");
    dist.check("during the build");
    assert_eq!(mounts(), before);
    fs::write(site.path("gate"), "").unwrap();
    let output = running.end(site).ok();
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    dist.check("after the build");
    assert_eq!(mounts(), before);
    assert_eq!(site.names("genstore/current"), ["a", "where"]);
    assert_eq!(site.read("genstore/current/where"), format!("{}\n", site.path("dist").display()));
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

/// Writes to `dist` by its usual path, and waits.
const WAITS: &str = "test -z \"$(ls -A dist)\" && echo new > dist/a && echo $GENSTORE_OUT > dist/where && \
                     : > begun && cat gate";

#[test]
fn a_build_writes_to_a_folder_that_only_it_sees() {
    needs!(can_mount());
    let (site, dist) = site(WAITS);
    seen_by_the_build_alone(&site, &dist, site.command("build"));
}

#[test]
fn so_does_a_build_of_a_user_without_rights() {
    needs!(is_root());
    let user = NOBODY.to_string();
    let calm = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--inh-caps=-all"];
    needs!(has_namespaces(&[&calm[..], &["unshare", "--user", "--mount"]].concat()));
    // The build runs as its user, and with the user's number.
    let (site, dist) = site(&format!("{WAITS}; test $(id -u) = {NOBODY} && test -O dist/a"));
    // The program may be in a folder closed to others, so a copy is run.
    fs::copy(crate::harness::PROGRAM, site.path("program")).unwrap();
    for path in ["", "genstore.toml", "begun", "gate"] {
        chown(site.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = site.path("program");
    let runs = [&calm[..], &[program.to_str().unwrap()]].concat();
    let mut build = Command::new(runs[0]);
    build.args(&runs[1..]).arg("build").current_dir(site.path("")).env_clear();
    build.env("PATH", "/usr/bin:/bin").env("GENSTORE_GROUND", site.path(""));
    build.stdout(Stdio::piped()).stderr(Stdio::piped());
    let build = build.spawn().unwrap();
    assert_eq!(site.read("begun"), "");
    dist.check("during the build");
    fs::write(site.path("gate"), "").unwrap();
    let output = build.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("warning"), "{stderr}");
    assert_eq!(site.read("genstore/current/where"), format!("{}\n", site.path("dist").display()));
    let owner = fs::metadata(site.path("genstore/current/a")).unwrap().uid();
    assert_eq!(owner, NOBODY);
}

/// Writes the path of its output.
const TELLS: &str = "echo $GENSTORE_OUT > $GENSTORE_OUT/where";

#[test]
fn a_missing_folder_is_created_and_stays() {
    needs!(can_mount());
    let site = Site::new();
    site.write("genstore.toml", format!("[build]\nat = 'out/site'\ncommand = '{TELLS}'\n"));
    for _ in 0..2 {
        let output = site.run("build").ok();
        assert!(!output.stderr.contains("warning"), "{}", output.stderr);
        assert_eq!(site.names("out/site"), [""; 0]);
    }
    assert_eq!(site.read("genstore/current/where"), format!("{}\n", site.path("out/site").display()));
    assert!(!site.has("genstore/generations/2"), "equal paths make equal trees");
}

/// The stage of each build in a store.
const STAGE: &str = "[DIR]/genstore/staging/s-build/out";

#[test]
fn a_build_without_the_folder_gets_its_stage_and_says_so() {
    let site = Site::new();
    site.write("elsewhere/a", "1");
    let link = "it is a link, and a view with `as = \"mirror\"` is a folder";
    symlink("elsewhere", site.path("link")).unwrap();
    site.write("file", "1");
    for (at, why) in [
        ("link", link),
        ("file", "it is no folder"),
        ("file/below", "Not a directory (os error 20)"),
        ("genstore", "the store is [DIR]/genstore"),
        ("genstore/out", "the store is [DIR]/genstore"),
    ] {
        site.write("genstore.toml", format!("[build]\nat = '{at}'\ncommand = '{TELLS}'\n"));
        let warning = format!(
            "warning: the build cannot have [DIR]/{at} to itself: {why}; GENSTORE_OUT is {STAGE}\n"
        );
        let output = site.run("build").ok();
        assert!(output.stderr.contains(&warning), "{}", output.stderr);
        let stage = STAGE.replace("[DIR]", site.path("").to_str().unwrap().trim_end_matches('/'));
        assert_eq!(site.read("genstore/current/where"), format!("{stage}\n"));
    }
    assert_eq!(site.names("elsewhere"), ["a"]);
    // The view that the first publication would create is a link.
    let view = "[[view]]\npath = 'dist'\n";
    site.write("genstore.toml", format!("[build]\nat = 'dist'\ncommand = '{TELLS}'\n{view}"));
    let output = site.run("build").ok();
    assert!(output.stderr.contains(link), "{}", output.stderr);
    assert!(site.path("dist").is_symlink());
}

#[test]
fn a_system_that_allows_no_mount_is_named() {
    let limited = "echo 0 > /proc/sys/user/max_mnt_namespaces && exec \"$@\"";
    let own = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"];
    needs!(has_namespaces(&own));
    let (site, dist) = site(TELLS);
    let output = site.command("build").under(&own).run().ok();
    let why = "it cannot be mounted: No space left on device (os error 28)";
    assert!(output.stderr.contains(why), "{}", output.stderr);
    assert!(site.read("genstore/current/where").ends_with("/staging/s-build/out\n"));
    dist.check("a build without a mount");
}

#[test]
fn a_path_that_cannot_be_meant_is_refused() {
    let site = Site::new();
    for (setting, why) in [
        ("at = '.'", "is ., which is not below the project"),
        ("at = '..'", "is .., which is not below the project"),
        ("at = 'a/../../b'", "is a/../../b, which is not below the project"),
        ("at = '/srv'", "is /srv, which is not below the project"),
        ("at = 'a'\noutput = 'b'", "stands beside `output`"),
    ] {
        site.write("genstore.toml", format!("[build]\ncommand = 'true'\n{setting}\n"));
        let error = format!("error: `at` under [build] in [DIR]/genstore.toml {why}\n");
        site.run("build").fails(2, &error);
    }
    assert!(!site.has("genstore"));
}

#[test]
fn a_watch_says_once_what_holds_for_each_build() {
    let site = Site::new();
    site.write("src/a", "1");
    site.write("file", "1");
    let build = "cp src/a $GENSTORE_OUT/a";
    let project = format!("[build]\nat = 'file'\ncommand = '{build}'\n[watch]\npaths = ['src']\n");
    site.write("genstore.toml", project);
    let mut watch = Loop::published(&site);
    site.write("src/a", "2");
    watch.event("published");
    let warnings: Vec<_> = watch.events.iter().filter(|event| event["event"] == "warning").collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    watch.end(&site);
}

#[test]
fn a_watch_builds_beside_the_readers_of_a_mirror() {
    needs!(can_mount());
    let site = Site::new();
    site.write("src/a", "1");
    let build = "echo half > dist/a && cp src/a dist/a && ls dist > dist/names";
    let view = "[[view]]\npath = 'dist'\nas = 'mirror'\n";
    let project = format!("[build]\nat = 'dist'\ncommand = '{build}'\n[watch]\npaths = ['src']\n{view}");
    site.write("genstore.toml", project);
    let mut watch = Loop::published(&site);
    for text in ["2", "3"] {
        assert_eq!(site.read("dist/names"), "a\nnames\n");
        site.write("src/a", text);
        watch.event("published");
        eventually("the mirror shows it", || site.read("dist/a") == text);
    }
    let warned = watch.events.iter().find(|event| event["event"] == "warning");
    assert_eq!(warned, None);
    watch.end(&site);
}
