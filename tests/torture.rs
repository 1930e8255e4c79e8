//! `torture`: its output, its remains, and that the store keeps its promises on this machine's filesystem,
//! and on ext4, xfs and btrfs.

use crate::prelude::*;

/// Splits off the first line: the features differ from machine to machine.
fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap()
}

#[test]
fn tells_of_each_scenario_and_leaves_nothing() {
    let site = Site::new();
    site.write("dir/mine", "mine");
    symlink("mine", site.path("dir/link")).unwrap();
    // Neither of the two may affect the scratch stores.
    site.write("genstore.toml", "[audit]\nmax_total = 0\n");
    let run = site.command("torture dir --steps 1 --kinds kill,eio --only publish");
    let output = run.env("GENSTORE_STORE", "dir/store").run();
    let (ground, rest) = first_line(&output.stdout);
    assert!(ground.starts_with("Filesystem ") && ground.contains(" at [DIR]/dir: flock, "), "{ground}");
    let expected = "\
scenario                              points   tried  killed  failed    done     old     new  violations
first publish                            129       2       1       1       0       2       0           0
publish over another                      88       2       1       1       0       2       0           0
each stage of a publish                    7      14       7       6       1      12       2           0
publish of what is current                 3       2       1       0       1       2       0           0
publish that is only kept                 65       2       1       1       0       2       0           0
publish, recycled                         88       2       1       1       0       2       0           0
publish, read again                       88       2       1       1       0       2       0           0
publish, recycled and read again          88       2       1       1       0       2       0           0
publish, consumed                         88       2       1       1       0       2       0           0
publish, recycled and consumed            88       2       1       1       0       2       0           0
publish, consumed over damage             88       2       1       1       0       2       0           0
publish over a damaged object             65       2       1       1       0       2       0           0
publish refused by an audit               31       2       1       1       0       2       0           0
publish with a view that was removed      90       2       1       1       0       2       0           0
publish to a mirror                      184       4       2       2       0       4       0           0
total                                  1,114      44      22      20       2      42       2           0
44 trials in [TIME]: no violations
";
    // The number of steps of a commit may change, but not the form of the table.
    assert_eq!(without_points(rest), without_points(expected), "{rest}");
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(site.names("dir"), ["link", "mine"]);
    assert_eq!((site.read("dir/mine").as_str(), site.names("").len()), ("mine", 2));
}

