//! The `[audit]` table: the refusals, their messages, and the kept trees.

use crate::prelude::*;

fn site(audit: &str) -> Site {
    let site =
        Site::of(&[("index.html", "=<h1>"), ("app.js", "=12345"), ("app.js.map", "={}"), ("l", ">app.js")]);
    site.write("genstore.toml", format!("[audit]\n{audit}\n"));
    site
}

#[test]
fn every_finding_is_told() {
    let site = site(
        "max_file = 4\nmax_total = '10 B'\nrequire = ['*.css', 'index.html']\nforbid = ['**/*.map']\nkeep_failed = 2",
    );
    site.write("dist/index.html", "");
    symlink("nowhere", site.path("dist/dangling")).unwrap();
    // 5 + 2 bytes; the page is empty.
    site.run("publish dist").is(
        5,
        "   Created the store [DIR]/genstore\n",
        "error: the audit refused the output: 5 findings\n  \
         require: no file matches *.css\n  \
         max_file: app.js has 5 bytes, more than 4\n  \
         forbid: app.js.map matches **/*.map\n  \
         links: dangling leads to nothing (to nowhere)\n  \
         require: index.html is required by index.html and empty\n\
         hint: readers see no change; the refused output is kept in [DIR]/genstore/failed/1\n",
    );
    assert!(!site.has("genstore/current"));
    assert_eq!(site.read("genstore/failed/1/tree/app.js"), "12345");
    let error = site.run("publish dist --json").json_error();
    has(&error, json!({"code": "audit-refused", "exit": 5}));
    assert_eq!(
        error["findings"][1],
        json!({"rule": "max_file", "severity": "error", "path": "app.js", "message": "has 5 bytes, more than 4"})
    );
    assert_eq!(error["failed"]["number"], 2);
    assert_eq!(site.run("publish dist").status, 5);
    assert_eq!(site.names("genstore/failed"), ["2", "3"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn commands_see_every_file_and_tell_what_they_find() {
    let site = site("");
    let words = r#"{"rule":"words","path":"index.html","message":"is short","severity":"warning"}"#;
    site.write(
        "genstore.toml",
        format!(
            "[audit]\nrun = ['cat \"$GENSTORE_STAGED\"/l', \"\"\"cat > $GENSTORE_FINDINGS <<E\n{words}\nE\n\"\"\"]\n"
        ),
    );
    site.run("publish dist").is(
        0,
        "   Created the store [DIR]/genstore\n   Scanned 3 files, 11 B in [TIME]\n    Stored 3 new objects, 11 B (0 shared)\n \
         Published generation 1 [ID] (the first): +4 ~0 -0 in [TIME]\n",
        "12345warning: words: index.html is short\n",
    );
    site.write("dist/app.js", "2");
    let doc = site.run("publish dist --json").json("genstore.publish/1");
    assert_eq!(
        doc["findings"],
        json!([{"rule": "words", "severity": "warning", "path": "index.html", "message": "is short"}])
    );
    assert!(doc["ms"]["audit"].is_u64());
}

#[test]
fn a_command_that_fails_refuses() {
    let site = site("run = ['exit 3', ['sh', '-c', 'kill -9 $$'], 'test -e \"$GENSTORE_STAGED/app.js\"']");
    site.run("publish dist").is(
        5,
        "   Created the store [DIR]/genstore\n",
        "error: the audit refused the output: 2 findings\n  run: exit 3 exited with 3\n  \
         run: sh -c kill -9 $$ was killed by signal 9\n\
         hint: readers see no change; the refused output is kept in [DIR]/genstore/failed/1\n",
    );
    site.write("genstore.toml", "[audit]\nrun = ['no-such-checker']\n");
    let output = site.run("publish dist");
    assert!(
        output.stderr.contains(
            "run: no-such-checker exited with 127
"
        ),
        "{}",
        output.stderr
    );
    site.write("genstore.toml", "[audit]\nrun = [['no-such-checker']]\n");
    site.run("publish dist").fails(127, "error: cannot run no-such-checker");
    site.write("genstore.toml", "[audit]\nrun = ['sleep 1000']\ntimeout = '50ms'\n");
    site.run("publish dist")
        .fails(5, "error: the audit refused the output: 1 finding\n  run: sleep 1000 timed out");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn a_command_that_changes_the_stage_is_caught() {
    let site = site("run = ['echo more >> \"$GENSTORE_STAGED/app.js\"; touch \"$GENSTORE_STAGED/new\"']");
    site.run("publish dist").is(
        5,
        "   Created the store [DIR]/genstore\n",
        "error: the audit refused the output: 2 findings\n  \
         unchanged-by-audit: app.js was written to by an audit\n  \
         unchanged-by-audit: new was added by an audit\n\
         hint: readers see no change; the refused output is kept in [DIR]/genstore/failed/1\n",
    );
    assert!(!site.has("genstore/current"));
}

#[test]
fn growth_is_measured_against_the_last_good_generation() {
    let site = site("max_growth = '100%'\nmin_files_ratio = 0.5");
    site.run("publish dist").ok();
    site.write("dist/app.js", "x".repeat(20));
    site.run("publish dist")
        .fails(5, "error: the audit refused the output: 1 finding\n  max_growth: all files have 26");
    site.tree("dist", &[("index.html", "=<h1>")]);
    let few = "min_files_ratio: 1 files are fewer than 0.5 of the 3 of generation 1\n";
    site.run("publish dist").fails(5, "error:").stderr_has(few);
    // Content that is already published is not audited again.
    site.tree(
        "dist",
        &[("index.html", "=<h1>"), ("app.js", "=12345"), ("app.js.map", "={}"), ("l", ">app.js")],
    );
    site.write("genstore.toml", "[audit]\nmax_total = 1\n");
    site.run("publish dist").ok().stdout_has("Unchanged: generation 1");
}

#[test]
fn builds_and_stages_are_audited_too() {
    let site = site("forbid = ['**/*.map']\nlinks = 'any'");
    let script = "cp -r dist/. \"$GENSTORE_OUT\"";
    site.command("build").args(&["--", "sh", "-c", script]).run().exits(5);
    assert_eq!(site.read("genstore/failed/1/build.log"), "");
    let doc = site.run("begin --ttl 1h --json").is_json("genstore.begin/1");
    let (id, path) = (doc["stage"].as_str().unwrap(), doc["path"].as_str().unwrap());
    fs::write(Path::new(path).join("a.map"), "{}").unwrap();
    site.run(&format!("commit {id}"))
        .fails(5, "error: the audit refused the output: 1 finding\n  forbid: a.map matches");
    let again = site.run(&format!("commit {id}")).fails(1, "error: the stage");
    assert!(again.stderr.contains("was refused: it is kept as failed/2\nhint: read report.json there"));
}

#[test]
fn rules_that_make_no_sense_are_named() {
    let site = site("");
    let check = |audit: &str, message: &str| {
        site.write("genstore.toml", format!("[audit]\n{audit}\n"));
        site.run("publish dist").fails(2, &format!("error: [DIR]/genstore.toml:2: {message}"));
    };
    check("max_fil = 1", "unknown key `max_fil`\nhint: did you mean `max_file`?");
    check("max_file = 'big'", "not a size: big");
    check("max_growth = 'x%'", "not a percentage");
    check("min_files_ratio = 2.0", "2 is not between 0 and 1");
    check("require = ['a[']", "error parsing glob 'a['");
    check("links = 'some'", "`links`: it is `some`, and must be `closed` or `any`");
}

#[test]
fn a_dry_run_is_judged_too() {
    let site = site("forbid = ['**/*.map']");
    site.run("publish dist -n").is(
        5,
        "   Scanned 3 files, 11 B in [TIME]\nnothing -> dist [ID]\nA  app.js               +5 B\nA  app.js.map           +2 B\n\
         A  index.html           +4 B\nA  l           symlink\n4 paths: 4 added; +11 B\n",
        "error: the audit refused the output: 1 finding\n  forbid: app.js.map matches **/*.map\n\
         hint: readers see no change\n",
    );
    assert!(!site.has("genstore"));
}
