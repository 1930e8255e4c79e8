//! `serve` over generations: permalinks, open pages, names that may be cached for ever.

use crate::browser::{Browser, has_browser};
use crate::prelude::*;
use crate::serve::Server;

#[test]
fn permalinks_show_generations_whole() {
    let site = Site::published();
    site.run("pin 1 stable").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let port = server.port;
    let mut get = |host: &str, path: &str| client.request("GET", path, host, &[]);
    let first = get(&format!("g1.localhost:{port}"), "/a.txt");
    assert_eq!((first.text().as_str(), first.header("x-robots-tag")), ("one\n", "noindex"));
    assert_eq!(first.header("genstore-generation"), "1");
    assert_eq!(get("g2.localhost", "/a.txt").text(), "one\ntwo\n");
    assert_eq!(get("stable.localhost", "/a.txt").text(), "one\n");
    assert_eq!(get("localhost", "/@gen/1/a.txt").text(), "one\n");
    assert_eq!(get("localhost", "/@gen/stable/a.txt").text(), "one\n");
    assert_eq!(get("localhost", "/@gen/1").header("location"), "/@gen/1/");
    assert_eq!(get("g1.localhost", "/new.txt").status, 404, "a permalink has no other generation's files");
    assert_eq!(get("g3.localhost", "/a.txt").status, 404);
    assert_eq!(get("unknown.localhost", "/a.txt").status, 404);
    assert_eq!(get("localhost", "/a.txt").header("x-robots-tag"), "");
    site.run("unpin stable").ok();
    drop(server);
    site.run("gc --keep-last 1 --grace 0s").ok();
    let server = Server::start(&site, "");
    let gone = server.client().request("GET", "/a.txt", "g1.localhost", &[]);
    assert_eq!(gone.status, 410);
    assert_eq!(gone.text(), "this generation was removed; the nearest that are kept: 2\n");
}

#[test]
fn open_pages_find_their_files() {
    let site = Site::of(&[("index.html", "=1"), ("app-1a2b3c4d.js", "=one"), ("gone.html", "=gone")]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    for number in 2..=5 {
        site.tree(
            "dist",
            &[("index.html", &format!("={number}")), (&format!("app-{number}a2b3c4d.js"), "=x")],
        );
        site.run("publish dist").ok();
        assert_eq!(client.get("/", &[]).text(), number.to_string());
    }
    // gc would remove the first, but a lease keeps it.
    site.run("gc --keep-last 1 --grace 0s").ok();
    let old = client.get("/app-1a2b3c4d.js", &[]);
    assert_eq!((old.status, old.text().as_str(), old.header("genstore-generation")), (200, "one", "1"));
    assert_eq!(client.get("/gone.html", &[]).status, 404, "a page that was removed stays removed");
    // A rollback leaves the newer one's files to its open pages.
    site.run("rollback").ok();
    assert_eq!(client.get("/app-5a2b3c4d.js", &[]).header("genstore-generation"), "5");
    // After a restart, the log has the window.
    drop(server);
    let server = Server::start(&site, "");
    assert_eq!(server.client().get("/app-5a2b3c4d.js", &[]).status, 200);
    assert_eq!(server.client().get("/app-1a2b3c4d.js", &[]).status, 200);
    let without = Server::start(&site, "--skew 0s");
    assert_eq!(without.client().get("/app-5a2b3c4d.js", &[]).status, 404);
}

/// A real page imports a part of itself that the current generation does not have.
#[test]
fn a_page_that_stays_open_loads_its_parts_after_five_publications() {
    needs!(has_browser());
    let page = |number: u32| {
        format!(
            "=<!doctype html><title>t</title><link rel=icon href=data:,><script>\
             window.load = () => import('./part-{number}.js').then((part) => part.default)</script>"
        )
    };
    let site = Site::new();
    let publish = |number: u32| {
        let (name, part) = (format!("part-{number}.js"), format!("=export default 'part {number}'"));
        site.tree("dist", &[("index.html", &page(number)), (&name, &part)]);
        site.run("publish dist -q").ok();
    };
    publish(1);
    let server = Server::start(&site, "");
    let mut browser = Browser::start();
    browser.run(&format!("kept.page = await open('http://localhost:{}/');", server.port));
    (2..=6).for_each(publish);
    assert_eq!(browser.run("return await kept.page.evaluate(() => load());"), json!("part 1"));
    let newest = "const page = await open(kept.page.url()); return await page.evaluate(() => load());";
    assert_eq!(browser.run(newest), json!("part 6"));
    assert_eq!(browser.run("return seen.errors;"), json!([]));
}

#[test]
fn tags_are_those_of_the_content() {
    let site = Site::published();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let mut tag = || client.get("/a.txt", &[]).header("etag").to_owned();
    let second = tag();
    site.run("rollback").ok();
    let first = tag();
    assert_ne!(first, second);
    site.run("switch 2").ok();
    assert_eq!(tag(), second);
    // Another host with the same content has the same tag.
    let other = Site::published();
    let server = Server::start(&other, "");
    assert_eq!(server.client().get("/a.txt", &[]).header("etag"), second);
}

#[test]
fn hashed_names_that_never_changed_are_cached_for_ever() {
    let site = Site::of(&[("index.html", "=1"), ("app-1a2b3c4d.js", "=one"), ("lies-1a2b3c4d.js", "=one")]);
    site.run("publish dist").ok();
    site.tree("dist", &[("index.html", "=2"), ("app-1a2b3c4d.js", "=one"), ("lies-1a2b3c4d.js", "=two")]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "");
    let forever = "public, max-age=31536000, immutable";
    let cached = |path: &str| server.client().get(path, &[]).header("cache-control").to_owned();
    eventually("the names are known", || cached("/app-1a2b3c4d.js") == forever);
    assert_eq!(cached("/index.html"), "no-cache");
    assert_eq!(cached("/lies-1a2b3c4d.js"), "no-cache", "its content changed under the same name");
    site.tree("dist", &[("index.html", "=3"), ("app-1a2b3c4d.js", "=changed")]);
    site.run("publish dist").ok();
    assert_eq!(cached("/app-1a2b3c4d.js"), "no-cache");
}

#[test]
fn nothing_is_published_yet() {
    let site = Site::new();
    site.run("init").ok();
    let server = Server::start(&site, "");
    let reply = server.client().get("/", &[]);
    assert_eq!((reply.status, reply.text().as_str()), (503, "nothing is published yet\n"));
    site.tree("dist", &[("index.html", "=first")]);
    site.run("publish dist").ok();
    assert_eq!(server.client().get("/", &[]).text(), "first");
}