/// Replaces the numbers of the first column by `#`.
fn without_points(text: &str) -> String {
    let line = |line: &str| match line
        .get(36..44)
        .filter(|cell| cell.trim().replace(',', "").parse::<u32>().is_ok())
    {
        Some(_) => format!("{}       #{}\n", &line[..36], &line[44..]),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn tells_programs() {
    let site = Site::new();
    let output = site.run("torture . --steps 2 --json --only gc");
    let mut doc = output.is_json("genstore.torture/1");
    let points = doc["scenarios"][0]["points"].as_u64().unwrap();
    assert!(points > 10, "{points}");
    doc["ms"].as_u64().unwrap();
    doc["filesystem"].as_str().unwrap();
    has(&doc["abilities"], json!({"flock": true, "hard_links": true}));
    for varying in ["ms", "filesystem", "abilities"] {
        doc.as_object_mut().unwrap().remove(varying);
    }
    let counts = |doc: &Value| {
        ["killed", "failed", "done"].map(|name| doc[name].as_u64().unwrap()).into_iter().sum::<u64>()
    };
    assert_eq!((counts(&doc["total"]), &doc["total"]["killed"]), (8, &json!(2)));
    let total = doc["total"].take();
    let row = doc["scenarios"][0].take();
    assert_eq!(row["name"], "gc");
    assert_eq!((&total["points"], &total["tried"], &total["old"]), (&row["points"], &json!(8), &json!(8)));
    has(&total, json!({"new": 0, "violations": 0}));
    assert_eq!(
        doc,
        json!({
            "schema": "genstore.torture/1", "ok": true, "steps": 2, "violations": [],
            "kinds": ["kill", "eio", "eio-from", "enospc"], "scenarios": [null], "total": null,
        })
    );
    assert_eq!(site.names(""), [""; 0]);
}

#[test]
fn refuses_what_it_cannot_do() {
    let site = Site::new();
    site.write("file", "");
    let not_found = "error: cannot find absent\n  No such file or directory (os error 2)\n";
    site.run("torture absent").fails(1, not_found);
    let no_folder = "error: cannot make a folder in [DIR]/file\n  Not a directory";
    site.run("torture file").fails(1, no_folder);
    site.run("torture . --steps 0").fails(2, "error: invalid value '0' for '--steps <all|N>'");
    site.run("torture . --kinds kill,burn").fails(2, "error: invalid value 'burn' for '--kinds <LIST>'");
    site.run("torture . --only nothing")
        .fails(2, "error: no scenario has that text in its name\nhint: the scenarios are: ");
    assert_eq!(site.names(""), ["file"]);
}

#[test]
fn nothing_is_tried_in_a_store() {
    let site = Site::published();
    let before = read_tree(&site.path("")).unwrap();
    for dir in ["genstore", "genstore/staging", "genstore/current", "genstore/generations/1/tree/img"] {
        let error = site.run(&format!("torture {dir} --json")).json_error();
        assert_eq!(error["code"], "target-in-store");
        let message = error["message"].as_str().unwrap();
        assert!(site.replace(message).ends_with(" is inside the store [DIR]/genstore"), "{message}");
    }
    assert!(read_tree(&site.path("")).unwrap() == before);
}

#[test]
fn an_interruption_leaves_nothing() {
    let site = Site::new();
    let mut running = site.command("torture . --steps all").spawn();
    assert!(running.line().starts_with("Filesystem "));
    eventually("it works in a folder of its own", || {
        site.names("").iter().any(|name| {
            name.starts_with("genstore-torture-") && site.names(name).iter().any(|name| name == "prepared")
        })
    });
    let status = Command::new("kill").args(["-INT", &running.pid().to_string()]).status();
    assert!(status.unwrap().success());
    let output = running.end(&site);
    assert_eq!((output.status, output.stderr.as_str()), (130, "interrupted\n"));
    assert_eq!(site.names(""), [""; 0]);
}

/// Tries each scenario on a filesystem of its own. Then checks that nothing is tried if the filesystem is
/// read-only.
fn on(kind: &'static str, size_mib: u64) {
    let Some(mut mount) = LoopFs::make(kind, size_mib, &[]) else { return };
    let site = Site::new();
    let dir = mount.path();
    let run = |args: &[&str]| {
        let words = ["torture", dir.to_str().unwrap(), "--json", "--steps", "1"];
        site.run_with(&[&words, args].concat())
    };
    let doc = run(&["--kinds", "kill"]).json("genstore.torture/1");
    assert_eq!(doc["violations"], json!([]));
    assert_eq!((&doc["filesystem"], &doc["total"]["violations"]), (&json!(kind), &json!(0)));
    assert!(doc["total"]["killed"].as_u64() > Some(20), "{doc}");
    let left = genstore_testkit::names(&dir);
    assert!(left.iter().all(|name| name == "lost+found"), "{left:?}");
    mount.unmount();
    mount.mount(&["ro"]).unwrap();
    let error = run(&[]).json_error();
    has(&error, json!({"code": "io", "exit": 1}));
    let cause = error["causes"][0].as_str().unwrap();
    assert!(cause.starts_with("Read-only file system"), "{cause}");
    mount.unmount();
}

#[test]
fn on_ext4() {
    on("ext4", 64);
}

#[test]
fn on_xfs() {
    on("xfs", 320);
}

#[test]
fn on_btrfs() {
    on("btrfs", 128);
}
