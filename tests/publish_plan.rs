//! `publish --plan`.

use genstore::{Plan, Source};

use crate::prelude::*;

const PLAN: &str = r#"
{"path":"css/site.css","mode":"0644","source":"build/site.css"}
{"path":"bin/run","source":"build/run"}
{"path":"bin/plain","mode":"0644","source":"build/run"}

{"path":"page","text":"<h1>grüße</h1>\n"}
{"path":"raw","mode":"0700","bytes":"AP8K"}
{"path":"latest","symlink":"css/site.css"}
{"path":"empty","dir":true}
{"path_b64":"/w==","symlink_b64":"/g=="}
{"path":"aliased","source_b64":"YnVpbGQvYWxpYXM="}
"#;

fn site() -> Site {
    let site = Site::new();
    site.tree("build", &[("site.css", "=body {}\n"), ("run", "!#!/bin/sh\n")]);
    symlink("site.css", site.path("build/alias")).unwrap();
    site
}

#[test]
fn four_ways_in_give_one_tree() {
    let site = site();
    site.write("plan.ndjson", PLAN);
    let published = site.run("publish --plan plan.ndjson --json").is_json("genstore.publish/1");
    has(&published, json!({"files": 6, "added": 9}));
    let current = |path: &str| site.path("genstore/current").join(path);
    assert_eq!(site.read("genstore/current/page"), "<h1>grüße</h1>\n");
    assert_eq!(fs::read(current("raw")).unwrap(), b"\0\xff\n");
    let time = |path: PathBuf| path.metadata().unwrap().modified().unwrap();
    assert_eq!(time(current("bin/run")), time(site.path("build/run")));
    // The same content from stdin, from a directory, from an archive, and from memory.
    let tree = &published["tree"];
    let again = site.command("publish --plan - --json").run_on(PLAN.as_bytes());
    assert_eq!(again.is_json("genstore.publish/1")["tree"], *tree);
    let copy = site.path("copy");
    genstore_testkit::copy_exactly(&current("."), &copy);
    let dir = site.run("publish copy --json").is_json("genstore.publish/1");
    assert_eq!((&dir["tree"], &dir["changed"]), (tree, &json!(false)));
    let tar = Command::new("tar").args(["cf", "-", "-C"]).arg(&copy).arg(".").output().unwrap();
    let tar = site.command("publish --from-tar - --json").run_on(&tar.stdout);
    let tar = tar.is_json("genstore.publish/1");
    assert_eq!((&tar["tree"], &tar["changed"]), (tree, &json!(false)));
    let roots = "publish --json --root css/site.css=copy/css/site.css --root bin=copy/bin --root page=copy/page \
                 --root raw=copy/raw --root empty=copy/empty --root aliased=copy/aliased";
    let roots = site.run(roots).is_json("genstore.publish/1");
    // Only symlinks cannot be roots.
    has(&roots, json!({"removed": 2, "added": 0, "modified": 0}));
    let memory = Plan::builder()
        .file("css/site.css", Source::File(site.path("build/site.css")))
        .executable("bin/run", Source::Bytes(b"#!/bin/sh\n".to_vec()))
        .file("bin/plain", Source::Bytes(b"#!/bin/sh\n".to_vec()))
        .file("page", Source::Bytes("<h1>grüße</h1>\n".into()))
        .executable("raw", Source::Reader(Box::new(&b"\0\xff\n"[..])))
        .file("aliased", Source::Bytes(b"body {}\n".to_vec()))
        .symlink("latest", "css/site.css")
        .symlink(*b"\xff", *b"\xfe")
        .dir("empty")
        .build()
        .unwrap();
    let options = genstore::Options::new(std::sync::Arc::new(|| genstore_testkit::at(1)));
    let store = genstore::Store::open(&site.path("genstore"), options).unwrap();
    assert_eq!(store.preview(&memory).unwrap().id().to_string(), tree.as_str().unwrap());
}

#[test]
fn a_dry_run_writes_nothing() {
    let site = site();
    site.command("publish --plan - -n").run_on(b"{\"path\":\"a\",\"text\":\"1\"}").is(
        0,
        "   Scanned 1 file, 1 B in [TIME]\n\
         nothing -> standard input [ID]\n\
         A  a  +1 B\n\
         1 path: 1 added; +1 B\n\
         Would publish it; nothing was written\n",
        "",
    );
    assert_eq!(site.names(""), ["build"]);
}

