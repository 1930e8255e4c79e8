//! The responses of `serve` by RFC 9110, row by row, with sockets and with curl.

use crate::http::Client;
use crate::prelude::*;
use crate::serve::Server;

fn site() -> Site {
    let text = format!("={}", "words and words ".repeat(100));
    let site = Site::of(&[
        ("index.html", "=<h1>home</h1>"),
        ("a.txt", "=0123456789"),
        ("empty", "="),
        ("long.txt", &text),
        ("docs/index.html", "=docs"),
        ("docs/page.html", "=page"),
        ("pre.js", "=plain"),
        ("pre.js.br", "=brotli"),
        ("pre.js.gz", "=gzip"),
        ("name with space.txt", "=space"),
        (".env", "=secret"),
        (".git/config", "=secret"),
        (".well-known/x", "=known"),
        ("404.html", "=no such page"),
        ("in.txt", ">a.txt"),
    ]);
    site.run("publish dist").ok();
    site
}

#[test]
fn conditions_and_ranges() {
    let site = site();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let whole = client.get("/a.txt", &[]);
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    let (tag, date) = (whole.header("etag").to_owned(), whole.header("last-modified").to_owned());
    assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.header("cache-control"), "no-cache");
    assert_eq!(whole.header("genstore-generation"), "1");
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    let rows: &[(&[String], u16, &str, &str)] = &[
        (&[format!("If-None-Match: {tag}")], 304, "", ""),
        (&[format!("If-None-Match: W/{tag}")], 304, "", ""),
        (&[format!("If-None-Match: \"x\", {tag}")], 304, "", ""),
        (&["If-None-Match: *".into()], 304, "", ""),
        (&["If-None-Match: \"x\"".into()], 200, "0123456789", ""),
        (&[format!("If-Modified-Since: {date}")], 304, "", ""),
        (&[format!("If-Modified-Since: {old}")], 200, "0123456789", ""),
        (&["If-Modified-Since: nonsense".into()], 200, "0123456789", ""),
        (&["If-None-Match: \"x\"".into(), format!("If-Modified-Since: {date}")], 200, "0123456789", ""),
        (&[format!("If-Match: {tag}")], 200, "0123456789", ""),
        (&["If-Match: \"x\"".into()], 412, "the file has changed\n", ""),
        (&[format!("If-Match: W/{tag}")], 412, "the file has changed\n", ""),
        (&[format!("If-Unmodified-Since: {old}")], 412, "the file has changed\n", ""),
        (&[format!("If-Unmodified-Since: {date}")], 200, "0123456789", ""),
        (&["Range: bytes=0-0".into()], 206, "0", "bytes 0-0/10"),
        (&["Range: bytes=2-4".into()], 206, "234", "bytes 2-4/10"),
        (&["Range: bytes=8-".into()], 206, "89", "bytes 8-9/10"),
        (&["Range: bytes=-3".into()], 206, "789", "bytes 7-9/10"),
        (&["Range: bytes=5-100".into()], 206, "56789", "bytes 5-9/10"),
        (&["Range: bytes=10-".into()], 416, "the file has 10 bytes\n", "bytes */10"),
        (&["Range: bytes=-0".into()], 416, "the file has 10 bytes\n", "bytes */10"),
        (&["Range: bytes=4-2".into()], 200, "0123456789", ""),
        (&["Range: words=1-2".into()], 200, "0123456789", ""),
        (&["Range: bytes=x".into()], 200, "0123456789", ""),
        (&["Range: bytes=0-1,4-5".into()], 200, "0123456789", ""),
        (&["Range: bytes=0-1".into(), format!("If-Range: {tag}")], 206, "01", "bytes 0-1/10"),
        (&["Range: bytes=0-1".into(), "If-Range: \"x\"".into()], 200, "0123456789", ""),
        (&["Range: bytes=0-1".into(), format!("If-Range: W/{tag}")], 200, "0123456789", ""),
        (&["Range: bytes=0-1".into(), format!("If-Range: {date}")], 206, "01", "bytes 0-1/10"),
        (&["Range: bytes=0-1".into(), format!("If-Range: {old}")], 200, "0123456789", ""),
        (&["Range: bytes=0-1".into(), format!("If-None-Match: {tag}")], 304, "", ""),
        (&["Range: bytes=0-1".into(), "If-Match: \"x\"".into()], 412, "the file has changed\n", ""),
    ];
    for (headers, status, body, range) in rows {
        let lines: Vec<&str> = headers.iter().map(String::as_str).collect();
        let reply = client.get("/a.txt", &lines);
        let found = (reply.status, reply.text(), reply.header("content-range").to_owned());
        assert_eq!(found, (*status, (*body).to_owned(), (*range).to_owned()), "{headers:?}");
        if [200, 206, 304].contains(status) {
            assert_eq!(reply.header("etag"), tag, "{headers:?}");
        }
        // HEAD has the same head, and no body. It has no ranges.
        let head = client.request("HEAD", "/a.txt", "localhost", &lines);
        let expected = if [206, 416].contains(status) { 200 } else { *status };
        assert_eq!(head.status, expected, "HEAD {headers:?}");
    }
    let head = client.request("HEAD", "/a.txt", "localhost", &[]);
    assert_eq!((head.header("content-length"), head.header("etag")), ("10", tag.as_str()));
    assert_eq!(client.get("/empty", &[]).header("content-length"), "0");
    assert_eq!(client.get("/empty", &["Range: bytes=0-"]).status, 416);
}

