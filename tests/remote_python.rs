//! `remote-layout.md` is enough to pull from a directory: a reader in another language writes the same tree,
//! and names damage.

use crate::prelude::*;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/remote_reader.py");

/// Pulls a channel into a folder.
fn read(site: &Site, channel: &str, folder: &str) -> std::process::Output {
    let mut python = Command::new("python3");
    python.arg("-B").arg(READER).arg(site.path("remote")).arg(channel).arg(site.path(folder));
    python.output().unwrap()
}

#[test]
fn another_program_pulls_the_same_trees_and_names_damage() {
    let probe = Command::new("python3").args(["-c", "import blake3"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip_without_package("the Python module blake3");
    }
    if !has_program("zstd") {
        return;
    }
    let site = Site::published();
    let push = |channel: &str| {
        let args = format!("push file://{} {channel}", site.path("remote").display());
        site.command(&args).env("XDG_STATE_HOME", site.path("state")).run().ok();
    };
    push("main");
    // Bytes that do not compress: a pack of its own, and a large file.
    let noise = |seed: u64, len: usize| {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect::<Vec<u8>>()
    };
    site.write("dist/big", noise(1, 9 << 20));
    site.write("dist/middle", noise(2, 2 << 20));
    site.run("publish dist").ok();
    push("main");
    site.write("dist/small", "small");
    symlink("big", site.path("dist/link")).unwrap();
    fs::create_dir(site.path("dist/empty")).unwrap();
    site.run("publish dist").ok();
    push("main");
    site.command(&format!("promote file://{} main stable", site.path("remote").display()))
        .env("XDG_STATE_HOME", site.path("state"))
        .run()
        .ok();
    let done = read(&site, "stable", "pulled");
    assert!(done.status.success(), "{done:?}");
    let tree = |path: &Path| read_tree(path).unwrap();
    assert!(same_content(&tree(&site.path("pulled")), &tree(&site.path("genstore/current"))));
    let current = site.run("show @ --json").json("genstore.show/1");
    assert_eq!(String::from_utf8(done.stdout).unwrap().trim(), current["tree"]);
    // Each file that it needs: one byte is another.
    let mut files = vec![];
    for folder in ["log", "bundle", "pack", "big"] {
        let mut open = vec![site.path(format!("remote/{folder}"))];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path())
                } else {
                    files.push(entry.path())
                }
            }
        }
    }
    assert!(files.len() >= 8, "{files:?}");
    let mut noticed = 0;
    for file in &files {
        let right = fs::read(file).unwrap();
        let mut wrong = right.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 1;
        fs::write(file, &wrong).unwrap();
        let done = read(&site, "main", "damaged");
        // The second bundle is no part of what the third generation needs, unless it holds a pack.
        if done.status.success() {
            assert!(file.to_string_lossy().contains("/bundle/"), "{file:?}");
            fs::remove_dir_all(site.path("damaged")).unwrap();
        } else {
            let said = String::from_utf8(done.stderr).unwrap();
            assert!(said.contains("reader.py: "), "{said}");
            assert!(!site.has("damaged"), "nothing was written");
            noticed += 1;
        }
        fs::write(file, &right).unwrap();
    }
    assert!(noticed + 1 >= files.len(), "{noticed} of {}", files.len());
}
