//! The reach of a project: the store that its file applies to, the allowed places of its views, and that
//! stores of other projects are not used.

use crate::prelude::*;

/// Creates a project with a store of three generations, and another store with as many.
fn two_stores() -> Site {
    let site = Site::new();
    site.tree("p/dist", &[("a", "=1")]);
    for store in ["p/genstore", "elsewhere"] {
        for _ in 0..3 {
            site.run(&format!("publish p/dist --always -q --store {store}")).ok();
        }
    }
    site
}

#[test]
fn a_file_speaks_for_its_own_store_alone() {
    let site = two_stores();
    let toml = "[retain]\nkeep_last = 1\ngrace = '0s'\n[hooks]\npost_commit = 'echo hook'\n\
                [[view]]\npath = 'www'\n";
    site.write("p/genstore.toml", toml);
    let at = |args: &str| site.command(args).dir("p").run().ok();
    assert!(at("gc -n --store ../elsewhere").stdout.contains("Would remove nothing"));
    assert!(
        site.command("gc -n")
            .dir("p")
            .env("GENSTORE_STORE", "../elsewhere")
            .run()
            .stdout
            .contains("Would remove nothing")
    );
    assert_eq!(at("switch 1 -q --store ../elsewhere").stderr, "");
    let note = "[DIR]/p/genstore.toml applies only to the store [DIR]/p/genstore: [retain], [hooks], [[view]] ignored\n";
    assert_eq!(at("publish dist --always --store ../elsewhere").stderr, note);
    assert_eq!(at("build --store ../elsewhere -- sh -c >$GENSTORE_OUT/b").stderr, note);
    assert!(!site.has("p/www"));
    // Its rules for the output apply to every publication.
    site.write("p/genstore.toml", format!("{toml}[publish]\nexclude = ['a']\n[audit]\nforbid = ['b']\n"));
    site.write("p/dist/b", "2");
    assert_eq!(site.command("publish dist --store ../elsewhere").dir("p").run().status, 5);
    // The store is its own under any name.
    for store in ["genstore", "../p/genstore", "dist/../genstore"] {
        assert!(
            at(&format!("gc -n --store {store}")).stdout.contains("Would remove 2 generations"),
            "{store}"
        );
    }
    assert_eq!(at("switch 1 -q").stderr, "hook\n");
    site.write("p/genstore.toml", format!("[store]\npath = '../elsewhere'\n{toml}"));
    assert!(at("gc -n --store genstore").stdout.contains("Would remove nothing"));
    assert!(!at("gc -n").stdout.contains("Would remove nothing"));
    assert!(!at("gc -n --store ../elsewhere").stdout.contains("Would remove nothing"));
}

#[test]
fn durability_is_of_the_own_store() {
    let site = two_stores();
    site.write("p/genstore.toml", "[store]\ndurability = 'none'\n");
    let flushes = |args: &str| {
        let trace = format!("trace:{}", site.path("trace").display());
        site.command(args).dir("p").env("GENSTORE_FAULT", trace).run().ok();
        site.read("trace").lines().filter(|line| line.contains("sync")).count()
    };
    assert_eq!(flushes("publish dist --always -q"), 0);
    assert!(flushes("publish dist --always -q --store ../elsewhere") > 0);
}

#[test]
fn a_nearer_store_beats_a_path_further_up() {
    let site = two_stores();
    fs::create_dir_all(site.path("p/sub/deep")).unwrap();
    site.run("publish p/dist -q --store p/sub/genstore").ok();
    let toml = "[store]\npath = '../elsewhere'\n[retain]\nkeep_last = 0\ngrace = '0s'\n";
    site.write("p/genstore.toml", toml);
    let store = |dir: &str| {
        let told = site.command("current -v").dir(dir).run().ok().stderr;
        let line = told.lines().find(|line| line.starts_with("store ")).unwrap();
        line.split([' ', ',']).nth(1).unwrap().to_owned()
    };
    assert_eq!(store("p"), "[DIR]/p/../elsewhere");
    assert_eq!(store("p/dist"), "[DIR]/p/../elsewhere");
    assert_eq!(store("p/sub"), "[DIR]/p/sub/genstore");
    assert_eq!(store("p/sub/deep"), "[DIR]/p/sub/genstore");
    for _ in 0..3 {
        site.command("publish ../dist --always -q").dir("p/sub").run().ok();
    }
    let told = site.command("gc -n").dir("p/sub").run().ok().stdout;
    assert!(told.contains("Would remove nothing"), "the file speaks for another one: {told}");
}

#[test]
fn a_store_above_is_named() {
    let site = two_stores();
    let note = "     Store [DIR]/p/genstore\n";
    let publish = |dir: &str, args: &str| site.command(args).dir(dir).run().ok().stderr;
    assert_eq!(publish("p", "publish dist --always"), "");
    assert_eq!(publish("p/dist", "publish . --always"), note);
    assert_eq!(publish("p/dist", "build -- sh -c echo>$GENSTORE_OUT/x"), note);
    assert_eq!(publish("p/dist", "publish . --always -q"), "");
    site.write("p/genstore.toml", "[store]\npath = '../elsewhere'\n");
    assert_eq!(publish("p/dist", "publish . --always"), "     Store [DIR]/p/../elsewhere\n");
    let id = site
        .run("begin --store p/genstore --ttl 1h")
        .ok()
        .stdout
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    fs::remove_file(site.path("p/genstore.toml")).unwrap();
    fs::write(site.path(format!("p/genstore/staging/s-{id}/out/x")), "x").unwrap();
    assert_eq!(publish("p/dist", &format!("commit {id}")), note);
}

