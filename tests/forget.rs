//! `forget`: a leaked file goes out of every generation.

use crate::prelude::*;

const SECRET: &str = "password=hunter2";

/// Creates a site with four generations. 1 and 2 have the secret at `.env`, 3 at `copy`, 4 nowhere; 3 is current.
fn site() -> Site {
    let site = Site::new();
    for (number, tree) in [
        (1, vec![(".env", "=password=hunter2"), ("a", "=one"), ("d/x", "=x")]),
        (2, vec![(".env", "=password=hunter2"), ("a", "=two"), ("d/x", "=x")]),
        (3, vec![("copy", "!password=hunter2"), ("a", "=three"), ("d/x", "=x")]),
        (4, vec![("a", "=four"), ("d/x", "=x")]),
    ] {
        site.tree("dist", &tree);
        let more = if number == 4 { "--no-activate" } else { "" };
        site.run(&format!("publish dist -m {number} --fact n={number} {more}")).ok();
    }
    site.run("pin 1 first -m kept").ok();
    site.run("mark 2 bad -m broken").ok();
    site
}

fn has_secret(site: &Site) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(16).any(|w| w == SECRET.as_bytes()))
    };
    let mut todo = vec![site.path("genstore")];
    let mut found = vec![];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap() {
                meta if meta.is_dir() => todo.push(path),
                meta if meta.is_file() && holds(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn a_leaked_file_goes_out_of_every_generation() {
    let site = site();
    let before = has_secret(&site).len();
    assert!(before >= 3);
    let text = "replace  1  without .env\nreplace  2  without .env\nreplace  3 (current)  without copy\n\
                Would replace 3 generations\n";
    site.run("forget .env -n").prints(text);
    assert_eq!(has_secret(&site).len(), before);
    let done = site.run("forget .env --json").is_json("genstore.forget/1");
    has(&done["generations"][2], json!({"generation": 3, "current": true, "replaced_by": 7}));
    assert_eq!((&done["objects"], &done["left"]), (&2.into(), &json!([])), "{done}");
    assert!(has_secret(&site).is_empty());
    // Notes, facts, marks and pins went along, and the rest of each tree.
    let list = site.run("list --json").is_json("genstore.list/1");
    let one = |generation: u64| {
        let all = list["generations"].as_array().unwrap();
        all.iter().find(|one| one["generation"] == generation).unwrap().clone()
    };
    assert_eq!(list["generations"].as_array().unwrap().len(), 4);
    has(&one(5), json!({"note": "1", "facts": {"n": "1", "forget.from": "1"}, "mark": "good"}));
    has(&one(5)["pins"][0], json!({"name": "first", "why": "kept"}));
    has(&one(6), json!({"note": "2", "mark": "bad", "mark_why": "broken"}));
    has(&one(7), json!({"note": "3", "current": true}));
    assert_eq!(
        (site.read("genstore/current/a"), site.names("genstore/current")),
        ("three".into(), vec!["a".into(), "d".into()])
    );
    site.run("verify").prints("Verified 4 generations, 5 objects, 16 B: no damage\n");
}

#[test]
fn it_does_not_come_back() {
    let site = site();
    site.run("export 1 --archive old.tar").ok();
    let remote = format!("file://{}", site.path("remote").display());
    site.run(&format!("push 1 {remote}")).ok();
    site.run("forget .env").ok();
    let refused = |args: &str| {
        let output = site.run(args);
        assert_eq!(output.status, 1, "{args}: {}", output.stderr);
        assert!(output.stderr.contains("must forget"), "{args}: {}", output.stderr);
        assert!(has_secret(&site).is_empty(), "{args}");
    };
    site.tree("dist", &[("other", "=password=hunter2")]);
    refused("publish dist");
    refused("publish dist -n");
    site.run("publish --base @ --root x=dist").fails(1, "error: ");
    refused("import old.tar");
    site.write("plan", "{\"path\":\"p\",\"text\":\"password=hunter2\"}\n");
    refused("publish --plan plan");
    let digest = site.run("forget .env --json");
    assert_eq!(digest.json_error()["code"], "no-such-file");
    // Until it is allowed.
    let digest = blake3_of(&site);
    site.run(&format!("forget --allow {digest}")).prints("Allowed 1 content again\n");
    site.run("publish dist").ok();
    site.run("forget --allow other").fails(2, "error: ");
}

/// Returns the digest of the secret, by its tombstone.
fn blake3_of(site: &Site) -> String {
    let names = site.names("genstore/forgotten");
    assert_eq!(names.len(), 1);
    names[0].clone()
}

#[test]
fn a_reader_keeps_it_and_is_named() {
    let site = site();
    let mut reader = site.command("exec 1 -- sh -c").args(&["echo ready; read end"]).spawn();
    assert_eq!(reader.line(), "ready");
    let output = site.run("forget .env");
    assert_eq!(output.status, 3, "{}", output.stderr);
    assert!(output.stderr.contains("still in generation 1: "), "{}", output.stderr);
    let verified = site.run("verify").ok();
    assert!(verified.stderr.contains("forgotten is still in generation 1\n"), "{}", verified.stderr);
    let push = site.run(&format!("push 1 file://{}", site.path("remote").display()));
    assert!(push.stderr.contains("must forget"), "{}", push.stderr);
    reader.close_stdin();
    reader.end(&site);
    // The same again does the rest, and makes no second replacement.
    site.run(&format!("forget {}", blake3_of(&site))).ok();
    assert!(has_secret(&site).is_empty());
    assert_eq!(site.names("genstore/generations"), ["4", "5", "6", "7"]);
}

#[test]
fn refused_builds_and_quarantine_are_cleaned() {
    let site = site();
    site.write("genstore.toml", "[audit]\nforbid = [\"bad\"]\n");
    site.tree("dist", &[("bad", "=password=hunter2"), ("good", "=good")]);
    assert_eq!(site.run("publish dist").status, 5);
    let done = site.run("forget .env --json").is_json("genstore.forget/1");
    assert_eq!(done["copies"], 1, "{done}");
    assert!(has_secret(&site).is_empty());
}
