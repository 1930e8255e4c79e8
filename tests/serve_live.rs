//! `serve --live` and `watch --serve`: open pages follow the store.

use crate::browser::{Browser, has_browser};
use crate::http::free_port;
use crate::prelude::*;
use crate::serve::Server;
use crate::watch::Loop;

/// Reads the next event of a connection.
fn next(events: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(events.read_line(&mut line).unwrap() > 0, "the events have ended");
        // Each part of the stream is a chunk, whose length is on a line before it.
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

/// Connects to the events of a server.
fn events(port: u16) -> BufReader<TcpStream> {
    events_from(port, "")
}

/// Connects to the events of a server, with a query.
fn events_from(port: u16, query: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /@genstore/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    BufReader::new(stream)
}

#[test]
fn pages_get_a_script_and_events() {
    let site = Site::of(&[("index.html", "=<body>one</body>"), ("a.css", "=a{}"), ("b.txt", "=b")]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "--live");
    let mut client = server.client();
    let page = client.get("/", &[]);
    let script = "<script src=\"/@genstore/live.js\" data-generation=\"1\"></script>";
    assert_eq!(page.text(), format!("<body>one{script}</body>"));
    let known = format!("If-None-Match: {}", page.header("etag"));
    assert_eq!(client.get("/", &[&known]).status, 304);
    assert!(!client.request("GET", "/", "g1.localhost", &[]).text().contains("<script"));
    assert!(client.get("/@genstore/live.js", &[]).header("content-type").starts_with("text/javascript"));
    let mut events = events(server.port);
    assert_eq!(next(&mut events), json!({"event": "hello", "generation": 1, "failure": null}));
    site.tree("dist", &[("index.html", "=<body>one</body>"), ("a.css", "=a{b:c}"), ("new.js", "=n")]);
    site.run("publish dist").ok();
    let changed = json!(["a.css", "b.txt", "new.js"]);
    let moved = json!({"event": "moved", "generation": 2, "previous": 1, "changed": changed});
    assert_eq!(next(&mut events), moved);
    // A page that was loaded before, and listens only now, hears what changed in between.
    let hello = json!({"event": "hello", "generation": 2, "failure": null});
    let with_changes =
        json!({"event": "hello", "generation": 2, "failure": null, "previous": 1, "changed": changed});
    for (query, expected) in
        [("?from=1", &with_changes), ("?from=2", &hello), ("?from=7", &hello), ("?from=x", &hello)]
    {
        assert_eq!(next(&mut events_from(server.port, query)), *expected, "{query}");
    }
    // The page is the same file, but its script has another generation.
    assert_eq!(client.get("/", &[&known]).status, 200);
    // Without the flag there is nothing of this.
    let plain = Server::start(&site, "");
    assert_eq!(plain.client().get("/", &[]).text(), "<body>one</body>");
    assert_eq!(plain.client().get("/@genstore/live.js", &[]).status, 404);
    // An open page does not keep the server from its end.
    server.running.signal("TERM");
    server.running.end(&site).ok();
}

#[test]
fn a_watch_shows_failed_builds_to_pages() {
    let site = Site::new();
    site.write("src/index.html", "<body>one</body>");
    let port = free_port();
    site.write("genstore.toml", "[watch]\npaths = ['src']\ndebounce = '20ms'\n");
    let build = "test ! -e src/broken || { echo 'line 3: no such tag' >&2; exit 4; }; cp -R src/. \"$GENSTORE_OUT\"";
    let mut watch = Loop::start(&site, &format!("--serve={port}"), build);
    watch.event("published");
    let mut events = events(port);
    assert_eq!(next(&mut events)["event"], "hello");
    site.write("src/broken", "");
    let failed = next(&mut events);
    assert_eq!(failed["event"], "failed");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("line 3: no such tag"), "{message}");
    assert!(!message.contains(&*site.path("").to_string_lossy()), "{message}");
    fs::remove_file(site.path("src/broken")).unwrap();
    assert_eq!(next(&mut events)["event"], "mended");
    watch.end(&site);
}

