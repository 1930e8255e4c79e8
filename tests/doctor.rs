//! `doctor`: what holds here.

use serde_json::json;

use crate::harness::Site;

#[test]
fn tells_what_holds_and_leaves_nothing() {
    let site = Site::new();
    let before = site.run("doctor").ok();
    assert!(before.stdout.starts_with("No store yet; it would be [DIR]/genstore\n"), "{}", before.stdout);
    assert_eq!(site.names("."), [""; 0]);
    site.tree("dist", &[("img/a", "=1")]);
    site.run("publish dist").ok();
    site.run("view add images --from img").ok();
    site.run("view add mirror --as mirror").ok();
    let output = site.run("doctor").ok();
    for line in [
        "Store [DIR]/genstore\n",
        "ok    file locks           work\n",
        "ok    hard links           work\n",
        "ok    rename exchange      works: `view add --replace` leaves no gap\n",
        "ok    case                 README and readme are two names\n",
        "ok    view [DIR]/images: a link\n      good for programs that resolve it once",
        "      not for watchers that do not see a link retargeted (node --watch,",
        "ok    view [DIR]/mirror: a mirror\n      good for watchers of files (tsx watch, nodemon,",
        "      not for readers that open several files",
    ] {
        assert!(output.stdout.contains(line), "{line} is not in {}", output.stdout);
    }
    assert_eq!(site.names("."), ["dist", "genstore", "images", "mirror"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
}

#[test]
fn tells_programs() {
    let site = Site::published();
    site.run("view add here").ok();
    std::fs::remove_file(site.path("here")).unwrap();
    let doc = site.run("doctor --json").is_json("genstore.doctor/1");
    assert_eq!((&doc["ok"], &doc["views"][0]["ok"]), (&json!(true), &json!(false)));
    assert_eq!(doc["views"][0]["as"], json!("link"));
    let checks = doc["checks"].as_array().unwrap();
    let locks = checks.iter().find(|check| check["name"] == "file locks").unwrap();
    assert_eq!((&locks["standing"], &locks["text"]), (&json!("good"), &json!("work")));
    let inotify = checks.iter().find(|check| check["name"] == "inotify").unwrap();
    assert!(inotify["text"].as_str().unwrap().contains(" watches left"), "{inotify}");
}

#[test]
fn a_project_elsewhere_is_told() {
    let site = Site::new();
    // Tests work in memory where they can; the machine's own disk is another filesystem then.
    let other = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dev =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path).unwrap());
    if dev(other.path()) == dev(&site.path("")) {
        genstore_testkit::skip_on_this_machine("the test's folders are on one filesystem");
        return;
    }
    site.write("genstore.toml", format!("[store]\npath = '{}/store'\n", other.path().display()));
    let output = site.run("doctor").ok();
    let line = "care  same filesystem      [DIR] lies on another one: files are copied, not moved\n";
    assert!(output.stdout.contains(line), "{}", output.stdout);
}
