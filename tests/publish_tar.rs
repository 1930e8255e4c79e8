//! `publish --from-tar`, with archives of the system's tar.

use genstore_testkit::at;

use crate::prelude::*;

/// Creates an archive of `src`.
fn tar(site: &Site, args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(["cf", "-"]).args(args).args(["-C", "src", "."]).current_dir(site.path(""));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn site() -> Site {
    let site = Site::new();
    let list = [("a", "=one\n"), ("bin/run", "!#!"), ("d/empty", "/"), ("d/none", "="), ("l", ">d")];
    site.tree("src", &list);
    fs::hard_link(site.path("src/a"), site.path("src/d/same")).unwrap();
    fs::hard_link(site.path("src/l"), site.path("src/m")).unwrap();
    site
}

fn long(site: &Site) {
    let folder = format!("src/{}/{}", "f".repeat(150), "g".repeat(150));
    site.write(&format!("{folder}/{}", "h".repeat(200)), "deep");
    symlink("h".repeat(200), site.path(format!("{folder}/link"))).unwrap();
}

#[test]
fn every_format_gives_what_was_packed() {
    let site = site();
    for format in ["v7", "ustar", "gnu", "oldgnu", "pax"] {
        // The mtimes have no fraction: `--format=v7` cannot store one.
        let bytes = tar(&site, &[&format!("--format={format}")]);
        let store = format!("store-{format}");
        let args = format!("publish --from-tar - --store {store}");
        site.command(&args).run_on(&bytes).is(
            0,
            &format!(
                "   Created the store [DIR]/{store}\n   Scanned 4 files, 10 B in [TIME]\n    \
                 Stored 2 new objects, 6 B (2 shared)\n \
                 Published generation 1 [ID] (the first): +7 ~0 -0 in [TIME]\n"
            ),
            "",
        );
        let read = |path: &str| read_tree(&site.path(path)).unwrap();
        assert_eq!(read(&format!("{store}/current")), read("src"), "{format}");
        let tree = site.run(&format!("publish src --json --store {store}")).is_json("genstore.publish/1");
        assert_eq!(tree["changed"], json!(false), "{format}");
    }
    long(&site);
    for format in ["gnu", "pax"] {
        let bytes = tar(&site, &[&format!("--format={format}")]);
        let store = format!("store-{format}");
        site.command(&format!("publish --from-tar - --store {store}")).run_on(&bytes).ok();
        let read = |path: &str| read_tree(&site.path(path)).unwrap();
        assert_eq!(read(&format!("{store}/current")), read("src"), "{format}");
        site.run(&format!("verify --store {store}")).ok();
    }
}

#[test]
fn times_come_from_the_members() {
    let site = site();
    for (file, time) in [
        ("a", at(1_000_000_000) + std::time::Duration::from_nanos(123_456_789)),
        ("bin/run", at(0) - std::time::Duration::from_millis(1_500)),
    ] {
        let file = fs::File::options().append(true).open(site.path("src").join(file)).unwrap();
        file.set_modified(time).unwrap();
    }
    site.command("publish --from-tar -").run_on(&tar(&site, &["--format=pax"])).ok();
    let time = |path: &str| {
        let meta = site.path(path).metadata().unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(time("genstore/current/a"), (1_000_000_000, 123_456_789));
    assert_eq!(time("genstore/current/d/same"), (1_000_000_000, 123_456_789));
    assert_eq!(time("genstore/current/bin/run"), (-2, 500_000_000));
    // Without pax, a time before 1970 is a negative binary number, in whole seconds.
    let gnu = tar(&site, &["--format=gnu"]);
    site.command("publish --from-tar - --store other").run_on(&gnu).ok();
    assert_eq!(time("other/current/a"), (1_000_000_000, 0));
    assert_eq!(time("other/current/bin/run"), (-2, 0));
}

#[test]
fn members_that_cannot_be_kept_are_named_together() {
    let site = site();
    assert!(Command::new("mkfifo").arg(site.path("src/d/fifo")).status().unwrap().success());
    symlink("../../up", site.path("src/d/up")).unwrap();
    site.write("x.tar", tar(&site, &[]));
    site.run("publish --from-tar x.tar").exits(1).says(
        "error: cannot publish x.tar: 2 problems\n\
         \x20 d/fifo is a FIFO\n\
         \x20 d/up is a symlink that leaves the tree (to ../../up)\n\
         hint: make the archive without these members, or allow such links with `symlinks = \"any\"` \
         under [publish] in genstore.toml\n",
    );
    let error = site.run("publish --from-tar x.tar --json").json_error();
    assert_eq!(error["problems"][0], json!({"path": "d/fifo", "what": "is a FIFO"}));
    assert!(!site.has("genstore"));
    fs::remove_file(site.path("src/d/fifo")).unwrap();
    fs::remove_file(site.path("src/d/up")).unwrap();
    // The file is appended once more: of two files with one path neither is right.
    let twice = tar(&site, &["-C", "src", "./a", "-C", ".."]);
    site.command("publish --from-tar -").run_on(&twice).exits(1).says(
        "error: cannot publish standard input: 1 problem\n  a stands twice\n\
         hint: make the archive without these members; nothing was written\n",
    );
    // Only -P keeps absolute names.
    let file = site.path("src/a");
    let absolute = Command::new("tar").args(["cPf", "-"]).arg(&file).output().unwrap().stdout;
    let told = format!("\n  {} the path is absolute\n", site.replace(file.to_str().unwrap()));
    let output = site.command("publish --from-tar -").run_on(&absolute);
    assert!(output.status == 1 && output.stderr.contains(&told), "{}", output.stderr);
}

#[test]
fn sparse_members_keep_their_holes() {
    let site = Site::new();
    site.tree("src", &[("before", "=b"), ("z-after", "=z")]);
    // A file that is all hole, one with a hole at either end, and one with more parts than a header, or a
    // block after it, can hold.
    for (name, len, parts, apart) in [
        ("all", 3 << 20, 0, 0),
        ("start", 3 << 20, 1, 0),
        ("many", 4 << 20, 30, 128 << 10),
        ("odd", 70_001, 1, 9),
    ] {
        let file = fs::File::create(site.path("src").join(name)).unwrap();
        file.set_len(len).unwrap();
        for part in 0..parts {
            file.write_all_at(b"part", part * apart).unwrap();
        }
    }
    let old = ["--format=gnu", "--format=oldgnu"].map(|format| vec![format]);
    let pax = ["0.0", "0.1", "1.0"].map(|version| format!("--sparse-version={version}"));
    let pax = pax.iter().map(|version| vec!["--format=pax", version.as_str()]);
    for (nth, mut args) in old.into_iter().chain(pax).enumerate() {
        args.push("--sparse");
        let bytes = tar(&site, &args);
        assert!(bytes.len() < 1 << 20, "{args:?}: tar found no holes");
        let store = format!("store-{nth}");
        site.command(&format!("publish --from-tar - --store {store}")).run_on(&bytes).ok();
        let read = |path: &str| read_tree(&site.path(path)).unwrap();
        assert_eq!(read(&format!("{store}/current")), read("src"), "{args:?}");
        for name in ["all", "start", "many", "odd"] {
            let room = |folder: &str| site.path(folder).join(name).metadata().unwrap().blocks() * 512;
            let (found, expected) = (room(&format!("{store}/current")), room("src"));
            assert!(found <= expected, "{args:?} {name}: {found} and not {expected}");
        }
        // A part of an archive is no archive.
        let args = format!("publish --from-tar - --store cut-{nth}");
        site.command(&args)
            .run_on(&bytes[..bytes.len() / 2])
            .fails(1, "error: standard input is cut short");
        assert!(!site.has(&format!("cut-{nth}/current")));
    }
}

#[test]
fn a_broken_archive_changes_nothing() {
    let site = site();
    site.run("publish src").ok();
    site.write("src/big", vec![7; 5000]);
    let bytes = tar(&site, &[]);
    // Everything after the first block of the end marker is padding.
    let end = bytes.chunks(512).position(|block| block.iter().all(|&b| b == 0)).unwrap() * 512;
    for cut in (0..=end).step_by(256) {
        let output = site.command("publish --from-tar -").run_on(&bytes[..cut]);
        output.fails(1, "error: standard input is cut short ");
    }
    site.run("current").prints("1\n");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    site.command("publish --from-tar -").run_on(&bytes[..end + 512]).ok();
    site.run("current").prints("2\n");
    let mut flipped = bytes.clone();
    flipped[0] ^= 1;
    site.command("publish --from-tar -").run_on(&flipped).exits(1).says(
        "error: standard input is not a tar archive\n\
         hint: name an uncompressed tar archive, or pipe it in with `--from-tar -`\n",
    );
}

#[test]
fn no_more_is_taken_in_than_was_allowed() {
    let site = site();
    site.write("src/big", vec![7; 5000]);
    site.write("x.tar", tar(&site, &["--sort=name"]));
    site.run("publish --from-tar x.tar --max-total 4K").exits(1).says(
        "error: x.tar holds more than 4.0 KiB: stopped at the member big\n\
         hint: nothing was written; allow more with --max-total\n",
    );
    let error = site.run("publish --from-tar x.tar --max-total 4K --json -n").json_error();
    has(&error, json!({"code": "too-large", "exit": 1}));
    assert!(!site.has("genstore"));
    site.run("publish --from-tar x.tar --max-total 5010").ok();
    site.run("publish --from-tar x.tar --max-total 5009").fails(1, "error: x.tar holds more than 4.9 KiB");
    site.run("publish --from-tar x.tar --max-total much").fails(
        2,
        "error: invalid value 'much' for '--max-total <SIZE>': not a size: much (write it like 4096",
    );
}

#[test]
fn nothing_stays_of_what_was_spooled() {
    let site = site();
    fs::create_dir(site.path("tmp")).unwrap();
    let bytes = tar(&site, &[]);
    for (args, cut) in
        [("publish --from-tar - -n", 0), ("publish --from-tar -", 9000), ("publish --from-tar -", 0)]
    {
        let run = site.command(args).env("TMPDIR", site.path("tmp"));
        let output = run.run_on(&bytes[..bytes.len() - cut]);
        assert_eq!(output.status, i32::from(cut > 0), "{}", output.stderr);
        assert_eq!(site.names("tmp"), [""; 0]);
    }
    // If nothing can be spooled, the message says so.
    let output =
        site.command("--store other publish --from-tar -").env("TMPDIR", site.path("none")).run_on(&bytes);
    output.fails(1, "error: cannot make a directory in [DIR]/none\n");
}