#[test]
fn paths_lead_to_files() {
    let site = site();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let rows: &[(&str, u16, &str)] = &[
        ("/", 200, "<h1>home</h1>"),
        ("/index.html", 200, "<h1>home</h1>"),
        ("/docs/", 200, "docs"),
        ("/docs/page", 200, "page"),
        ("/docs/page.html", 200, "page"),
        ("/in.txt", 200, "0123456789"),
        ("/name%20with%20space.txt", 200, "space"),
        ("/.well-known/x", 200, "known"),
        ("/a.txt?query=1", 200, "0123456789"),
        ("/a.txt/", 404, "no such page"),
        ("/nothing", 404, "no such page"),
        ("/.env", 404, "there is nothing at this path\n"),
        ("/.git/config", 404, "there is nothing at this path\n"),
        ("/%2eenv", 404, "there is nothing at this path\n"),
        ("//etc/passwd", 404, "there is nothing at this path\n"),
        ("/../../etc/passwd", 400, "this is not a path of the site\n"),
        ("/%2e%2e/%2e%2e/etc/passwd", 400, "this is not a path of the site\n"),
        ("/docs/..%2f..%2fetc", 400, "this is not a path of the site\n"),
        ("/a%00b", 400, "this is not a path of the site\n"),
        ("/a%zz", 400, "this is not a path of the site\n"),
    ];
    for (path, status, body) in rows {
        let reply = client.get(path, &[]);
        assert_eq!((reply.status, reply.text().as_str()), (*status, *body), "{path}");
    }
    let moved = client.get("/docs?x=1", &[]);
    assert_eq!((moved.status, moved.header("location")), (301, "/docs/?x=1"));
    let absolute = client.get("http://localhost/a.txt", &[]);
    assert_eq!(absolute.status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = client.request(method, "/a.txt", "localhost", &["Content-Length: 0"]);
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    assert_eq!(client.request("OPTIONS", "/a.txt", "localhost", &[]).status, 204);
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        assert_eq!(client.request("GET", "/a.txt", host, &[]).status, 421, "{host}");
    }
    let page = client.get("/.env", &["Accept: text/html"]);
    assert!(page.text().starts_with("<!doctype html>"), "{}", page.text());
}

#[test]
fn symlinks_stay_in_the_tree() {
    let site = Site::of(&[
        ("a.txt", "=a"),
        ("dir/b.txt", "=b"),
        ("to-dir", ">dir"),
        ("up", ">dir/../a.txt"),
        ("loop", ">loop"),
        ("out", ">../../secret"),
        ("absolute", ">/etc/passwd"),
        ("dangling", ">nothing"),
    ]);
    site.write("genstore.toml", "[publish]\nsymlinks = 'any'\n");
    site.write("secret", "secret");
    site.run("publish dist").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let mut get = |path: &str| client.get(path, &[]).status;
    assert_eq!((get("/to-dir/b.txt"), get("/up")), (200, 200));
    for path in ["/loop", "/out", "/absolute", "/dangling", "/to-dir/x"] {
        assert_eq!(get(path), 404, "{path}");
    }
}

#[test]
fn codings_are_chosen_and_have_tags_of_their_own() {
    let site = site();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let plain = client.get("/long.txt", &[]);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    let zstd = client.get("/long.txt", &["Accept-Encoding: gzip, br, zstd"]);
    assert_eq!(zstd.header("content-encoding"), "zstd");
    assert!(zstd.body.len() < 200 && zstd.header("vary") == "accept-encoding");
    let gzip = client.get("/long.txt", &["Accept-Encoding: gzip"]);
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let tags: BTreeSet<&str> = [&plain, &zstd, &gzip].iter().map(|reply| reply.header("etag")).collect();
    assert_eq!(tags.len(), 3);
    let known = format!("If-None-Match: {}", gzip.header("etag"));
    assert_eq!(client.get("/long.txt", &["Accept-Encoding: gzip", &known]).status, 304);
    // Another form is another representation.
    assert_eq!(client.get("/long.txt", &[&known]).status, 200);
    let part = client.get("/long.txt", &["Accept-Encoding: gzip", "Range: bytes=0-4"]);
    assert_eq!((part.status, part.text().as_str(), part.header("content-encoding")), (206, "words", ""));
    assert_eq!(part.header("etag"), plain.header("etag"));
    let head = client.request("HEAD", "/long.txt", "localhost", &["Accept-Encoding: gzip"]);
    assert_eq!(head.header("content-length"), gzip.body.len().to_string());
    // Files beside the plain one are used as they are.
    let of = |reply: crate::http::Reply| (reply.header("content-encoding").to_owned(), reply.text());
    assert_eq!(of(client.get("/pre.js", &["Accept-Encoding: br"])), ("br".into(), "brotli".into()));
    assert_eq!(of(client.get("/pre.js", &["Accept-Encoding: gzip"])), ("gzip".into(), "gzip".into()));
    assert_eq!(of(client.get("/pre.js", &["Accept-Encoding: zstd"])), (String::new(), "plain".into()));
    // A file that is too small is sent as it is.
    assert_eq!(client.get("/a.txt", &["Accept-Encoding: gzip"]).header("content-encoding"), "");
}

