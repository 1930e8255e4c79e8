//! `verify`.

use crate::prelude::*;

const HINT: &str = "hint: run `genstore verify --repair`, or publish the right bytes again\n";

/// Overwrites a file of the store through the shared inode, like a careless root.
fn spoil(site: &Site, path: &str, bytes: &str) {
    let path = site.path(path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let old = fs::metadata(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(old.modified().unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn says_that_all_is_well() {
    let site = Site::published();
    site.run("verify").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    site.run("verify --quick").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    site.run("verify 1").prints("Verified 1 generation, 4 objects, 16 B: no damage\n");
    site.run("verify --repair").prints("Repaired 2 generations, 6 objects, 28 B: no damage\n");
    let doc = site.run("verify --json").is_json("genstore.verify/1");
    let expected = json!({
        "schema": "genstore.verify/1", "ok": true, "damaged": [], "findings": [], "generations": [], "files": [],
        "checked": {"generations": 2, "objects": 6, "bytes": 28},
    });
    assert_eq!(doc, expected);
    site.run("verify 9").fails(1, "error: no generation is called 9\n");
    for args in ["verify --repair 1", "verify --repair --quick"] {
        site.run(args).fails(2, "error: the argument '--repair' cannot be used with");
    }
}

#[test]
fn names_a_damaged_object_and_all_it_serves() {
    for way in Way::ALL {
        let site = Site::published_in(way);
        spoil(&site, "genstore/current/logo.svg", "<SVG/>");
        let found = "error: object [ID] is damaged: 6 bytes recorded, its hash differs\n\
                     \x20 in generation 1 at img/logo.svg\n\
                     \x20 in generation 2 at logo.svg\n";
        let verified = "Verified 2 generations, 6 objects, 28 B: 1 fault\n";
        site.run("verify").is(4, &format!("{found}{verified}"), HINT);
        // Size and mtime are unchanged.
        site.run("verify --quick").ok();
        let doc = site.run("verify --json").exits(4).json("genstore.verify/1");
        let expected = json!([{
            "digest": doc["damaged"][0]["digest"], "executable": false, "size": 6,
            "cause": "its hash differs",
            "uses": [{"generation": 1, "path": "img/logo.svg"}, {"generation": 2, "path": "logo.svg"}],
        }]);
        has(&doc, json!({"ok": false, "damaged": expected}));
        // No copy has the right bytes, until they are published again.
        let left = "  not repaired: it is missing\nRepaired 2 generations, 6 objects, 28 B: 0 of 1 fault repaired\n";
        let hint = "hint: publish the right bytes again to repair their objects\n";
        site.run("verify --repair").is(4, &format!("{found}{left}"), hint);
        site.publish_in(way, "").ok().stdout_has("  Repaired 1 damaged object or generation\n");
        site.run("verify").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
        assert_eq!(site.names("dist").is_empty(), way.consume, "{way}");
    }
}

#[test]
fn an_object_in_several_generations_takes_one_line() {
    let site = Site::published();
    spoil(&site, "genstore/current/run", "??");
    let text = site.run("verify").stdout;
    assert!(
        text.starts_with("error: object [ID] (executable) is damaged: 2 bytes recorded, its "),
        "{text}"
    );
    assert!(text.contains("\n  in generations 1, 2 at run\n"), "{text}");
}

#[test]
fn names_every_other_fault() {
    let site = Site::published();
    let tree = |path: &str| site.path(format!("genstore/generations/2/tree/{path}"));
    fs::remove_file(tree("new.txt")).unwrap();
    fs::write(tree("stranger\n"), "").unwrap();
    fs::remove_file(tree("run")).unwrap();
    symlink("a.txt", tree("run")).unwrap();
    site.write("genstore/pins/p", "no");
    site.write("genstore/generations/x", "");
    let found = "error: generation 2: new.txt is missing\n\
                 error: generation 2: run is something else\n\
                 error: generation 2: stranger\\n is in no manifest\n\
                 error: [DIR]/genstore/pins/p is damaged: it is cut short\n\
                 error: [DIR]/genstore/generations/x is damaged: it is not a generation's number\n";
    site.run("verify").is(4, &format!("{found}Verified 2 generations, 6 objects, 28 B: 5 faults\n"), HINT);
    let doc = site.run("verify --json").json("genstore.verify/1");
    let findings = json!([
        {"generation": 2, "path": "new.txt", "rule": "missing"},
        {"generation": 2, "path": "run", "rule": "replaced"},
        {"generation": 2, "path_b64": "c3RyYW5nZXIK", "rule": "stranger"},
    ]);
    assert_eq!(doc["findings"], findings);
    assert_eq!(doc["files"][0]["path"], site.path("genstore/pins/p").to_str().unwrap());
    let output = site.run("verify --repair");
    let mended = output.stdout.matches("  mended\n").count();
    assert_eq!((output.status, mended), (3, 4), "{}", output.stdout);
    assert!(
        output.stdout.contains("pins/p is damaged: it is cut short\n  not repaired: moved to quarantine\n")
    );
    assert!(output.stdout.ends_with("28 B: 4 of 5 faults repaired\n"), "{}", output.stdout);
    assert_eq!(
        output.stderr,
        "hint: the store no longer uses files in quarantine: publish, pin, mark or view them again\n"
    );
    site.run("verify").ok();
}

#[test]
fn repairs_from_intact_copies() {
    let site = Site::published();
    fs::remove_file(site.path("genstore/current/a.txt")).unwrap();
    site.run("verify --repair").prints(
        "error: generation 2: a.txt is missing\n  mended\n\
         Repaired 2 generations, 6 objects, 28 B: 1 of 1 fault repaired\n",
    );
    assert_eq!(site.read("genstore/current/a.txt"), "one\ntwo\n");
    let doc = site.run("verify --repair --json").is_json("genstore.verify/1");
    has(&doc, json!({"ok": true, "quarantined": []}));
    assert_eq!(doc["left"], json!({"damaged": [], "findings": [], "generations": [], "files": []}));
}

#[test]
fn a_damaged_manifest_is_made_anew() {
    let site = Site::published();
    spoil(&site, "genstore/generations/1/manifest", "no");
    let output = site.run("verify").exits(4);
    assert!(
        output.stdout.starts_with("error: generation 1 is damaged: its manifest: shorter than its frame\n")
    );
    let doc = site.run("verify --json").json("genstore.verify/1");
    assert_eq!(doc["generations"][0]["generation"], 1);
    site.run("verify --repair").prints(
        "error: generation 1 is damaged: its manifest: shorter than its frame\n  mended\n\
         Repaired 2 generations, 4 objects, 20 B: 1 of 1 fault repaired\n",
    );
    site.run("verify").ok();
}

#[test]
fn a_generation_that_nothing_can_mend_goes_to_quarantine() {
    let site = Site::published();
    spoil(&site, "genstore/generations/1/manifest", "no");
    fs::remove_file(site.path("genstore/generations/1/tree/old.txt")).unwrap();
    site.run("verify --repair").is(
        3,
        "error: generation 1 is damaged: its manifest: shorter than its frame\n\
         \x20 not repaired: moved to quarantine\n\
         Repaired 2 generations, 4 objects, 20 B: 0 of 1 fault repaired\n",
        "hint: the store no longer uses files in quarantine: publish, pin, mark or view them again\n",
    );
    site.run("verify").ok();
    assert_eq!(site.names("genstore/generations"), ["2"]);
}

#[test]
fn names_what_a_copy_lost_and_gives_it_back_in_one_run() {
    let site = Site::published();
    for folder in ["pins", "marks", "staging", "suspects", "quarantine"] {
        fs::remove_dir(site.path(format!("genstore/{folder}"))).unwrap();
    }
    fs::remove_file(site.path("genstore/current")).unwrap();
    fs::remove_dir_all(site.path("genstore/objects")).unwrap();
    let lost =
        "error: [DIR]/genstore/current is damaged: it is missing, and generation 2 was current last\n";
    let output = site.run("verify");
    assert_eq!((output.status, output.stderr.as_str()), (4, HINT));
    assert!(output.stdout.contains(lost), "{}", output.stdout);
    assert!(output.stdout.contains("error: [DIR]/genstore/objects is damaged: it is missing\n"));
    assert!(output.stdout.contains("error: [DIR]/genstore/pins is damaged: it is missing\n"));
    assert!(!site.has("genstore/pins"), "looking makes nothing");
    let output = site.run("verify --repair").ok();
    assert!(output.stdout.contains(&format!("{lost}  mended\n")), "{}", output.stdout);
    assert!(output.stdout.ends_with("28 B: 13 of 13 faults repaired\n"), "{}", output.stdout);
    site.run("verify").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    site.run("current").prints("2\n");
}

#[test]
fn notes_files_that_could_be_links() {
    let site = Site::published();
    let path = site.path("genstore/generations/1/tree/run");
    let copy = site.path("copy");
    genstore_testkit::copy_exactly(&path, &copy);
    fs::rename(&copy, &path).unwrap();
    site.run("verify").is(
        0,
        "Verified 2 generations, 6 objects, 28 B: no damage\n",
        "1 file could share inodes with other files, to save 2 B\nhint: run `genstore verify --relink` to link them\n",
    );
    let doc = site.run("verify --json").json("genstore.verify/1");
    has(&doc, json!({"ok": true, "unshared": {"files": 1, "bytes": 2}}));
    let doc = site.run("du --json").is_json("genstore.du/1");
    assert_eq!((&doc["store_bytes"], &doc["generations"][1]["exclusive_bytes"]), (&json!(30), &json!(10)));
    site.run("verify --repair").prints("Repaired 2 generations, 6 objects, 28 B: no damage\n");
    assert_eq!(site.run("verify --json").is_json("genstore.verify/1")["unshared"], json!(null));
    assert_eq!(site.run("du --json").is_json("genstore.du/1")["store_bytes"], 28);
}

#[test]
fn a_copy_without_links_is_linked_again() {
    let site = Site::published();
    let inodes = |site: &Site| {
        ["1", "2"]
            .map(|id| site.path(format!("genstore/generations/{id}/tree/run")).metadata().unwrap().ino())
    };
    let copy = |site: &Site| {
        fs::rename(site.path("genstore"), site.path("old")).unwrap();
        let done = Command::new("cp").args(["-r", "old", "genstore"]).current_dir(site.path("")).status();
        assert!(done.unwrap().success());
        fs::remove_dir_all(site.path("old")).unwrap();
    };
    site.run("verify --relink").prints("Relinked 2 generations, 6 objects, 28 B: nothing to link\n");
    copy(&site);
    assert_ne!(inodes(&site)[0], inodes(&site)[1]);
    assert_eq!(site.run("verify").status, 4);
    let done = site.run("verify --relink").ok();
    assert!(done.stdout.starts_with("Relinked 2 generations, 6 objects, 28 B: "), "{}", done.stdout);
    assert!(done.stdout.contains(" freed\n"), "{}", done.stdout);
    assert_eq!(inodes(&site)[0], inodes(&site)[1]);
    site.run("verify").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    assert_eq!(site.run("du --json").is_json("genstore.du/1")["store_bytes"], 28);
    // Without the objects, too; and other damage is reported and left where it is.
    copy(&site);
    fs::remove_dir_all(site.path("genstore/objects")).unwrap();
    fs::write(site.path("genstore/generations/1/tree/stranger"), "mine").unwrap();
    let output = site.run("verify --relink --json");
    assert_eq!(output.status, 4, "{}", output.stderr);
    let doc = output.json("genstore.verify/1");
    assert_eq!(doc["relinked"]["adopted"], 6, "{doc}");
    has(&doc["left"]["findings"][0], json!({"path": "stranger", "rule": "stranger"}));
    assert_eq!(site.read("genstore/generations/1/tree/stranger"), "mine");
    assert_eq!(site.names("genstore/quarantine"), [""; 0]);
    for args in ["verify --relink 1", "verify --relink --repair"] {
        assert_eq!(site.run(args).status, 2, "{args}");
    }
}
