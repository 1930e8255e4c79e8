//! The layout is enough to read a store: a reader in another language, written from `store-layout.md`
//! alone, finds what the program published, and names damage.

#![allow(clippy::disallowed_methods, clippy::print_stderr)]

use std::process::Output;

use base64::Engine as _;

use crate::prelude::*;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader.py");

/// The folder of one test, with a source and a store in it.
struct Site {
    dir: PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

impl Site {
    /// Creates an empty site. Returns `None`, with a printed reason, if the reader cannot run.
    fn new(name: &str) -> Option<Site> {
        let probe = Command::new("python3").args(["-c", "import blake3"]).output();
        let why = match probe {
            Ok(output) if output.status.success() => None,
            Ok(_) => Some("the Python module blake3"),
            Err(_) => Some("python3"),
        };
        if let Some(why) = why {
            skip_without_package(why);
            return None;
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-reader-{name}"));
        if fs::symlink_metadata(&dir).is_ok() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(dir.join("out")).unwrap();
        Some(Site { dir })
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    fn write(&self, path: &[u8], content: &str) -> PathBuf {
        let full = self.out().join(OsStr::from_bytes(path));
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, content).unwrap();
        full
    }

    /// Runs the program and returns its JSON.
    fn genstore(&self, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_genstore"))
            .env_clear()
            .env("HOME", &self.dir)
            .current_dir(&self.dir)
            .args(["--store", "store", "--json"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "genstore {args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn run_reader(&self) -> Output {
        Command::new("python3").arg(READER).arg(self.store()).output().unwrap()
    }

    fn read(&self) -> Value {
        let output = self.run_reader();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn text(key: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (key.to_owned(), text.into()),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            (format!("{key}_b64"), text.into())
        }
    }
}

/// Describes a source in the reader's format, without mtimes, by path.
fn expected(root: &Path) -> BTreeMap<Vec<u8>, Value> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut empty = true;
        for entry in fs::read_dir(&folder).unwrap() {
            empty = false;
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let row = if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap().into_os_string().into_vec();
                [text("path", &below), ("kind".to_owned(), json!("symlink")), text("target", &target)]
                    .into_iter()
                    .collect()
            } else {
                let bytes = fs::read(&path).unwrap();
                let mut row = json!({
                    "kind": "file",
                    "size": bytes.len(),
                    "digest": genstore::tree::Digest::of(&bytes).to_string(),
                    "executable": meta.mode() & 0o100 != 0,
                });
                row.as_object_mut().unwrap().extend([text("path", &below)]);
                row
            };
            found.insert(below, row);
        }
        if empty && folder != root {
            let below = folder.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let row = [text("path", &below), ("kind".to_owned(), json!("dir"))].into_iter().collect();
            found.insert(below, row);
        }
    }
    found
}

/// Compares one generation of the reader's document with the published source, and its mtimes with those in
/// the generation's directory.
fn check_generation(found: &Value, published: &BTreeMap<Vec<u8>, Value>, tree: &Path) {
    let mut by_path = BTreeMap::new();
    for entry in found["entries"].as_array().unwrap() {
        let path = match &entry["path"] {
            Value::String(path) => path.clone().into_bytes(),
            _ => base64::engine::general_purpose::STANDARD
                .decode(entry["path_b64"].as_str().unwrap())
                .unwrap(),
        };
        let mut row = entry.clone();
        let mtime = row.as_object_mut().unwrap().remove("mtime");
        if row["kind"] == "file" {
            let meta = fs::symlink_metadata(tree.join(OsStr::from_bytes(&path))).unwrap();
            let shown = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
            assert_eq!(mtime, Some(json!(shown)), "{}", genstore::tree::show_path(&path));
        }
        by_path.insert(path, row);
    }
    assert_eq!(&by_path, published);
}

/// Writes a source with an entry of each kind, and with names and times that are rare.
fn fill(site: &Site) {
    site.write(b"index.html", "<h1>hello</h1>\n");
    site.write(b"assets/app.js", "let a = 1;\n");
    site.write(b"assets-old", "sorts after all of assets/\n");
    site.write(b"twins/a", "the same\n");
    site.write(b"twins/b", "the same\n");
    site.write(b"na\xffme/\xfe\n.txt", "no UTF-8\n");
    site.write(b"empty", "");
    let run = site.write(b"bin/run", "#!/bin/sh\n");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(site.out().join("hollow/dir")).unwrap();
    symlink("bin/run", site.out().join("latest")).unwrap();
    symlink(OsStr::from_bytes(b"na\xffme"), site.out().join("odd")).unwrap();
    filetime::set_file_mtime(&run, filetime::FileTime::from_unix_time(-1, 999_999_999)).unwrap();
}

/// Objects have the names and modes that belong to their bytes (INV-2), every file has its object (INV-5),
/// and its mtime is the recorded one (INV-14): the reader checks all three.
#[test]
fn reads_what_was_published() {
    let Some(site) = Site::new("reads") else { return };
    fill(&site);
    let mut published = vec![expected(&site.out())];
    let first = site.genstore(&[
        "publish",
        "out",
        "-m",
        "first\nof two lines",
        "--fact",
        "branch=main",
        "--fact",
        "ä=ö",
    ]);
    site.write(b"assets/app.js", "let a = 2;\n");
    fs::remove_file(site.out().join("twins/b")).unwrap();
    published.push(expected(&site.out()));
    let second = site.genstore(&["publish", "out", "-m", "second"]);
    site.write(b"assets/app.js", "let a = 3;\n");
    site.write(b"twins/b", "another\n");
    published.push(expected(&site.out()));
    let third = site.genstore(&["publish", "out"]);
    site.genstore(&["pin", "1", "stable"]);
    // Bytes of app.js go back, so its mtime must go forward: the reader needs `shown` for that.
    site.genstore(&["rollback"]);

    site.genstore(&["view", "add", "site"]);
    site.genstore(&["view", "add", "gr\u{fc}n %", "--from", "assets"]);

    let document = site.read();
    let views = site.genstore(&["view", "ls"]);
    let mut found: Vec<(&Value, &Value)> =
        document["views"].as_array().unwrap().iter().map(|view| (&view["path"], &view["target"])).collect();
    found.sort_by_key(|(path, _)| path.as_str());
    let listed = views["views"].as_array().unwrap().iter().map(|view| (&view["path"], &view["target"]));
    assert_eq!(found, listed.collect::<Vec<_>>());
    assert_eq!(found[0].1, "store/current/assets");
    let list = site.genstore(&["list"]);
    assert_eq!(document["current"], 2);
    assert_eq!(document["current"], list["current"]);
    let found = document["generations"].as_array().unwrap();
    let mut listed = list["generations"].as_array().unwrap().clone();
    listed.reverse();
    assert_eq!((found.len(), listed.len()), (3, 3));
    assert!(fs::symlink_metadata(site.store().join("generations/2/shown")).is_ok());
    for (nth, (found, listed)) in found.iter().zip(&listed).enumerate() {
        let number = nth + 1;
        for field in ["generation", "tree", "note", "facts"] {
            assert_eq!(found[field], listed[field], "{field} of generation {number}");
        }
        assert_eq!(found["generation"], number);
        let publication = [&first, &second, &third][nth];
        assert_eq!(found["tree"], publication["tree"]);
        let time: jiff::Timestamp = listed["time"].as_str().unwrap().parse().unwrap();
        let (secs, _) = found["created"].as_str().unwrap().split_once('.').unwrap();
        assert_eq!(secs, time.as_second().to_string());
        let sizes = found["entries"].as_array().unwrap().iter().filter_map(|entry| entry["size"].as_u64());
        assert_eq!(listed["files"], sizes.clone().count());
        assert_eq!(listed["bytes"], sizes.sum::<u64>());
        let tree = site.store().join(format!("generations/{number}/tree"));
        check_generation(found, &published[nth], &tree);
    }
    assert_eq!(found[0]["note"], "first\nof two lines");
    assert_eq!(found[0]["facts"], json!({"branch": "main", "ä": "ö"}));
    let notice = fs::read_to_string(site.store().join("notice")).unwrap();
    assert_eq!(notice, format!("{:<20} {}\n", 2, second["tree"].as_str().unwrap()));
}

/// Flips one bit of a file, and keeps its mode.
fn damage(path: &Path, at: u64) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn names_what_is_damaged() {
    let Some(site) = Site::new("damage") else { return };
    let content = "<h1>hello</h1>\n";
    site.write(b"index.html", content);
    site.genstore(&["publish", "out"]);
    site.read();
    let check = |file: &str, at: u64| {
        let path = site.store().join(file);
        damage(&path, at);
        let output = site.run_reader();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{file}: {message}");
        assert!(output.stdout.is_empty(), "{file}");
        assert!(message.contains(file), "{file}: {message}");
        damage(&path, at);
    };
    let length = fs::metadata(site.store().join("generations/1/manifest")).unwrap().len();
    for at in [0, 8, 16, 24, 56, 88, length - 1] {
        check("generations/1/manifest", at);
    }
    let digest = genstore::tree::Digest::of(content.as_bytes()).to_string();
    check(&format!("objects/{}/{}", &digest[..2], &digest[2..]), 3);
    check("sequence", 8);
    site.genstore(&["view", "add", "site"]);
    let view = fs::read_dir(site.store().join("views")).unwrap().next().unwrap().unwrap().file_name();
    check(&format!("views/{}", view.to_str().unwrap()), 8);
    check("format", 9);
}
