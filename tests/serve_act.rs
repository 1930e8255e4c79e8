//! Actions on the pages of `serve`: the plan, who may act, and the way back.

use crate::browser::{Browser, has_browser};
use crate::http::{Client, Reply};
use crate::prelude::*;
use crate::serve::Server;

/// Sends a form.
fn post(client: &mut Client, verb: &str, fields: &str, headers: &[&str]) -> Reply {
    let length = format!("Content-Length: {}", fields.len());
    let mut all = vec!["Content-Type: application/x-www-form-urlencoded", length.as_str()];
    all.extend(headers);
    let more: String = all.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("POST /@genstore/act/{verb} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    client.send(&[head.as_bytes(), fields.as_bytes()].concat());
    client.reply(false).expect("a response")
}

/// Returns the token in a page.
fn token(page: &str) -> String {
    let rest = page.split("name=\"token\" value=\"").nth(1).unwrap_or_else(|| panic!("no token: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

const OWN: &str = "Sec-Fetch-Site: same-origin";

#[test]
fn a_plan_comes_before_and_undo_after() {
    let site = Site::published();
    site.write("genstore.toml", "[hooks]\npost_commit = ['echo hook >> hooked']\n");
    let server = Server::start(&site, "");
    let mut client = server.client();
    let plan = client.get("/@genstore/act/rollback", &[]).text();
    for part in
        ["Roll back to 1", "2 is marked bad", "<code>genstore rollback</code>", "/@genstore/diff/2/1"]
    {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(!plan.contains(&*site.path("").to_string_lossy()), "{plan}");
    let token = token(&plan);
    let act = |client: &mut Client, verb: &str, fields: &str| {
        let done = post(client, verb, &format!("token={token}&{fields}"), &[OWN]);
        assert_eq!(done.status, 303, "{verb} {fields}: {}", done.text());
        let page = client.get(done.header("location"), &[]).text();
        (done.header("location").rsplit('/').next().unwrap().to_owned(), page)
    };
    let (number, done) = act(&mut client, "rollback", "expect=2");
    assert!(done.contains("Rolled back from 2 to 1, and 2 is marked bad"), "{done}");
    site.run("current").prints("1\n");
    assert_eq!(site.read("hooked"), "hook\n");
    assert_eq!(client.get("/a.txt", &[]).text(), "one\n");
    act(&mut client, "undo", &format!("number={number}"));
    site.run("current").prints("2\n");
    assert_eq!(site.run("show 2 --json").is_json("genstore.show/1")["mark"], "good");
    // The page showed another current generation.
    let late = post(&mut client, "switch", &format!("token={token}&generation=1&expect=1"), &[OWN]);
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Another generation is current by now"), "{}", late.text());
    site.run("current").prints("2\n");
    let (number, done) = act(&mut client, "bad", "generation=1&why=%3Cb%3Ewrong+prices");
    assert!(done.contains("Generation 1 is marked bad"), "{done}");
    assert_eq!(site.run("show 1 --json").is_json("genstore.show/1")["mark_why"], "<b>wrong prices");
    act(&mut client, "undo", &format!("number={number}"));
    assert_eq!(site.run("show 1 --json").is_json("genstore.show/1")["mark"], "good");
    act(&mut client, "pin", "generation=1&name=stable&why=shown&until=14d");
    let pin = site.run("show 1 --json").is_json("genstore.show/1")["pins"].clone();
    assert_eq!((&pin[0]["why"], &pin[0]["until"]), (&json!("shown"), &json!("2026-01-16T03:04:05Z")));
    let (number, _) = act(&mut client, "pin", "generation=2&name=demo");
    act(&mut client, "undo", &format!("number={number}"));
    assert_eq!(site.run("show 2 --json").is_json("genstore.show/1")["pins"], json!([]));
    let (number, _) = act(&mut client, "unpin", "name=stable");
    act(&mut client, "undo", &format!("number={number}"));
    assert_eq!(site.run("show 1 --json").is_json("genstore.show/1")["pins"], pin);
    let (_, done) = act(&mut client, "verify", "");
    assert!(done.contains("All files were checked: there is no damage"), "{done}");
    assert!(client.get("/@genstore/health", &[]).text().contains("No damage"));
    // Bad values are refused by the verb, and the page says so.
    let bad = post(&mut client, "pin", &format!("token={token}&generation=1&name=7"), &[OWN]);
    assert!(bad.status == 400 && bad.text().contains("Nothing was changed"), "{bad:?}");
    let taken = post(&mut client, "pin", &format!("token={token}&generation=2&name=stable"), &[OWN]);
    assert!(taken.status == 409 && taken.text().contains("is used for generation 1"), "{taken:?}");
    for (path, status) in [
        ("act/switch?generation=99", 404),
        ("act/switch?generation=x", 404),
        ("act/unpin?name=nothing", 404),
        ("act/forget", 404),
        ("done/99", 404),
    ] {
        assert_eq!(client.get(&format!("/@genstore/{path}"), &[]).status, status, "{path}");
    }
}

#[test]
fn forms_from_elsewhere_are_refused() {
    let site = Site::published();
    site.write("genstore.toml", "[serve]\ncors = ['*']\n");
    let server = Server::start(&site, "");
    let mut client = server.client();
    let plan = client.get("/@genstore/act/rollback", &["Origin: https://evil.test"]);
    assert_eq!(plan.header("access-control-allow-origin"), "");
    let good = format!("expect=2&token={}", token(&plan.text()));
    let check = |fields: &str, headers: &[&str]| {
        let mut client = server.client();
        let refused = post(&mut client, "rollback", fields, headers);
        assert_eq!(refused.status, 403, "{fields} {headers:?}");
        assert!(refused.header("content-type").starts_with("text/plain"), "{refused:?}");
    };
    check("expect=2", &[OWN]);
    check("expect=2&token=", &[OWN]);
    check(&good.replace("token=", "token=0"), &[OWN]);
    check(&good[..good.len() - 1], &[OWN]);
    check(&good, &[]);
    check(&good, &["Sec-Fetch-Site: cross-site"]);
    check(&good, &["Sec-Fetch-Site: same-site"]);
    check(&good, &["Origin: null"]);
    check(&good, &["Origin: http://evil.test"]);
    check(&good, &[OWN, "Sec-Fetch-Mode: cors"]);
    check(&good, &[OWN, "X-Forwarded-For: 192.0.2.1"]);
    // A script of the site gets no token, nor does a frame.
    for line in ["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(client.get("/@genstore/act/rollback", &[line]).status, 403, "{line}");
    }
    // A large form, and one that is cut short.
    let large = format!("{good}&why={}", "x".repeat(20_000));
    assert_eq!(post(&mut server.client(), "rollback", &large, &[OWN]).status, 400);
    let mut short = server.client();
    short.send(format!("POST /@genstore/act/rollback HTTP/1.1\r\nHost: localhost\r\n{OWN}\r\nContent-Length: 99\r\n\r\nx").as_bytes());
    drop(short);
    site.run("current").prints("2\n");
    assert_eq!(client.request("POST", "/a.txt", "localhost", &[]).status, 405);
    // The port of this server is in the origin that browsers send.
    let own = format!("Origin: http://localhost:{}", server.port);
    let head = format!(
        "POST /@genstore/act/rollback HTTP/1.1\r\nHost: localhost:{}\r\n{own}\r\nContent-Length: {}\r\n\r\n{good}",
        server.port,
        good.len()
    );
    client.send(head.as_bytes());
    assert_eq!(client.reply(false).unwrap().status, 303);
    site.run("current").prints("1\n");
}

#[test]
fn programs_get_the_documents_of_the_verbs() {
    let site = Site::published();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let mut get = |path: &str| {
        let reply = client.get(&format!("/@genstore/api/{path}"), &[]);
        let text = reply.text();
        assert!(!text.contains(&*site.path("").to_string_lossy()), "{text}");
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (reply.status, document)
    };
    let (status, index) = get("");
    assert_eq!((status, &index["version"]), (200, &json!(1)));
    let list = site.run("list --json").is_json("genstore.list/1");
    assert_eq!(get("timeline"), (200, list));
    assert_eq!(get("timeline?limit=1").1["generations"].as_array().unwrap().len(), 1);
    let mut show = site.run("show 1 --tree --json").is_json("genstore.show/1");
    show["path"] = json!("generations/1/tree");
    assert_eq!(get("generation/1"), (200, show));
    let diff = site.run("diff 1 2 --stat --json").is_json("genstore.diff/1");
    assert_eq!(get("difference/1/2"), (200, diff));
    let log = site.run("log --json -- a.txt").is_json("genstore.log/1");
    assert_eq!(get("path?path=a.txt"), (200, log));
    // A path is never an option.
    assert_eq!(get("path?path=--help").1["code"], json!("no-such-file"));
    for (part, schema) in [("status", "status"), ("space", "du"), ("gc", "gc"), ("verify", "verify")] {
        let (status, document) = get(&format!("health/{part}"));
        assert_eq!(
            (status, &document["schema"]),
            (200, &json!(format!("genstore.{schema}/1"))),
            "{document}"
        );
    }
    let (status, error) = get("generation/99");
    assert_eq!(
        (status, &error["schema"], &error["code"]),
        (404, &json!("genstore.error/1"), &json!("unknown-ref"))
    );
    for path in ["generation/x", "difference/1", "nothing", "timeline?limit=x", "path"] {
        assert_eq!(client.get(&format!("/@genstore/api/{path}"), &[]).status, 404, "{path}");
    }
    let elsewhere = client.get("/@genstore/api/timeline", &["Sec-Fetch-Site: cross-site"]);
    assert_eq!(elsewhere.status, 403);
    // A damaged store is a document, too.
    let file = site.path("genstore/generations/1/tree/a.txt");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let damaged = client.get("/@genstore/api/health/verify", &[]);
    assert_eq!(damaged.status, 200);
    assert!(damaged.text().contains("\"ok\":false"), "{}", damaged.text());
}

#[test]
fn a_rollback_by_click_is_seen_by_others() {
    needs!(has_browser());
    let site = Site::published();
    let server = Server::start(&site, "");
    let address = format!("http://localhost:{}/@genstore/", server.port);
    let mut second = Browser::start();
    second.run(&format!(
        "kept.page = await open('{address}');
         kept.seen = kept.page.waitForFunction(
           () => document.querySelector('li.current .number')?.textContent === '1', {{ polling: 'mutation' }});
         kept.seen.catch(() => {{}});
         await kept.page.waitForSelector('.connected');"
    ));
    let mut first = Browser::start();
    let steps = first.run(&format!(
        "const page = kept.page = await open('{address}');
         kept.go = (what) => Promise.all([page.waitForNavigation(), page.click(what)]);
         await kept.go('a[href$=\"act/rollback\"]');
         const plan = await page.$eval('h1', (title) => title.textContent);
         await kept.go('form.act button');
         const done = await page.$eval('.done', (text) => text.textContent);
         return [plan, done];"
    ));
    assert_eq!(steps, json!(["Roll back to 1", "Rolled back from 2 to 1, and 2 is marked bad."]));
    // The page is not loaded again, and the server does not wait for its next look: the event brings it.
    second.run("await kept.seen;");
    first.run("await kept.go('form.act button');");
    second.run(
        "await kept.page.waitForFunction(
           () => document.querySelector('li.current .number')?.textContent === '2', { polling: 'mutation' });",
    );
    for browser in [&mut first, &mut second] {
        assert_eq!(browser.run("return seen.errors;"), json!([]));
    }
}

#[test]
fn damage_is_shown() {
    let site = Site::published();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let plan = client.get("/@genstore/act/verify", &[]).text();
    let file = site.path("genstore/generations/1/tree/a.txt");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let done = post(&mut client, "verify", &format!("token={}", token(&plan)), &[OWN]);
    assert_eq!(done.status, 303);
    assert!(client.get(done.header("location"), &[]).text().contains("there is damage"));
    let health = client.get("/@genstore/health", &[]).text();
    assert!(health.contains("generation 1: a.txt: mode"), "{health}");
}
