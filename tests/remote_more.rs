//! `remote verify`, `publish --push`, and REFs of remotes.

use crate::prelude::*;

fn site() -> Site {
    let site = Site::published();
    let url = format!("file://{}", site.path("remote").display());
    site.write("genstore.toml", format!("[remote.there]\nurl = \"{url}\"\nretain = 1\n"));
    site
}

fn run(site: &Site, machine: &str, args: &str) -> Output {
    site.command(args).env("XDG_STATE_HOME", site.path(machine)).run()
}

/// Lists the files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn damage_is_named_and_repaired_from_a_store_with_the_tree() {
    let site = site();
    run(&site, "a", "push 1 there").ok();
    run(&site, "a", "push 2 there").ok();
    run(&site, "a", "push 1 there old").ok();
    run(&site, "a", "remote verify there")
        .stdout_ends("Verified 3 generations, 8 objects, 36 B: all intact\n");
    let all = files(&site.path("remote/bundle"));
    assert_eq!(all.len(), 3);
    for file in &all {
        let right = fs::read(file).unwrap();
        let mut wrong = right.clone();
        *wrong.last_mut().unwrap() ^= 1;
        fs::write(file, &wrong).unwrap();
        let output = run(&site, "a", "remote verify there --json").exits(4);
        let found = output.json("genstore.remote-verify/1");
        assert_eq!(found["ok"], false);
        assert!(found["findings"][0]["key"].as_str().unwrap().starts_with("bundle/"), "{found}");
        fs::remove_file(file).unwrap();
        run(&site, "a", "remote verify there").exits(4).stdout_has("it is missing");
        fs::write(file, &right).unwrap();
    }
    // A machine without the trees cannot repair; this one can, and followers go on.
    run(&site, "b", "--store other init").ok();
    all.iter().for_each(|file| fs::remove_file(file).unwrap());
    run(&site, "b", "--store other remote verify there --repair").exits(4).stdout_has("cannot be repaired");
    let repaired = run(&site, "a", "remote verify there --repair").ok();
    repaired.stdout_has("Pushed main again (record ");
    run(&site, "b", "--store other pull there --activate").ok();
    assert_eq!(site.read("other/current/a.txt"), "one\ntwo\n");
    run(&site, "b", "--store other pull there old --activate").ok();
    assert_eq!(site.read("other/current/a.txt"), "one\n");
    run(&site, "b", "--store other verify").ok();
}

#[test]
fn a_publish_pushes_and_a_failed_push_takes_nothing_back() {
    let site = site();
    site.tree("dist", &[("a.txt", "=three")]);
    let published = run(&site, "a", "publish dist --push there/beta").ok();
    published.stdout_ends("Pushed generation 3 [ID] to there beta (record 1): 1 object, 5 B\n");
    site.tree("dist", &[("a.txt", "=four")]);
    let document = run(&site, "a", "publish dist --push there --json").is_json("genstore.publish/1");
    assert_eq!(
        (&document["pushed"]["record"], &document["pushed"]["channel"]),
        (&2.into(), &"main".into())
    );
    site.tree("dist", &[("a.txt", "=five")]);
    let failed = run(&site, "a", "publish dist --push nowhere").exits(1);
    assert!(failed.stdout.contains("Published generation 5"), "{}", failed.stdout);
    failed.stderr_has("there is no remote nowhere");
    assert_eq!(site.read("genstore/current/a.txt"), "five");
}

#[test]
fn a_channel_is_a_ref_if_its_tree_is_here() {
    let site = site();
    run(&site, "a", "push 1 there old").ok();
    run(&site, "a", "push there").ok();
    assert_eq!(run(&site, "a", "cat there/old a.txt").ok().stdout, "one\n");
    run(&site, "a", "show there/main").stdout_has("current");
    run(&site, "a", "diff there/old there/main --name-status").stdout_has("a.txt");
    run(&site, "b", "--store other init").ok();
    let unknown = run(&site, "b", "--store other show there/main").exits(1);
    assert!(unknown.stderr.contains("hint: `genstore pull there main` fetches it"), "{}", unknown.stderr);
    run(&site, "a", "cat there/olf a.txt").exits(1).stderr_has("it has main, old");
    run(&site, "a", "cat nowhere/old a.txt").exits(1);
    // `retain` is what gc keeps of each channel.
    run(&site, "a", "push 1 there").ok();
    let kept = run(&site, "a", "remote gc there -n").ok().stdout;
    assert!(kept.contains("remove  2  main  older than last 1"), "{kept}");
}

#[test]
fn shared_links_arrive_and_their_places_are_made_here() {
    let site = site();
    let project = site.read("genstore.toml") + "[shared]\n'storage' = { at = 'data' }\n";
    site.write("genstore.toml", &project);
    site.tree("dist", &[("a.txt", "=three")]);
    site.run("publish dist").ok();
    site.write("genstore/current/storage/up", "on the first machine");
    run(&site, "a", "push there").ok();
    let tree = run(&site, "a", "show @ --json").json("genstore.show/1")["tree"].clone();
    // A host with the same section in its project makes a place of its own.
    let host = Site::new();
    host.write("genstore.toml", &project);
    let pull = |args: &str| host.command(args).env("XDG_STATE_HOME", host.path("state")).run();
    let pulled = pull("pull there --activate --json").json("genstore.pull/1");
    assert_eq!(pulled["tree"], tree);
    assert_eq!(host.names("data"), Vec::<String>::new());
    host.write("genstore/current/storage/up", "on the second machine");
    assert_eq!(host.read("data/up"), "on the second machine");
    assert_eq!(site.read("data/up"), "on the first machine");
    pull("verify").ok();
    // A host without the section refuses nothing and makes no place; what it gets is the same tree.
    let other = Site::new();
    let url = format!("file://{}", site.path("remote").display());
    let bare =
        other.command(&format!("pull {url} --activate --json")).env("XDG_STATE_HOME", other.path("s"));
    let bare = bare.run();
    assert!(bare.status != 0 || bare.json("genstore.pull/1")["tree"] == tree, "{}", bare.stderr);
}
