//! Leases: a generation is not collected while a living process holds it, and is collected after that.

use crate::prelude::*;

fn gc(site: &Site) -> String {
    site.run("gc --keep-last 1 --grace 0s").ok().stdout
}

/// Creates three generations in a way that keeps the oldest one.
fn three_generations(way: Way) -> Site {
    assert!(!way.recycle);
    let site = Site::published_in(way);
    site.tree("dist", &[("a.txt", "=three\n")]);
    site.publish_in(way, "").ok();
    site
}

#[test]
fn gc_keeps_what_exec_holds_and_a_killed_holder_frees_it() {
    let site = three_generations(Way::PLAIN);
    let mut holder =
        site.command("exec 1 -- sh").args(&["-c", "echo ready; cat; cat $GENSTORE_ROOT/a.txt"]).spawn();
    assert_eq!(holder.line(), "ready");
    let kept = gc(&site);
    assert!(kept.contains("keep    1  leased"), "{kept}");
    assert!(kept.contains("remove  2"), "{kept}");
    // The program still reads a generation that nothing else keeps.
    holder.close_stdin();
    assert_eq!(holder.line(), "one");
    assert_eq!(holder.end(&site).status, 0);
    assert!(gc(&site).contains("remove  1"));

    let site = three_generations(Way::ALL[2]);
    let mut holder = site.command("exec 1 -- sh").args(&["-c", "echo ready; read line"]).spawn();
    assert_eq!(holder.line(), "ready");
    assert!(gc(&site).contains("keep    1  leased"));
    holder.kill();
    assert!(gc(&site).contains("remove  1"));
    site.run("verify").ok();
}

#[test]
fn a_lease_lasts_as_long_as_any_child_that_inherited_it() {
    let site = three_generations(Way::ALL[2]);
    // The shell ends at once; its child continues, and holds the lease.
    let script = "echo ready; (cat; cat $GENSTORE_ROOT/a.txt) <&3 & exit 0";
    let mut holder = site.command("exec 1 -- sh").args(&["-c", &format!("exec 3<&0; {script}")]).spawn();
    assert_eq!(holder.line(), "ready");
    assert!(gc(&site).contains("keep    1  leased"));
    holder.close_stdin();
    assert_eq!(holder.line(), "one");
    assert_eq!(holder.end(&site).status, 0);
    // Its output is closed shortly before its lease ends.
    eventually("the lease ends", || gc(&site).contains("remove  1"));
}

#[test]
fn what_exec_holds_is_not_recycled() {
    for way in Way::ALL.into_iter().filter(|way| way.recycle) {
        let site = Site::new();
        let publish = |text: &str| {
            let same = [("logo.svg", "=<svg/>"), ("new.txt", "=new\n"), ("run", "!#!")];
            site.tree("dist", &[&[("a.txt", text)], &same[..]].concat());
            site.publish_in(way, "--json").ok().json("genstore.publish/1")["recycled"].clone()
        };
        let holder = |args: &str| {
            let script = "echo ready; cat; cat $GENSTORE_ROOT/a.txt";
            let mut holder = site.command(args).args(&["-c", script]).spawn();
            assert_eq!(holder.line(), "ready");
            holder
        };
        publish("=one\n");
        publish("=two\n");
        let mut held = holder("exec 1 -- sh");
        assert_eq!(publish("=three\n"), Value::Null, "{way}");
        // The generation after it is free.
        assert_eq!(publish("=four\n"), 2, "{way}");
        held.close_stdin();
        assert_eq!(held.line(), "one");
        assert_eq!(held.end(&site).status, 0);
        let mut held = holder("exec 3 -- sh");
        assert_eq!(publish("=five\n"), 1, "{way}");
        held.close_stdin();
        assert_eq!(held.line(), "three");
        assert_eq!(held.end(&site).status, 0);
        site.run("verify").ok();
    }
}
