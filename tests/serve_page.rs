//! The pages of `serve` under `/@genstore/`.

use crate::browser::{Browser, has_browser};
use crate::prelude::*;
use crate::serve::Server;

#[test]
fn pages_show_generations() {
    let site = Site::published();
    site.run("mark 1 bad -m <b>broken</b>").ok();
    site.run("pin 1 stable").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let mut get = |path: &str| client.get(&format!("/@genstore/{path}"), &[]);
    let timeline = get("");
    assert_eq!(timeline.status, 200);
    let text = timeline.text();
    for part in
        ["first", "commit=abc", "stable", "user tester", "/@genstore/diff/1/2", "&lt;b&gt;broken&lt;/b&gt;"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(timeline.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!text.contains(&*site.path("").to_string_lossy()), "{text}");
    let difference = get("diff/1/2").text();
    let row =
        "<tr class=\"add\"><td class=\"no\"></td><td class=\"no\">2</td><td class=\"text\">+ two</td></tr>";
    assert!(difference.contains(row), "{difference}");
    assert!(get("diff/1/2?sides=2").text().contains("<td class=\"text add\">two</td>"));
    let map = "<title>a.txt: +4 B</title>";
    assert!(difference.contains(map) && difference.contains("Files that grew"), "{difference}");
    assert!(difference.contains("img/logo.svg → logo.svg"), "{difference}");
    let one = get("g/1").text();
    for part in
        ["/@gen/1/img/logo.svg", "genstore export 1 --archive site-1.tar", "Kept by", "pinned: stable"]
    {
        assert!(one.contains(part), "{part}: {one}");
    }
    assert!(!one.contains(&*site.path("").to_string_lossy()), "{one}");
    let history = get("path/a.txt").text();
    assert!(history.contains("/@gen/2/a.txt") && history.contains("/@gen/1/a.txt"), "{history}");
    assert!(get("path/new.txt").text().contains("/@gen/2/new.txt"));
    for path in ["g/99", "g/x", "diff/1", "diff/1/99", "nothing", "path/../x"] {
        assert!([400, 404].contains(&get(path).status), "{path}");
    }
    // A site's own name does not show them.
    site.write("genstore.toml", "[serve]\nhosts = ['site.test']\n");
    let named = Server::start(&site, "");
    assert_eq!(named.client().request("GET", "/@genstore/", "site.test", &[]).status, 404);
    assert_eq!(named.client().request("GET", "/@genstore/", "g1.localhost", &[]).status, 404);
    // A proxy may send the server's own address as the host.
    for header in ["Forwarded: for=192.0.2.1", "Via: 1.1 proxy", "X-Forwarded-For: 192.0.2.1"] {
        assert_eq!(named.client().request("GET", "/@genstore/", "localhost", &[header]).status, 404);
    }
    assert_eq!(named.client().request("GET", "/@genstore/", "localhost", &[]).status, 200);
}

#[test]
fn a_page_shows_the_health() {
    let site = Site::published();
    site.write("genstore.toml", "[build]\ncommand = 'cp -R dist/. \"$GENSTORE_OUT\"; echo built it'\n");
    site.write("dist/a.txt", "three");
    site.run("build").ok();
    site.run("rollback").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let mut get = |path: &str| client.get(&format!("/@genstore/{path}"), &[]).text();
    let log = get("g/3");
    assert!(log.contains("Build log") && log.contains("built it"), "{log}");
    let health = get("health");
    for part in
        ["Nothing was checked", "A rollback from 3 holds it", "would be freed by", "Only here", "No watch"]
    {
        assert!(health.contains(part), "{part}: {health}");
    }
    assert!(!health.contains(&*site.path("").to_string_lossy()), "{health}");
    assert!(get("act/verify").contains("Every file of the store is read and hashed"));
}

#[test]
fn pages_are_for_everybody() {
    needs!(has_browser());
    let site = Site::new();
    for number in 1..=200 {
        let size = "x ".repeat(200 + number * number % 1700);
        site.tree("dist", &[
            ("index.html", &format!("=<h1>{number}</h1>\n<p>{size}</p>\n")),
            ("logo.svg", &format!("=<svg xmlns='http://www.w3.org/2000/svg' width='80' height='80'><circle cx='40' cy='40' r='{}'/></svg>", 8 + number / 6)),
            ("data.json", &format!("={{\"number\":{number},\"list\":[1,2,{number}]}}")),
            ("assets/app.js", &format!("=let a = {number};{}", "f(1);".repeat(100 + number))),
            ("notes/a-very-long-name-of-a-file-that-does-not-fit-on-a-small-screen-in-one-line.txt", "=x"),
        ]);
        site.command("publish dist -m")
            .args(&[format!("change number {number}, with some words about it")])
            .run()
            .ok();
    }
    site.run("pin 190 stable").ok();
    site.run("rollback").ok();
    let server = Server::start(&site, "");
    let mut browser = Browser::start();
    browser.run("kept.page = await open();");
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/node_modules/axe-core/axe.min.js");
    let axe = Value::from(fs::read_to_string(axe).unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&folder).unwrap();
    for (name, path) in [
        ("timeline", ""),
        ("generation", "g/200"),
        ("difference", "diff/150/200"),
        ("sides", "diff/150/200?sides=2"),
        ("health", "health"),
        ("plan", "act/rollback"),
        ("pin", "act/pin?generation=200"),
        ("history", "path/index.html"),
    ] {
        for (look, width, scheme) in
            [("wide", 1100, "light"), ("small", 360, "light"), ("dark", 1100, "dark")]
        {
            let file = Value::from(folder.join(format!("{name}-{look}.png")).to_str().unwrap());
            let found = browser.run(&format!(
                "const page = kept.page;
                 await page.setViewport({{ width: {width}, height: 800 }});
                 await page.emulateMediaFeatures([{{ name: 'prefers-color-scheme', value: '{scheme}' }}]);
                 await page.goto('http://localhost:{}/@genstore/{path}', {{ waitUntil: 'load' }});
                 await page.screenshot({{ path: {file}, fullPage: {} }});
                 await page.evaluate({axe});
                 return page.evaluate(async () => ({{
                   wide: document.documentElement.scrollWidth > window.innerWidth,
                   serious: (await axe.run(document, {{ preload: false }})).violations
                     .filter((one) => ['serious', 'critical'].includes(one.impact))
                     .map((one) => one.id + ': ' + one.nodes[0].html),
                 }}));",
                server.port,
                name != "timeline" && look == "wide"
            ));
            assert_eq!(found, json!({"wide": false, "serious": []}), "{name} {look}");
        }
    }
    assert_eq!(browser.run("return seen.errors;"), json!([]));
    let other = format!(
        r"return seen.requests.filter((url) => !/^http:\/\/(g[0-9]+\.)?localhost:{}\//.test(url));",
        server.port
    );
    assert_eq!(browser.run(&other), json!([]));
}
