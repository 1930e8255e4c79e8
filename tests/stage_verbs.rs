//! `begin`, `commit`, `abort`: a stage that one process begins, others write to, and another commits.

use crate::prelude::*;

/// Begins a stage that lasts an hour of the fixed clock. Returns its id and path.
fn begin(site: &Site) -> (String, String) {
    let doc = site.run("begin --ttl 1h --json").is_json("genstore.begin/1");
    (doc["stage"].as_str().unwrap().to_owned(), doc["path"].as_str().unwrap().to_owned())
}

fn write(site: &Site, path: &str, name: &str, content: &str) {
    let below = Path::new(path).strip_prefix(site.path("")).unwrap();
    site.write(&format!("{}/{name}", below.display()), content);
}

#[test]
fn a_stage_becomes_a_generation() {
    let site = Site::new();
    site.run("init").ok();
    let begun = site.run("begin --ttl 90s").ok();
    let line = String::from_utf8(begun.bytes).unwrap();
    let (id, path) = line.trim_end().split_once(' ').unwrap();
    assert_eq!(path, site.path(format!("genstore/staging/s-{id}/out")).to_str().unwrap());
    write(&site, path, "css/site.css", "body{}");
    // Another writing command in between leaves it alone.
    site.tree("dist", &[("a", "=1")]);
    site.run("publish dist").ok();
    site.run(&format!("commit {id} -m built --fact by=hand --expect 1")).prints(
        "   Scanned 1 file, 6 B in [TIME]\n    Stored 1 new object, 6 B (0 shared)\n \
         Published generation 2 [ID] (was 1): +1 ~0 -1 in [TIME]\n",
    );
    assert_eq!(site.read("genstore/current/css/site.css"), "body{}");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    has(
        &site.run("show --json").is_json("genstore.show/1"),
        json!({"note": "built", "facts": {"by": "hand"}}),
    );
    site.run(&format!("commit {id}")).is(
        1,
        "",
        &format!(
            "error: the stage {id} was committed before: it is generation 2\n\
             hint: `genstore show` shows the generation\n"
        ),
    );
}