#[test]
fn a_browser_follows_a_site_compiler() {
    needs!(has_browser());
    let site = Site::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site_compiler/site");
    genstore_testkit::copy_exactly(&source, &site.path("source"));
    let port = free_port();
    site.write("genstore.toml", "[watch]\npaths = ['source']\ndebounce = '20ms'\n[serve]\nroot = 'site'\n");
    let compiler = crate::site_compiler::workshop::example();
    site.write("compile", "printf '#!/bin/sh\\n' >\"$OUT\" && chmod 755 \"$OUT\"");
    let build = format!(
        "'{}' --store build/store --compiler 'sh {}' source && cp -R build/store/current/. \"$GENSTORE_OUT\"",
        compiler.display(),
        site.path("compile").display()
    );
    let mut watch = Loop::start(&site, &format!("--serve={port}"), &build);
    watch.event("published");
    let mut browser = Browser::start();
    browser.run(&format!("kept.page = await open('http://localhost:{port}/'); await kept.page.evaluate(() => {{ window.mark = 1; }});"));
    let mut check = |wait: &str, state: &str| -> Value {
        browser.run(&format!("await kept.page.waitForFunction(() => {{ return {wait}; }}, {{ polling: 50 }}); return kept.page.evaluate(() => ({state}));"))
    };
    let text = |file: &str| fs::read_to_string(site.path(file)).unwrap();
    // A style sheet is swapped without a reload.
    let style = text("source/style.css");
    site.write("source/style.css", format!("{style}h1 {{ color: rgb(1, 2, 3); }}\n"));
    let color = "getComputedStyle(document.querySelector('h1')).color === 'rgb(1, 2, 3)'";
    assert_eq!(check(color, "window.mark"), 1);
    // Another page changes: nothing happens here. This page changes: it is loaded again.
    let page = text("source/index.md");
    site.write("source/index.md", format!("{page}A new line.\n"));
    assert_eq!(
        check("document.body.innerText.includes('A new line.')", "window.mark || null"),
        Value::Null
    );
    // A dead link is refused: its message is over the last good page, until the page is mended.
    site.write("source/index.md", format!("{page}[nowhere](nowhere.md)\n"));
    let overlay = "document.querySelector('genstore-overlay')";
    let shown = check(overlay, &format!("[{overlay}.shadowRoot.textContent, document.body.innerText]"));
    assert!(shown[0].as_str().unwrap().contains("The build failed"), "{shown}");
    assert!(shown[1].as_str().unwrap().contains("A new line."), "{shown}");
    screenshot(&mut browser, "overlay");
    site.write("source/index.md", format!("{page}All is well.\n"));
    let mut check = |wait: &str, state: &str| -> Value {
        browser.run(&format!("await kept.page.waitForFunction(() => {{ return {wait}; }}, {{ polling: 50 }}); return kept.page.evaluate(() => ({state}));"))
    };
    let well = format!("document.body.innerText.includes('All is well.') && !{overlay}");
    assert_eq!(check(&well, "document.title.length > 0"), true);
    let seen = browser.run("return seen;");
    let requests = seen["requests"].as_array().unwrap();
    let other =
        requests.iter().filter(|url| !url.as_str().unwrap().contains(&format!("localhost:{port}/")));
    assert_eq!(other.count(), 0, "{requests:?}");
    assert_eq!(seen["errors"], json!([]));
    watch.end(&site);
}

/// Keeps a picture of the page in `target/screenshots`.
fn screenshot(browser: &mut Browser, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    browser
        .run(&format!("await kept.page.screenshot({{ path: {} }});", Value::from(path.to_str().unwrap())));
}

#[test]
fn a_page_that_listens_late_swaps_its_style_too() {
    needs!(has_browser());
    let page = "=<link rel=stylesheet href=/style.css><body><h1>one</h1></body>";
    let site = Site::of(&[("index.html", page), ("style.css", "=h1{}")]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "--live");
    let mut browser = Browser::start();
    // The request for events waits until a second generation is published.
    browser.run(&format!(
        "const page = kept.page = await open();
         await page.setRequestInterception(true);
         const asks = new Promise((resolve) => page.on('request', (request) => {{
             if (request.url().includes('/events')) {{ kept.events = request; resolve(); }} else request.continue();
         }}));
         await page.goto('http://localhost:{}/', {{ waitUntil: 'load' }});
         await page.evaluate(() => {{ window.mark = 1; }});
         await asks;",
        server.port
    ));
    site.write("dist/style.css", "h1 { color: rgb(1, 2, 3); }");
    site.run("publish dist").ok();
    let color = "getComputedStyle(document.querySelector('h1')).color === 'rgb(1, 2, 3)'";
    let mark = browser.run(&format!(
        "kept.events.continue();
         await kept.page.waitForFunction(() => {{ return {color}; }}, {{ polling: 50 }});
         return kept.page.evaluate(() => window.mark || null);"
    ));
    assert_eq!(mark, 1);
}

#[test]
fn one_connection_serves_all_tabs() {
    needs!(has_browser());
    let site = Site::of(&[("index.html", "=<body>one</body>"), ("other.html", "=<body>other</body>")]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "--live");
    let mut browser = Browser::start();
    let port = server.port;
    for tab in 0..8 {
        browser.run(&format!("kept[{tab}] = await open('http://localhost:{port}/');"));
    }
    let connections = "return seen.requests.filter((url) => url.includes('/@genstore/events')).length;";
    assert_eq!(browser.run(connections), 1);
    site.tree("dist", &[("index.html", "=<body>two</body>"), ("other.html", "=<body>other</body>")]);
    site.run("publish dist").ok();
    for tab in 0..8 {
        let two = "() => document.body.innerText.includes('two'), { polling: 50 }";
        browser.run(&format!("await kept[{tab}].waitForFunction({two});"));
    }
    let seen = browser.run("return seen.errors;");
    assert_eq!(seen, json!([]));
}