#[test]
fn all_bad_lines_are_named_together() {
    let site = site();
    fs::create_dir(site.path("build/folder")).unwrap();
    let plan = concat!(
        r#"{"path":"a","text":"1"}"#,
        "\n",
        r#"{"pth":"b","text":"1"}"#,
        "\n",
        "\n",
        r#"{"path":"a","source":"build/run"}"#,
        "\n",
        r#"{"path":"a/b","dir":true}"#,
        "\n",
        r#"{"path":"c","bytes":"?"}"#,
        "\n",
        r#"{"path":"d","source":"build/none","mode":"4755"}"#,
        "\n",
        r#"{"path":"e","source":"build/folder"}"#,
        "\n",
        r#"{"path":"../f","text":"","symlink":"x"}"#,
        "\n",
        r#"{"path":"g","symlink":"/etc"}"#,
        "\n",
        r#"{"path_b64":"/w==","text":"1"#,
    );
    let lines = [
        (2, None, "unknown key `pth`, did you mean `path`?"),
        (4, Some("a"), "stands twice (also on line 1)"),
        (5, Some("a/b"), "lies below something that is not a directory"),
        (6, Some("c"), "`bytes` is not base64"),
        (7, Some("d"), "the mode `4755` has bits other than permissions, which cannot be kept"),
        (7, Some("d"), "cannot come from build/none: it does not exist"),
        (8, Some("e"), "cannot come from build/folder: it is not a file"),
        (9, Some("../f"), "the path contains `..`"),
        (9, Some("../f"), "has more than one of `source`, `bytes`, `text`, `symlink`, `dir`"),
        (10, Some("g"), "is an absolute symlink (to /etc)"),
        (11, None, "ends in the middle of an entry"),
    ];
    let told: String = lines
        .iter()
        .map(|(line, path, what)| {
            let path = path.map(|path| format!("{path} ")).unwrap_or_default();
            format!("  line {line}: {path}{what}\n")
        })
        .collect();
    site.write("bad.ndjson", plan);
    site.run("publish --plan bad.ndjson").is(
        1,
        "",
        &format!(
            "error: cannot publish bad.ndjson: 11 problems\n{told}\
             hint: correct the plan, or allow such links with `symlinks = \"any\"` under [publish] \
             in genstore.toml\n"
        ),
    );
    let error = site.command("publish --plan - --json -n").run_on(plan.as_bytes()).json_error();
    let problems: Vec<_> = lines
        .iter()
        .map(|(line, path, what)| match path {
            Some(path) => json!({"line": line, "path": path, "what": what}),
            None => json!({"line": line, "what": what}),
        })
        .collect();
    has(&error, json!({"code": "bad-plan", "exit": 1}));
    assert_eq!(error["problems"], json!(problems));
    assert!(!site.has("genstore"));
    site.run("publish --plan none.ndjson").exits(1).says(
        "error: cannot open none.ndjson\n\
         \x20 No such file or directory (os error 2)\n\
         hint: check the spelling; the parent directory must exist\n",
    );
    site.run("publish --plan build").fails(1, "error: cannot read build\n  Is a directory");
}

#[test]
fn what_may_not_be_read_is_a_problem_of_its_line() {
    needs!(is_root());
    let site = site();
    fs::set_permissions(site.path("build/run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    site.write("plan", "{\"path\":\"run\",\"source\":\"build/run\"}\n");
    // The user nobody. The program may be in a folder closed to nobody, so a copy is run.
    fs::copy(env!("CARGO_BIN_EXE_genstore"), site.path("genstore-program")).unwrap();
    for (args, told) in [
        (["publish", "--plan", "plan"], "  line 1: run cannot come from build/run: Permission denied"),
        (["publish", "--root", "x=build/run"], "  x cannot be a root: build/run: Permission denied"),
    ] {
        let mut command = Command::new(site.path("genstore-program"));
        let output =
            command.uid(65_534).env_clear().args(args).current_dir(site.path("")).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && stderr.contains(told), "{stderr}");
    }
    assert!(!site.has("genstore"));
}
