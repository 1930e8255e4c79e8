//! `[shared]`: paths that every generation shows by a link.

use crate::prelude::*;

/// Creates a site whose project has this `[shared]` section, and a `dist`.
fn site(shared: &str) -> Site {
    let site = Site::new();
    site.write("genstore.toml", format!("[shared]\n{shared}\n"));
    site.tree("dist", &[("a", "=one"), ("app/b", "=b")]);
    site
}

/// Publishes `dist` with another content of `a`.
fn publish(site: &Site, content: &str) -> Output {
    site.write("dist/a", content);
    site.run("publish dist").ok()
}

fn link(site: &Site, path: &str) -> String {
    fs::read_link(site.path(path)).unwrap().to_string_lossy().into_owned()
}

fn mode(site: &Site, path: &str) -> u32 {
    fs::metadata(site.path(path)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_generation_shows_the_same_place() {
    let site = site(
        "'storage' = { at = 'data/storage', mode = '2770' }\n'app/.env' = { as = 'file', mode = '0600' }",
    );
    publish(&site, "one");
    assert_eq!((mode(&site, "data/storage"), mode(&site, "shared/app/.env")), (0o2770, 0o600));
    assert_eq!(link(&site, "genstore/current/storage"), "../../../places/storage");
    assert_eq!(link(&site, "genstore/current/app/.env"), "../../../../places/app%2f.env");
    assert_eq!(link(&site, "genstore/places/storage"), "../../data/storage/");
    site.write("genstore/current/storage/up.jpg", "up");
    site.write("shared/app/.env", "KEY=1");
    publish(&site, "two");
    site.run("rollback").ok();
    for generation in ["current", "generations/2/tree"] {
        assert_eq!(site.read(&format!("genstore/{generation}/storage/up.jpg")), "up");
        assert_eq!(site.read(&format!("genstore/{generation}/app/.env")), "KEY=1");
    }
    // A moved project keeps its places. Nothing removes or changes what is in them.
    site.run("gc --keep-last 1 --grace 0s").ok();
    site.run("verify --repair").prints("Repaired 1 generation, 2 objects, 4 B: no damage\n");
    assert_eq!((site.read("data/storage/up.jpg"), mode(&site, "shared/app/.env")), ("up".into(), 0o600));
    assert!(site.run("diff @ dist").ok().stdout.contains("\n1 path: 1 changed"));
}

#[test]
fn the_tree_has_the_name_and_not_the_place() {
    let id = |shared: &str| {
        let site = site(shared);
        site.run("publish dist --json").is_json("genstore.publish/1")["tree"].clone()
    };
    let [here, there, other] = ["'s' = {}", "'s' = { at = 'x/y', mode = '0700' }", "'t' = {}"].map(id);
    assert_eq!(here, there);
    assert_ne!(here, other);
}

#[test]
fn a_missing_place_is_made_before_current_moves() {
    let site = site("'s' = {}");
    publish(&site, "one");
    publish(&site, "two");
    for (args, told) in [
        (
            "rollback",
            "the shared path s: the folder [DIR]/shared/s was missing; it was made again, empty\n",
        ),
        (
            "switch 2",
            "the shared path s: the folder [DIR]/shared/s was missing; it was made again, empty\n",
        ),
        ("publish dist", ""),
    ] {
        fs::remove_dir_all(site.path("shared")).unwrap();
        let output = site.run(args).ok();
        assert!(output.stderr.contains(told), "{args}: {}", output.stderr);
        assert!(site.path("genstore/current/s").is_dir(), "{args}");
    }
    // A place that leads elsewhere is left to its owner: a rollback happens all the same.
    fs::remove_dir_all(site.path("shared/s")).unwrap();
    symlink("nowhere", site.path("shared/s")).unwrap();
    let told = "the shared path s: [DIR]/shared/s is a symlink that leads to nothing";
    let output = site.run("switch 1").ok();
    assert!(output.stderr.contains(told), "{}", output.stderr);
    site.run("publish dist").fails(1, &format!("error: {told}\n"));
    let found = site.run("verify --json").is_json("genstore.verify/1");
    let cause = format!("{} is a symlink that leads to nothing", site.path("shared/s").display());
    assert_eq!(found["shared"], json!([{"path": "s", "generations": [1, 2], "cause": cause}]));
    assert_eq!(found["ok"], true);
}

#[test]
fn the_first_release_fills_a_place_once() {
    let site = site("'s' = { seed = true }\n'f' = { as = 'file', seed = true }");
    site.tree("dist", &[("f", "=first"), ("s/run", "!#!"), ("s/d/empty", "/"), ("s/l", ">run")]);
    site.run("publish dist").ok();
    assert_eq!(
        (site.names("shared/s"), site.read("shared/f")),
        (vec!["d".into(), "l".into(), "run".into()], "first".into())
    );
    assert_eq!((mode(&site, "shared/s/run"), link(&site, "shared/s/l")), (0o755, "run".to_owned()));
    assert!(site.has("shared/s/d/empty"));
    site.write("dist/f", "second");
    site.write("dist/s/new", "new");
    assert!(site.run("publish dist").ok().stdout.contains("Unchanged"));
    assert_eq!((site.has("shared/s/new"), site.read("shared/f")), (false, "first".into()));
    // An archive fills it as well.
    fs::remove_dir_all(site.path("shared")).unwrap();
    assert!(
        Command::new("tar")
            .current_dir(site.path("dist"))
            .args(["-cf", "../x.tar", "."])
            .status()
            .unwrap()
            .success()
    );
    site.run("publish --from-tar x.tar --always").ok();
    assert_eq!((site.read("shared/s/new"), site.read("shared/f")), ("new".into(), "second".into()));
}

#[test]
fn entries_at_a_shared_path_are_refused() {
    let hint = "hint: let the build leave these paths out, or exclude them under [publish] in genstore.toml; \
                `seed = true` under [shared] makes them the first content of a new place\n";
    for (shared, entry, told) in [
        ("'s' = {}", ("s/x", "=x"), "s is a shared path, and the input has an entry there"),
        ("'s' = {}", ("s", ">a"), "s is a shared path, and the input has an entry there"),
        ("'s' = { seed = true }", ("s", "=x"), "s is a shared folder, and not a folder in the input"),
        (
            "'s' = { seed = true, as = 'file' }",
            ("s/x", "=x"),
            "s is a shared file, and a folder in the input",
        ),
    ] {
        let site = site(shared);
        site.tree("dist", &[("a", "=one"), entry]);
        let output = site.run("publish dist");
        assert_eq!(output.status, 1, "{shared}");
        assert!(
            output.stderr.contains(told) && output.stderr.ends_with(hint),
            "{shared}: {}",
            output.stderr
        );
        assert!(!site.has("genstore/current") && !site.has("shared"), "{shared}");
    }
    // These say nothing, and are no obstacle: an empty folder, and the link of an earlier generation.
    let site = site("'s' = {}");
    site.tree("dist", &[("a", "=one"), ("s/d", "/")]);
    site.run("publish dist").ok();
    fs::remove_dir_all(site.path("dist/s")).unwrap();
    symlink("../../../places/s", site.path("dist/s")).unwrap();
    assert!(site.run("publish dist").ok().stdout.contains("Unchanged"));
    // Without the section, it is a link out of the tree like any other.
    site.write("genstore.toml", "");
    site.run("publish dist").fails(1, "error: ");
}

#[test]
fn places_that_cannot_be_used_are_refused() {
    let check = |shared: &str, prepare: &dyn Fn(&Site), told: &str| {
        let site = site(shared);
        prepare(&site);
        let output = site.run("publish dist");
        assert_eq!(output.status, if told.contains("genstore.toml:") { 2 } else { 1 }, "{}", output.stderr);
        assert!(output.stderr.starts_with(&format!("error: {told}\n")), "{}", output.stderr);
        assert!(!site.has("genstore/current"), "{shared}");
    };
    let nothing: &dyn Fn(&Site) = &|_| {};
    let file: &dyn Fn(&Site) = &|site| site.write("shared/s", "x");
    let folder: &dyn Fn(&Site) = &|site| fs::create_dir_all(site.path("shared/s")).unwrap();
    check("'s' = {}", file, "the shared path s: [DIR]/shared/s is a file, not a folder");
    check("'s' = { as = 'file' }", folder, "the shared path s: [DIR]/shared/s is a folder, not a file");
    let in_store = "the shared path s: [DIR]/genstore/x lies in the store, or in a view of it";
    check("'s' = { at = 'genstore/x' }", nothing, in_store);
    let into_store: &dyn Fn(&Site) = &|site| {
        site.run("init").ok();
        fs::create_dir(site.path("shared")).unwrap();
        symlink("../genstore/objects", site.path("shared/s")).unwrap();
    };
    let in_store = "the shared path s: [DIR]/genstore/objects lies in the store, or in a view of it";
    check("'s' = {}", into_store, in_store);
    check("'a/x' = {}", nothing, "1 path cannot be kept in a generation");
    check(
        "'s' = { at = '../x' }",
        nothing,
        "[DIR]/genstore.toml:2: not a place in the project: ../x: it contains `..`",
    );
    check(
        "'s' = {}\n's/t' = {}",
        nothing,
        "[DIR]/genstore.toml:1: the shared path s/t lies in the shared path s",
    );
}

#[test]
fn a_place_moves_with_the_commit_only() {
    let site = site("'s' = {}");
    publish(&site, "one");
    site.write("genstore.toml", "[shared]\n's' = { at = 'other' }\n");
    site.write("dist/a", "two");
    site.run("publish dist --expect 7").fails(6, "error: ");
    assert_eq!(link(&site, "genstore/places/s"), "../../shared/s/");
    publish(&site, "three");
    assert_eq!(link(&site, "genstore/places/s"), "../../other/");
}

#[test]
fn files_in_a_generation_are_told_before_they_vanish() {
    let site = site("'s' = {}");
    site.tree("dist", &[("a", "=one"), ("empty", "/")]);
    site.run("publish dist").ok();
    // Later than `current`, also on filesystems that keep coarse times.
    genstore_testkit::settle(&site.path(""));
    site.write("genstore/current/s/fine", "x");
    for path in ["empty/up.jpg", "log/1", "log/2"] {
        site.write(&format!("genstore/current/{path}"), "x");
    }
    let found = "3 files were written into generation 1: empty/up.jpg, log/1, log/2";
    let doctor = site.run("doctor").stdout;
    assert!(doctor.contains(&format!("{found}; keep such paths with [shared]\n")), "{doctor}");
    let told = format!(
        "warning: {found}; they stay in generations/1/tree until gc removes it; keep such paths with [shared]\n"
    );
    site.write("dist/a", "two");
    assert_eq!(site.run("publish dist --no-activate").ok().stderr, "");
    site.write("dist/a", "three");
    assert_eq!(site.run("publish dist").ok().stderr, told);
    site.write("dist/a", "four");
    assert_eq!(site.run("publish dist").ok().stderr, "");
}

#[test]
fn an_export_has_the_place_its_content_or_nothing() {
    let site = site("'d/s' = {}\n'f' = { as = 'file' }");
    publish(&site, "one");
    site.write("shared/d/s/x/y", "up");
    site.write("shared/f", "f");
    fs::create_dir(site.path("out")).unwrap();
    site.run("export @ out/link").ok();
    assert_eq!(
        (link(&site, "out/link/d/s"), link(&site, "out/link/f")),
        ("../../../shared/d/s".into(), "../../shared/f".into())
    );
    assert_eq!(site.read("out/link/d/s/x/y"), "up");
    site.run("export @ out/copy --shared copy").ok();
    fs::remove_dir_all(site.path("shared")).unwrap();
    assert_eq!((site.read("out/copy/d/s/x/y"), site.read("out/copy/f")), ("up".into(), "f".into()));
    site.run("export @ out/leave --shared leave").ok();
    assert_eq!(
        (site.names("out/leave"), site.names("out/leave/d")),
        (vec!["a".into(), "app".into(), "d".into()], vec![])
    );
    fs::remove_dir_all(site.path("genstore/places")).unwrap();
    site.run("export @ out/none").fails(1, "error: the store has no place for the shared path ");
}

#[test]
fn views_show_what_is_at_the_place() {
    let site = site("'d/s' = {}");
    publish(&site, "one");
    site.write("shared/d/s/x", "up");
    for args in ["www", "part --from d", "all --as mirror", "sub/mirror --as mirror --from d --parents"] {
        site.run(&format!("view add {args}")).ok();
    }
    let check = || {
        for path in ["www/d/s/x", "part/s/x", "all/d/s/x", "sub/mirror/s/x"] {
            assert_eq!(site.read(path), "up", "{path}");
        }
    };
    check();
    assert_eq!(publish(&site, "two").stderr, "");
    check();
    site.run("view rm all").ok();
    assert_eq!(site.read("shared/d/s/x"), "up");
}

#[test]
fn links_through_a_shared_path_and_empty_inputs_are_judged_as_before() {
    let site = site("'storage' = {}\n[audit]\nlinks = 'closed'");
    site.tree("dist", &[("a", "=one"), ("public/up", ">../storage/app/public")]);
    site.run("publish dist").ok();
    site.tree("dist", &[]);
    assert_eq!(site.run("publish dist --json").json_error()["code"], "empty-input");
    site.run("build -- true").fails(1, "error: the build failed: it wrote nothing to GENSTORE_OUT\n");
}
