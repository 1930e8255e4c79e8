//! The ways of publishing: with and without recycling, the index and consuming.

use genstore_testkit::settle;

use crate::prelude::*;

const BIG: usize = 4 << 20;

/// Counts the bytes that a publication reads.
fn bytes_read(site: &Site, args: &str) -> usize {
    let mut running = site.command("publish dist --json").args(&[args]).spawn();
    // Nothing is read after the report.
    while !running.line().is_empty() {}
    let io = fs::read_to_string(format!("/proc/{}/io", running.pid())).unwrap();
    running.end(site).ok();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn rehash_reads_what_the_index_knows() {
    let site = Site::of(&[("a", "=one")]);
    site.write("dist/big", vec![7; BIG]);
    settle(&site.path(""));
    site.run("publish dist").ok();
    assert!(bytes_read(&site, "--always") < BIG / 2);
    assert!(bytes_read(&site, "--rehash") >= BIG);
}

#[test]
fn all_ways_make_the_same_of_the_same() {
    let trees: [&[(&str, &str)]; 4] = [
        &[("a", "=one"), ("dir/b", "=two"), ("dir/run", "!#!"), ("empty", "="), ("link", ">a")],
        &[("a", "=other"), ("dir/b", "=two"), ("dir/run", "!#!"), ("hollow", "/"), ("link", ">dir/b")],
        &[("a", "=one"), ("dir/b", "=two"), ("dir/run", "=#!"), ("empty", "="), ("link", ">a")],
        &[
            ("a", "=two"),
            ("dir/b", "=two"),
            ("dir/run", "!#!"),
            ("hollow", "/"),
            ("link", ">a"),
            ("z", "=one"),
        ],
    ];
    let made = Way::ALL.map(|way| {
        let site = Site::new();
        let told = trees.map(|tree| {
            site.tree("dist", tree);
            let doc = site.publish_in(way, "--json").is_json("genstore.publish/1");
            let shown = read_tree(&site.path("genstore/current")).unwrap();
            assert!(same_content(&shown, &things(0, tree)), "{way}: {shown:#?}");
            let left = read_tree(&site.path("dist")).unwrap();
            assert_eq!(same_content(&left, &things(0, tree)), !way.consume, "{way}: {left:#?}");
            ["tree", "files", "bytes", "new_objects"].map(|field| doc[field].clone())
        });
        let generations: &[&str] = if way.recycle { &["3", "4"] } else { &["1", "2", "3", "4"] };
        assert_eq!(site.names("genstore/generations"), generations, "{way}");
        site.run("rollback").ok();
        let back = read_tree(&site.path("genstore/current")).unwrap();
        assert!(same_content(&back, &things(0, trees[2])), "{way}: {back:#?}");
        site.run("verify").ok();
        told
    });
    assert!(made.iter().all(|told| *told == made[0]), "{made:#?}");
}

#[test]
fn a_tree_that_somebody_changed_is_put_right_when_it_is_recycled() {
    for way in Way::ALL.into_iter().filter(|way| way.recycle) {
        let site = Site::new();
        let same: &[(&str, &str)] = &[("dir/b", "=two"), ("dir/c", "="), ("dir/run", "!#!"), ("e/f", "=f")];
        let publish = |text: &'static str| {
            let tree = [&[("a", text)], same].concat();
            site.tree("dist", &tree);
            let doc = site.publish_in(way, "--json").is_json("genstore.publish/1");
            (doc["recycled"].clone(), tree)
        };
        publish("=one");
        publish("=two");
        let spare = site.path("genstore/generations/1/tree");
        fs::write(spare.join("dir/stranger"), "mine").unwrap();
        fs::write(spare.join("dir/c"), "no longer empty").unwrap();
        fs::remove_file(spare.join("dir/run")).unwrap();
        fs::create_dir(spare.join("e/more")).unwrap();
        let (recycled, tree) = publish("=three");
        assert_eq!(recycled, 1, "{way}");
        let shown = read_tree(&site.path("genstore/current")).unwrap();
        assert!(same_content(&shown, &things(0, &tree)), "{way}: {shown:#?}");
        site.run("verify").ok();
    }
}
