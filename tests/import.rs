//! `export --archive` and `import`: generations whole, from one store to another.

use crate::prelude::*;

/// Creates a site with three generations, a pin and a mark; 2 is current.
fn site() -> Site {
    let site = Site::new();
    let long = format!("long/{}/{}", "n".repeat(120), "m".repeat(120));
    let tree = |index: &'static str| {
        site.tree(
            "dist",
            &[
                ("index", index),
                ("same", "=same"),
                ("twin", "=same"),
                ("empty", "="),
                ("run", "!#!"),
                ("d", "/"),
                ("l", ">run"),
                (&long, "=long"),
                ("ü", "=u"),
            ],
        );
    };
    for (index, more) in [("=one", "-m one --fact k=v"), ("=two", "-m two"), ("=three", "--no-activate")] {
        tree(index);
        site.run(&format!("publish dist {more}")).ok();
    }
    site.run("pin 1 stable -m kept").ok();
    site.run("mark 3 bad -m broken").ok();
    site
}

fn trees(site: &Site, store: &str) -> Vec<String> {
    let list = site.run(&format!("--store {store} list --json")).is_json("genstore.list/1");
    let generations = list["generations"].as_array().unwrap().iter().rev();
    generations.map(|one| one["tree"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_store_is_moved_whole() {
    let site = site();
    site.run("export --archive all.tar")
        .prints("Exported generations 1, 2, 3 to all.tar: 21 files, 22 B\n");
    let done = site.run("--store copy import all.tar --activate --json").is_json("genstore.import/1");
    assert_eq!((&done["current"], done["generations"].as_array().unwrap().len()), (&2.into(), 3));
    assert_eq!(trees(&site, "copy"), trees(&site, "genstore"));
    let same = |generation: u64| {
        let shown =
            |store: &str| read_tree(&site.path(format!("{store}/generations/{generation}/tree"))).unwrap();
        assert_eq!(shown("copy"), shown("genstore"), "generation {generation}");
    };
    same(1);
    same(3);
    let list = site.run("--store copy list --json").is_json("genstore.list/1");
    has(&list["generations"][0], json!({"generation": 3, "mark": "bad"}));
    has(&list["generations"][2], json!({"generation": 1, "note": "one"}));
    has(&list["generations"][2]["pins"][0], json!({"name": "stable", "why": "kept"}));
    let facts = &list["generations"][2]["facts"];
    assert_eq!((&facts["k"], &facts["imported.generation"]), (&"v".into(), &"1".into()), "{facts}");
    site.run("--store copy verify").ok();
    // Equal files share one inode, in the store and in what tar unpacks.
    let inode = |path: &str| site.path(path).metadata().unwrap().ino();
    assert_eq!(inode("copy/generations/1/tree/same"), inode("copy/generations/3/tree/twin"));
    fs::create_dir(site.path("unpacked")).unwrap();
    let tar =
        Command::new("tar").args(["-xf", "all.tar", "-C", "unpacked"]).current_dir(site.path("")).status();
    assert!(tar.unwrap().success());
    assert_eq!(inode("unpacked/generations/1/tree/same"), inode("unpacked/generations/3/tree/twin"));
    let unpacked = read_tree(&site.path("unpacked/generations/3/tree")).unwrap();
    assert!(same_content(&unpacked, &read_tree(&site.path("genstore/generations/3/tree")).unwrap()));
    let mtime = |path: &str| site.path(path).metadata().unwrap().modified().unwrap();
    assert_eq!(mtime("unpacked/generations/1/tree/run"), mtime("genstore/generations/1/tree/run"));
    // The same again changes nothing.
    let again = site.run("--store copy import all.tar").ok();
    assert_eq!(again.stdout.matches("Unchanged").count(), 3, "{}", again.stdout);
    assert_eq!(trees(&site, "copy").len(), 3);
}

#[test]
fn one_generation_goes_through_a_pipe_compressed() {
    let site = site();
    let output = site
        .command("export 2 --archive -")
        .stdout_is(fs::File::create(site.path("one.tar")).unwrap())
        .run();
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stderr.contains("Exported generation 2 to standard output"), "{}", output.stderr);
    assert!(Command::new("gzip").arg("one.tar").current_dir(site.path("")).status().unwrap().success());
    let done = site.command("--store other import -").run_on(&fs::read(site.path("one.tar.gz")).unwrap());
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stdout.contains("Imported generation 2 "), "{}", done.stdout);
    // It is kept, and nothing is current.
    assert_eq!(trees(&site, "other"), trees(&site, "genstore")[1..2]);
    site.run("--store other current").fails(1, "error: ");
    assert_eq!(site.run("export 2 --archive - --json").json_error()["code"], "usage");
}

#[test]
fn what_is_there_is_not_replaced() {
    let site = site();
    site.write("all.tar", "mine");
    site.run("export --archive all.tar").fails(1, "error: all.tar already exists\n");
    assert_eq!(site.read("all.tar"), "mine");
    site.run("--store none export --archive new.tar").fails(10, "error: ");
    site.run("export 9 --archive new.tar").fails(1, "error: ");
    assert!(!site.has("new.tar"));
    // Damage does not get into an archive, and a part of one does not stay.
    let path = site.path("genstore/generations/1/tree/same");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&path, "SAME").unwrap();
    site.run("export --archive new.tar").fails(4, "error: ");
    assert!(!site.has("new.tar"));
    assert!(site.names("").iter().all(|name| !name.starts_with(".genstore")), "{:?}", site.names(""));
}

#[test]
fn a_bad_archive_makes_no_generation() {
    let site = site();
    site.run("export --archive all.tar").ok();
    let good = fs::read(site.path("all.tar")).unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        fs::write(site.path("bad.tar"), bytes).unwrap();
        let output = site.run("--store bad import bad.tar");
        assert!([1, 4].contains(&output.status), "{name}: {} {}", output.status, output.stderr);
        assert_eq!(site.names("bad/generations"), [""; 0], "{name}");
        site.run("--store bad verify").ok();
        fs::remove_dir_all(site.path("bad")).unwrap();
        output.stderr
    };
    for cut in [0, 511, 512, 5_000, good.len() / 2, good.len() - 1024] {
        refused(&format!("cut at {cut}"), &good[..cut]);
    }
    // Other bytes under a good name.
    let at = good.windows(4).position(|bytes| bytes == b"same").unwrap();
    let at = at + good[at..].windows(8).position(|bytes| bytes == b"same\0\0\0\0").unwrap();
    let mut other = good.clone();
    let data = (at..).step_by(1).find(|at| at % 512 == 0 && good[*at..].starts_with(b"same\0")).unwrap();
    other[data..data + 4].copy_from_slice(b"evil");
    assert!(refused("other bytes", &other).contains("are others"), "{}", refused("other bytes", &other));
    // Members that the manifest does not have, above all those that lead out of the tree.
    let with = |path: &str| {
        let mut header = tar_header(path, 4);
        header.extend_from_slice(b"evil");
        header.resize(1024, 0);
        [&good[..good.len() - 1024], &header, &[0; 1024]].concat()
    };
    for path in [
        "generations/3/tree/../../../out",
        "/etc/evil",
        "generations/3/tree/new",
        "generations/9/manifest",
        "x",
    ] {
        let told = refused(path, &with(path));
        assert!(told.contains("the member "), "{path}: {told}");
    }
    assert!(!site.has("out"));
    refused("no archive of genstore", &[&tar_header("a", 0)[..], &[0; 1024]].concat());
}

/// Creates the header of a file.
fn tar_header(path: &str, size: u64) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
