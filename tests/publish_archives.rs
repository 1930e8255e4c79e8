//! `publish --from-tar` with compressed archives, and with parts of archives.

use crate::prelude::*;

/// Packs `src`, through this filter of tar.
fn pack(site: &Site, filter: &str) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["-cf", "-", filter, "-C", "src", "."])
        .current_dir(site.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn site() -> Site {
    let site = Site::new();
    site.tree(
        "src",
        &[("v1/bin/run", "!#!"), ("v1/doc/a", "=one"), ("v1/doc/d", "/"), ("README", "=readme")],
    );
    fs::hard_link(site.path("src/v1/doc/a"), site.path("src/v1/doc/same")).unwrap();
    site
}

#[test]
fn the_content_decides_how_it_is_unpacked() {
    let site = site();
    site.run("publish src").ok();
    for (filter, program) in [("--gzip", "gzip"), ("--zstd", "zstd"), ("--xz", "xz")] {
        if !has_program(program) {
            continue;
        }
        // A name that says something else does not matter.
        let packed = pack(&site, filter);
        assert_ne!(&packed[..2], b"./");
        site.write("x.tar", &packed);
        let output = site.run("publish --from-tar x.tar").ok();
        assert!(output.stdout.contains("Unchanged"), "{program}: {}", output.stdout);
        // A stream that was cut off is refused.
        site.write("x.tar", &packed[..packed.len() / 2]);
        assert_eq!(site.run("publish --from-tar x.tar").status, 1, "{program}");
    }
    site.write("x", "BZh91AY");
    site.run("publish --from-tar x").fails(1, "error: x is compressed with bzip2\n");
    // A bomb is stopped by the limit, however small it is.
    site.write("src/zeros", vec![0; 4 << 20]);
    site.write("x.tgz", pack(&site, "--gzip"));
    assert_eq!(
        site.run("publish --from-tar x.tgz --max-total 1MiB --json").json_error()["code"],
        "too-large"
    );
}

#[test]
fn a_part_of_an_archive_is_published() {
    for (args, expected) in [
        ("--strip-components 1", vec!["bin/run", "doc/a", "doc/d", "doc/same"]),
        ("--subdir v1/doc", vec!["a", "d", "same"]),
        ("--subdir v1/ --strip-components 1", vec!["a", "d", "run", "same"]),
    ] {
        let site = site();
        site.write("x.tar", pack(&site, "--gzip"));
        site.run(&format!("publish --from-tar x.tar {args}")).ok();
        let tree = read_tree(&site.path("genstore/current")).unwrap();
        let paths: Vec<_> = tree.keys().cloned().collect();
        let leaves =
            paths.iter().filter(|path| !paths.iter().any(|other| other.starts_with(&format!("{path}/"))));
        assert_eq!(leaves.collect::<Vec<_>>(), expected, "{args}");
    }
    let site = site();
    site.write("x.tar", pack(&site, "--gzip"));
    for args in ["--subdir v2", "--strip-components 9"] {
        site.run(&format!("publish --from-tar x.tar {args}"))
            .fails(1, "error: x.tar has no member in that folder\n");
    }
    for args in ["src --subdir v1", "--root a=src --strip-components 1", "--from-tar x.tar --subdir ../v1"]
    {
        assert_eq!(site.run(&format!("publish {args}")).status, 2, "{args}");
    }
}

/// Makes a zip archive with Python's own module: names with modes and bytes.
fn zip(site: &Site, to: &str, members: &str) {
    let script = format!(
        "import zipfile\nz = zipfile.ZipFile('{to}', 'w', zipfile.ZIP_DEFLATED)\nfor name, mode, text in {members}:\n    \
         i = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)); i.external_attr = mode << 16; i.create_system = 3\n    \
         i.compress_type = zipfile.ZIP_DEFLATED; z.writestr(i, text)\nz.close()\n"
    );
    let done =
        Command::new("python3").args(["-W", "ignore", "-c", &script]).current_dir(site.path("")).status();
    assert!(done.unwrap().success());
}

#[test]
fn zip_archives_are_read() {
    if !has_program("python3") {
        return;
    }
    let site = Site::new();
    zip(
        &site,
        "x.zip",
        "[('top/', 0o40755, ''), ('top/run', 0o100755, '#!'), ('top/a', 0o100644, 'one'), ('top/l', 0o120777, 'a'), ('top/d/', 0o40755, '')]",
    );
    site.run("publish --from-tar x.zip --strip-components 1").ok();
    site.tree("same", &[("run", "!#!"), ("a", "=one"), ("l", ">a"), ("d", "/")]);
    assert!(site.run("publish same").ok().stdout.contains("Unchanged"));
    let mtime = site.path("genstore/current/a").metadata().unwrap().mtime();
    assert_eq!(mtime, 1_767_323_046);
    // From a pipe, and a part of it.
    let bytes = fs::read(site.path("x.zip")).unwrap();
    let output = site.command("publish --from-zip - --subdir top/d -n --allow-empty").run_on(&bytes);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let output = site.command("publish --from-zip - --subdir top").run_on(&bytes);
    assert!(output.stdout.contains("Unchanged"), "{}{}", output.stdout, output.stderr);
    // A cut archive, other bytes, a bomb.
    site.write("cut.zip", &bytes[..bytes.len() - 30]);
    assert_eq!(site.run("publish --from-tar cut.zip --json").json_error()["code"], "bad-zip");
    let mut other = bytes.clone();
    let at = other.windows(5).position(|window| window == b"top/a").unwrap() + 5;
    other[at + 1] ^= 0x55;
    site.write("other.zip", &other);
    assert_eq!(site.run("publish --from-tar other.zip --json").json_error()["code"], "bad-zip");
    zip(&site, "bomb.zip", "[('zeros', 0o100644, bytes(8 << 20))]");
    assert_eq!(
        site.run("publish --from-tar bomb.zip --max-total 1MiB --json").json_error()["code"],
        "too-large"
    );
    // Nothing leaves the tree.
    for member in [
        "('../out', 0o100644, 'x')",
        "('/etc/out', 0o100644, 'x')",
        "('l', 0o120777, '../../out')",
        "('f', 0o010644, '')",
    ] {
        zip(&site, "bad.zip", &format!("[('good', 0o100644, 'g'), {member}]"));
        let output = site.run("publish --from-tar bad.zip");
        assert_eq!(output.status, 1, "{member}: {}", output.stderr);
    }
    assert!(!site.has("out"));
    assert_eq!(site.names("genstore/generations"), ["1"]);
}

/// Serves one file, to each client, until the test ends.
fn serve(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            head.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().to_owned();
            while line != "\r\n" && !line.is_empty() {
                line.clear();
                head.read_line(&mut line).unwrap();
            }
            let (status, body) = match path.as_str() {
                "/x.tar.gz" => ("200 OK", &bytes[..]),
                "/moved" => ("302 Found\r\nLocation: /x.tar.gz", &b""[..]),
                _ => ("404 Not Found", &b""[..]),
            };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(&[answer.as_bytes(), body].concat()).ok();
        }
    });
    port
}