#[test]
fn tells_programs() {
    let site = Site::new();
    let doc = site.run("begin --ttl 1h --json").is_json("genstore.begin/1");
    assert_eq!(doc["expires"], "2026-01-02T04:04:05Z");
    let id = doc["stage"].as_str().unwrap();
    write(&site, doc["path"].as_str().unwrap(), "a", "1");
    let doc = site.run(&format!("commit {id} --json")).is_json("genstore.publish/1");
    has(&doc, json!({"generation": 1, "changed": true, "written": 1}));
    let error = site.run(&format!("commit {id} --json")).json_error();
    has(&error, json!({"code": "stage-committed", "exit": 1}));
    let own = std::process::id();
    let doc = site.run(&format!("begin --owner-pid {own} --json")).is_json("genstore.begin/1");
    has(&doc, json!({"owner_pid": own, "expires": null}));
    let id = doc["stage"].as_str().unwrap();
    let doc = site.run(&format!("abort {id} --json")).is_json("genstore.abort/1");
    assert_eq!(doc["stage"], id);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn a_stage_may_be_named_by_its_path() {
    let site = Site::new();
    let (_, path) = begin(&site);
    write(&site, &path, "a", "1");
    site.run(&format!("commit {path}")).ok();
    let (id, path) = begin(&site);
    let stage = path.strip_suffix("/out").unwrap();
    site.run(&format!("abort {stage}")).prints(&format!("Aborted stage {id}\n"));
}

/// Runs it, and compares status, message and hint, with the id replaced.
#[track_caller]
fn check(output: Output, id: &str, status: i32, error: &str, hint: &str) {
    let text = output.stderr.replace(id, "[STAGE]");
    assert_eq!((output.status, text), (status, format!("error: {error}\nhint: {hint}\n")));
}

#[test]
fn says_what_became_of_a_stage() {
    let site = Site::new();
    let (id, path) = begin(&site);
    let unknown = "there is no stage nope: it was aborted, it is over, or it never existed";
    check(site.run("commit nope"), &id, 1, unknown, "`genstore begin` prints the id of a new stage");
    let bad = "not a stage: a.b: a stage's id is letters and digits, as `genstore begin` prints it";
    check(site.run("commit a.b"), &id, 2, bad, "`genstore begin` prints a stage's id and path");
    let bad = "not a stage: ./x: this is not the path of a stage";
    check(site.run("abort ./x"), &id, 2, bad, "`genstore begin` prints a stage's id and path");
    site.run("--store other init").ok();
    check(
        site.run(&format!("--store other commit {path}")),
        &id,
        1,
        "the stage [DIR]/genstore/staging/s-[STAGE]/out does not belong to the store [DIR]/other",
        "name the stage's own store with --store",
    );
    let late = site.command(&format!("commit {id}")).env("GENSTORE_NOW", "2026-01-02T04:04:15Z").run();
    let hint = "begin a new stage; `--ttl` and `--owner-pid` set its lifetime";
    check(late, &id, 1, "the stage [STAGE] expired 10 s ago", hint);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    let mut owner = Command::new("sleep").arg("1000").spawn().unwrap();
    let doc = site.run(&format!("begin --json --owner-pid {}", owner.id())).is_json("genstore.begin/1");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let id = doc["stage"].as_str().unwrap();
    let over = "the stage [STAGE] is over: its owner, process [PID], has ended";
    check(site.run(&format!("commit {id}")), id, 1, over, hint);
    let nobody = "process [PID] does not exist, so it cannot own a stage";
    let hint = "`--owner-pid $$` names a shell's own process";
    check(site.run("begin --owner-pid 1073741824"), id, 1, nobody, hint);
    site.run("begin").fails(2, "error: the following required arguments were not provided");
    site.run("begin --ttl 5s --owner-pid 1")
        .fails(2, "error: the argument '--ttl <DUR>' cannot be used with");
}

#[test]
fn a_commit_that_loses_can_be_tried_again() {
    let site = Site::new();
    let (id, path) = begin(&site);
    write(&site, &path, "a", "1");
    site.tree("dist", &[("b", "=2")]);
    site.run("publish dist").ok();
    let lost = site.run(&format!("commit {id} --expect none"));
    lost.fails(6, "error: expected current generation none, found 1");
    site.run(&format!("commit {id} --expect 1")).ok();
    assert_eq!(site.names("genstore/current"), ["a"]);
}

#[test]
fn all_that_cannot_be_published_is_named() {
    let site = Site::new();
    let (id, path) = begin(&site);
    let out = Path::new(&path);
    symlink("/etc/passwd", out.join("abs")).unwrap();
    symlink("../..", out.join("up")).unwrap();
    let output = site.run(&format!("commit {id}"));
    output.exits(1).says(
        "error: 2 paths cannot be kept in a generation\n  abs is an absolute symlink (to /etc/passwd)\n  \
         up is a symlink that leaves the tree (to ../..)\nhint: exclude them with `exclude` under [publish] \
         in genstore.toml, or allow such links with `symlinks = \"any\"` there\n",
    );
    // The stage still exists, and can be corrected.
    fs::remove_file(out.join("abs")).unwrap();
    fs::remove_file(out.join("up")).unwrap();
    write(&site, &path, "a", "1");
    site.run(&format!("commit {id}")).ok();
}

/// Runs `scripts/publish-in-phases` on the site's `text`.
fn phases(site: &Site) -> std::process::Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/publish-in-phases");
    Command::new(script)
        .arg("text")
        .current_dir(site.path(""))
        .env("GENSTORE", env!("CARGO_BIN_EXE_genstore"))
        .env_remove("GENSTORE_STORE")
        .output()
        .unwrap()
}

#[test]
fn a_shell_script_publishes_in_phases() {
    let site = Site::new();
    site.run("init").ok();
    site.write("text/index.txt", "Welcome\nto this site\n");
    let done = phases(&site);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let doc: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    has(&doc, json!({"schema": "genstore.publish/1", "generation": 1}));
    assert_eq!(site.read("genstore/current/site/index.html"), "<h1>Welcome</h1>\n<p>to this site</p>\n");
    // The script's own audit, an early failure, and the project's audit: only the old site remains.
    site.write("text/more.txt", "");
    let untitled = phases(&site);
    assert_eq!(String::from_utf8_lossy(&untitled.stderr), "more.html has no title\n");
    fs::remove_file(site.path("text/more.txt")).unwrap();
    fs::rename(site.path("text/index.txt"), site.path("text/other.txt")).unwrap();
    let broken = phases(&site);
    site.write("text/index.txt", "Welcome\nback\n");
    site.write("genstore.toml", "[audit]\nforbid = ['**/other.html']\n");
    let refused = phases(&site);
    assert_eq!(refused.status.code(), Some(5));
    for output in [untitled, broken, refused] {
        assert!(!output.status.success());
        assert_eq!(output.stdout, b"", "nothing was published");
    }
    assert_eq!(site.names("genstore/generations"), ["1"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn a_killed_script_leaves_nothing() {
    let site = Site::published();
    let begin =
        format!("read -r _ out <<E\n$({} begin --owner-pid $$)\nE\n", env!("CARGO_BIN_EXE_genstore"));
    let script = format!("{begin} echo half > \"$out/a\"; echo \"$out\"; kill -9 $$");
    let output = Command::new("bash").args(["-c", &script]).current_dir(site.path("")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(out.trim()).join("a").exists(), "{}", String::from_utf8_lossy(&output.stderr));
    site.write("dist/a.txt", "next");
    site.run("publish dist").ok();
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}
