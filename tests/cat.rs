//! `cat`.

use crate::prelude::*;

#[test]
fn prints_the_bytes_of_one_file() {
    let site = Site::published();
    site.run("cat 1 a.txt").prints("one\n");
    site.run("cat @ a.txt").prints("one\ntwo\n");
    site.run("cat @ ./a.txt").prints("one\ntwo\n");
    site.write("dist/bin", b"\xff\0\x1b[31m");
    site.run("publish dist").ok();
    assert_eq!(site.run("cat @ bin").ok().bytes, b"\xff\0\x1b[31m");
}

#[test]
fn tells_programs() {
    let site = Site::published();
    site.write("dist/bin", b"\xff");
    site.run("publish dist").ok();
    let doc = site.run("cat @ a.txt --json").is_json("genstore.cat/1");
    let expected = json!({
        "schema": "genstore.cat/1", "generation": 3, "path": "a.txt", "digest": doc["digest"], "size": 8,
        "text": "one\ntwo\n",
    });
    assert_eq!(doc, expected);
    has(
        &site.run("cat @ bin --json").is_json("genstore.cat/1"),
        json!({"bytes_b64": "/w==", "size": 1, "text": null}),
    );
}

#[test]
fn only_files_have_bytes() {
    let site = Site::published();
    symlink(&site, "dist/link");
    fs::create_dir(site.path("dist/dir")).unwrap();
    site.run("publish dist").ok();
    let hint = "hint: `genstore show --tree` lists the files of a generation\n";
    site.run("cat @ nothing").is(1, "", &format!("error: nothing is not in this generation\n{hint}"));
    site.run("cat @ link").is(1, "", &format!("error: link is not a file\n{hint}"));
    site.run("cat 1 img").is(1, "", &format!("error: img is a directory\n{hint}"));
    site.run("cat @ dir").fails(1, "error: dir is ");
    assert_eq!(site.run("cat @ nothing --json").json_error()["code"], "no-such-file");
    for path in ["/etc/passwd", "../x", "a//b", "."] {
        site.run(&format!("cat @ {path}"))
            .fails(2, &format!("error: not a path in a generation: {path}: "));
    }
    site.run("cat @").fails(2, "error: the following required arguments were not provided:\n  <PATH>\n");
}

fn symlink(site: &Site, name: &str) {
    std::os::unix::fs::symlink("a.txt", site.path(name)).unwrap();
}

#[test]
fn damage_is_told_however_late() {
    let site = Site::published();
    let path = site.path("genstore/current/a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "one\nTWO\n").unwrap();
    let output = site.run("cat @ a.txt").exits(4);
    assert!(
        output
            .stderr
            .starts_with("error: object [ID] is damaged: its hash differs\n  in generation 2 at a.txt\n")
    );
    let output = site.run("cat @ a.txt --json").exits(4);
    assert_eq!(output.json_error()["uses"], json!([{"generation": 2, "path": "a.txt"}]));
}

#[test]
fn an_output_that_goes_away_is_no_failure_a_full_one_is() {
    let site = Site::published();
    site.write("dist/big", vec![b'x'; 1 << 20]);
    site.run("publish dist").ok();
    // The pipe holds less than the file, and is not read to its end.
    let mut running = site.command("cat @ big").spawn();
    assert_eq!(running.pipe_start(2), b"xx");
    let output = running.end_without_reading(&site);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    site.command("cat @ big").stdout_to("/dev/full").run().exits(1).says(
        "error: cannot write to standard output\n  No space left on device (os error 28)\n\
         hint: free some space, or redirect the output\n",
    );
}