#[test]
fn an_archive_on_the_web_has_its_digest() {
    let site = site();
    let packed = pack(&site, "--gzip");
    site.write("x.tar.gz", &packed);
    let sum = Command::new("sha256sum").arg("x.tar.gz").current_dir(site.path("")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let at = format!("http://127.0.0.1:{}", serve(packed));
    site.run("publish src").ok();
    for path in ["x.tar.gz", "moved"] {
        let output = site.run(&format!("publish --from-tar {at}/{path}#sha256-{sum}")).ok();
        assert!(output.stdout.contains("Unchanged"), "{path}: {}", output.stdout);
    }
    let other = sum.chars().rev().collect::<String>();
    for (source, code) in [
        (format!("{at}/x.tar.gz#sha256-{other}"), "wrong-digest"),
        (format!("{at}/x.tar.gz"), "no-digest"),
        (format!("{at}/x.tar.gz#md5-{sum}"), "no-digest"),
        (format!("{at}/missing#sha256-{sum}"), "download"),
        (format!("http://127.0.0.1:1/x#sha256-{sum}"), "download"),
    ] {
        let error = site.run(&format!("publish --from-tar {source} --json")).json_error();
        assert_eq!(error["code"], code, "{source}: {error}");
    }
    assert_eq!(site.names("genstore/generations"), ["1"]);
}
