//! The packages of the program: a Debian package in a clean root, and the action that publishes in a
//! workflow.

use crate::harness::SHIPPED;
use crate::prelude::*;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a program at the top of the sources. Returns its stdout.
#[track_caller]
fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let done = Command::new(program).args(args).current_dir(TOP).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Lists the files below a folder.
fn files(dir: &Path) -> String {
    run("find", &[dir.as_os_str(), "-type".as_ref(), "f".as_ref()])
}

#[test]
fn the_debian_package_installs_runs_and_removes_itself_in_a_clean_root() {
    needs!(has_program("cargo-deb") && has_program("dpkg") && is_root());
    let site = Site::of(&[("a", "=1")]);
    let (program, root) = (site.path("program"), site.path("root"));
    run("strip", &["-o".as_ref(), program.as_os_str(), SHIPPED.as_ref()]);
    let folder = site.path("packages");
    let quick = [OsStr::new("--fast")];
    let arguments = [&[program.as_os_str(), folder.as_os_str()][..], &quick].concat();
    let package = run("scripts/package-deb", &arguments);
    let package = package.trim_end();
    let depends = run("dpkg-deb", &["--field", package, "Depends"]);
    assert!(depends.contains("libc6"), "{depends}");

    fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    fs::write(root.join("var/lib/dpkg/available"), "").unwrap();
    let rooted = format!("--root={}", root.display());
    // The root has no other package, so none that this one depends on.
    run("dpkg", &[&rooted, "--force-depends", "--force-not-root", "--install", package]);
    let installed = files(&root.join("usr"));
    for name in [
        "bash-completion/completions/genstore",
        "_genstore",
        "genstore.fish",
        "copyright",
        "man/man1/genstore-publish.1.gz",
        "doc/genstore/docs/guides/deploying.md",
    ] {
        assert!(installed.contains(name), "{installed}");
    }
    let mut publish = Command::new(root.join("usr/bin/genstore"));
    assert!(publish.args(["publish", "dist", "-q"]).current_dir(site.path("")).status().unwrap().success());
    assert_eq!(site.read("genstore/current/a"), "1");
    run("dpkg", &[&rooted, "--remove", "genstore"]);
    assert!(!root.join("usr").exists(), "{}", files(&root.join("usr")));
}

/// The program is the one that is built already; all else is as after `git clone`.
#[test]
fn the_first_command_of_the_readme_works_in_a_fresh_clone() {
    needs!(has_program("git"));
    if !Path::new(TOP).join(".git").exists() {
        return skip_on_this_machine("these sources are not in a git repository");
    }
    let site = Site::new();
    let clone = site.path("clone");
    run("git", &["clone", "--quiet", "--depth=1", &format!("file://{TOP}"), clone.to_str().unwrap()]);
    let readme = fs::read_to_string(clone.join("README.md")).unwrap();
    let line = readme.lines().find_map(|line| line.strip_prefix("cargo run --release -- ")).unwrap();
    let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('"')).collect();
    let done = site.shipped("").args(&words).dir("clone").run().ok();
    assert!(done.stdout.contains(" Published generation 1 "), "{}", done.stdout);
    assert!(clone.join("genstore/current/genstore/src/lib.rs").is_file());
    let status = Command::new("git").args(["status", "--porcelain"]).current_dir(&clone).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&status.stdout), "", "the store is not to be committed");
}

/// A server program without libraries is built by a release; here the way to it is checked.
#[test]
fn the_script_of_the_static_program_knows_its_way() {
    needs!(has_program("musl-gcc"));
    let told = Command::new("scripts/package-static").arg("--check").current_dir(TOP).output().unwrap();
    let (told, why) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    if told.is_empty() {
        // A toolchain for musl takes a gigabyte: the gate does without it, a release does not.
        assert!(why.contains("no Rust for"), "{why}");
        return;
    }
    assert!(told.contains("crt-static") && told.contains("--release --bin genstore"), "{told}");
}

#[test]
fn the_action_publishes_and_writes_its_outputs() {
    let site = Site::of(&[("a", "=1")]);
    let output = site.path("output");
    let action = |expect: &str| {
        let mut action = Command::new(Path::new(TOP).join(".github/actions/publish/publish"));
        action.current_dir(site.path("")).env("GITHUB_OUTPUT", &output).env("GITHUB_SHA", "1f3a9c");
        action.envs([("INPUT_DIRECTORY", "dist"), ("INPUT_NOTE", "-run 7"), ("INPUT_BINARY", SHIPPED)]);
        let store = site.path("store");
        let done = action.env("INPUT_EXPECT", expect).env("INPUT_STORE", &store).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&done.stdout).contains("::warning::"))
    };
    assert_eq!(action("none"), (0, false));
    let shown = site.run("--store store show --json").is_json("genstore.show/1");
    has(&shown, json!({"note": "-run 7", "facts": {"commit": "1f3a9c"}}));
    let expected = format!("generation=1\ntree={}\nchanged=true\n", shown["tree"].as_str().unwrap());
    assert_eq!(site.read("output"), expected);
    site.tree("dist", &[("a", "=2")]);
    assert_eq!(action("none").0, 6);
    assert_eq!(site.read("output"), expected);
}