#[test]
fn a_store_above_the_projects_root_is_another_projects() {
    for (marker, text) in [
        (".git/HEAD", ""),
        (".git", "gitdir: ../x"),
        (".hg/x", ""),
        (".jj/x", ""),
        (".svn/x", ""),
        (".pijul/x", ""),
        ("_darcs/x", ""),
        (".fslckout", ""),
        ("pnpm-workspace.yaml", ""),
        ("package.json", "{\"workspaces\": [\"packages/*\"]}"),
        ("genstore.toml", ""),
    ] {
        let site = two_stores();
        site.write(&format!("p/blog/{marker}"), text);
        site.write("p/blog/deep/dist/a", "2");
        let run = |args: &str| site.command(args).dir("p/blog/deep").run();
        let beyond = "[DIR]/p/genstore belongs to another project\n\
                      hint: to use that one: --store [DIR]/p/genstore; `genstore publish DIR` creates one";
        for args in ["list", "gc", "rollback", "switch 1", "mark 1 bad"] {
            let message = format!("error: there is no store in the project of [DIR]/p/blog/deep; {beyond}");
            run(args).fails(10, &message);
        }
        let done = run("publish dist").ok();
        let note = "the store [DIR]/p/genstore belongs to another project; to publish there: --store [DIR]/p/genstore\n";
        assert_eq!(done.stderr, note, "{marker}");
        let place = if marker == "genstore.toml" { "p/blog/genstore" } else { "p/blog/deep/genstore" };
        assert!(
            done.stdout.contains(&format!("Created the store [DIR]/{place}\n")),
            "{marker}: {}",
            done.stdout
        );
        assert_eq!(
            fs::read_link(site.path("p/genstore/current")).unwrap().to_str(),
            Some("generations/3/tree")
        );
        site.run("current --store p/genstore").prints("3\n");
        // A store in the root is the project's own.
        site.run("publish p/dist -q --store p/blog/genstore").ok();
        fs::remove_dir_all(site.path("p/blog/deep/genstore")).ok();
        run("list").ok();
        // So is a project's file above the root.
        if marker != "genstore.toml" {
            site.write("p/genstore.toml", "[store]\npath = '../elsewhere'\n[publish]\nexclude = ['a']\n");
            fs::remove_dir_all(site.path("p/blog/genstore")).unwrap();
            assert!(run("publish dist --json").ok().json("genstore.publish/1")["files"] == 1);
            assert!(site.has("p/blog/deep/genstore/current/a"));
        }
    }
    // Not every package is the root of a project.
    let site = two_stores();
    site.write("p/blog/package.json", "{\"keywords\": [\"workspaces\"]}");
    site.command("current").dir("p/blog").run().prints("3\n");
    site.write("p/blog/package.json", "{\"workspaces\": ");
    site.command("current").dir("p/blog").run().prints("3\n");
}

#[test]
fn declared_views_lie_inside_the_project() {
    let site = two_stores();
    site.write("p/inside/x", "");
    fs::create_dir(site.path("out")).unwrap();
    symlink("../out", site.path("p/way")).unwrap();
    symlink("inside", site.path("p/short")).unwrap();
    let publish = |view: &str, args: &str| {
        site.write("p/genstore.toml", format!("[[view]]\npath = \"{view}\"\nas = \"mirror\"\n"));
        let run = site.command(&format!("publish dist --always {args}")).dir("p");
        run.env("HOME", site.path("home")).run()
    };
    let outside = site.path("out/v").display().to_string();
    for view in
        ["../out/v", "inside/../../out/v", "way/v", "way/new/v", "short/../../out/v", &outside, "../p2/v"]
    {
        let message = format!("error: the view {view} of [DIR]/p/genstore.toml is outside the project\n");
        publish(view, "").fails(1, &site.replace(&message));
        let built = site.command("build -- sh -c echo>$GENSTORE_OUT/x").dir("p").run();
        built.fails(1, &site.replace(&message));
    }
    assert!(site.names("out").is_empty() && !site.has("p2"));
    site.run("current --store p/genstore").prints("3\n");
    for view in ["v", "inside/v", "short/v2", "new/deep/v", "inside/../v3"] {
        publish(view, "-q").ok();
        assert!(site.has(&format!("p/{view}/a")), "{view}");
    }
    // The user allows it: in the configuration, by a flag, or by hand.
    let config = format!("views = [\"{}\"]\n", site.path("out").display());
    site.write("home/.config/genstore/config.toml", config);
    publish("way/v", "-q").ok();
    assert!(site.has("out/v/a"));
    fs::remove_dir_all(site.path("home")).unwrap();
    publish("../out/w", "-q").fails(1, "error: the view ../out/w of ");
    publish("../out/w", "-q --trust").ok();
    assert!(site.has("out/w/a"));
    publish("../out/w", "-q").ok();
}