#[test]
fn curl_agrees() {
    needs!(has_program("curl"));
    let site = site();
    let server = Server::start(&site, "");
    let curl = |args: &[&str]| -> String {
        let url = format!("http://localhost:{}/long.txt", server.port);
        let out =
            Command::new("curl").args(["-sS", "--max-time", "30"]).args(args).arg(url).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let whole = "words and words ".repeat(100);
    assert_eq!(curl(&[]), whole);
    assert_eq!(curl(&["--compressed"]), whole);
    assert_eq!(curl(&["-r", "0-4"]), "words");
    let saved = site.path("tag");
    let saved = saved.to_str().unwrap();
    assert_eq!(curl(&["--etag-save", saved]), whole);
    assert_eq!(curl(&["--etag-compare", saved, "-w", "%{http_code}"]), "304");
    let file = site.path("part");
    fs::write(&file, &whole[..500]).unwrap();
    curl(&["-C", "-", "-o", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(file).unwrap(), whole);
    assert!(curl(&["-I"]).contains("content-length: 1600"));
}

#[test]
fn the_rules_of_a_site_apply() {
    let site = Site::of(&[
        ("index.html", "=home"),
        ("_headers", "=/*\n  X-Frame-Options: DENY\n/index.html\n  Cache-Control: max-age=60\n"),
        ("_redirects", "=/old/* /new/:splat 302\n/app/* /index.html 200\n/out https://example.org/ 301\n"),
    ]);
    site.run("publish dist").ok();
    let server = Server::start(&site, "");
    let mut client = server.client();
    let page = client.get("/index.html", &[]);
    assert_eq!((page.header("x-frame-options"), page.header("cache-control")), ("DENY", "max-age=60"));
    let moved = client.get("/old/a/b", &[]);
    assert_eq!((moved.status, moved.header("location")), (302, "/new/a/b"));
    assert_eq!(client.get("/@gen/1/old/a", &[]).header("location"), "/@gen/1/new/a");
    assert_eq!(client.get("/out", &[]).header("location"), "https://example.org/");
    assert_eq!(client.get("/app/x", &[]).text(), "home");
    assert_eq!((client.get("/_headers", &[]).status, client.get("/_redirects", &[]).status), (404, 404));
}

#[test]
fn bad_requests_end_and_the_server_stays() {
    let site = site();
    let server = Server::start(&site, "");
    let head = |more: &str| format!("GET /a.txt HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let rows: &[(Vec<u8>, u16)] = &[
        (b"nonsense\r\n\r\n".to_vec(), 400),
        (b"GET /a.txt HTTP/9.9\r\n\r\n".to_vec(), 400),
        (b"GET /a b c HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), 400),
        (head("Host: evil.example\r\n").into(), 421),
        (head("bad header\r\n").into(), 400),
        (head("Content-Length: x\r\n").into(), 400),
        (head(&format!("X-Big: {}\r\n", "x".repeat(100_000))).into(), 431),
        (head(&"X-Many: 1\r\n".repeat(5000)).into(), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000)).into(), 414),
    ];
    for (bytes, status) in rows {
        let mut client = server.client();
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The server may answer before it has read all.
        drop(stream.write_all(bytes));
        let mut answer = vec![0; 1000];
        let length = stream.read(&mut answer).unwrap_or(0);
        answer.truncate(length);
        let text = String::from_utf8_lossy(&answer);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        let found = text.split(' ').nth(1).unwrap_or_default();
        // A client that is cut off while it sends may lose the response.
        let is_lost = answer.is_empty() && bytes.len() > 32_768;
        let is_one = found == status.to_string() || (*status == 414 && found == "431");
        assert!(is_lost || is_one, "{shown}: {text}");
        assert_eq!(client.get("/a.txt", &[]).status, 200, "{shown}");
    }
}

#[test]
fn clients_that_do_not_read_are_given_up() {
    let site = Site::of(&[("big.bin", "=x"), ("a.txt", "=a")]);
    let file = fs::File::create(site.path("dist/big.bin")).unwrap();
    file.set_len(64 << 20).unwrap();
    site.run("publish dist").ok();
    let server = Server::start(&site, "");
    // They ask for much, and read nothing; others are not delayed.
    let mut idle: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut idle {
        client.send(b"GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let mut many: Vec<Client> = (0..500).map(|_| server.client()).collect();
    for client in many.iter_mut().rev().take(50) {
        assert_eq!(client.get("/a.txt", &[]).text(), "a");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.running.pid())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 100_000, "{kib} KiB for clients that do not read");
}
