//! "Builds as transactions", by the example `site_compiler`: tests of every promise that a build tool makes
//! when it publishes through the store.

mod calls;
mod failing;
mod readers;
pub mod workshop;

use workshop::{Built, Workshop, snapshot_below};

use crate::prelude::*;

#[test]
fn disk_builds_and_memory_builds_share_one_planner() {
    let trees: Vec<String> = ["--memory", "--disk"]
        .map(|way| {
            let shop = Workshop::new();
            let built = Built::of(&mut shop.bare_command(&[way])).ok();
            let program = fs::read(workshop::example()).unwrap();
            assert!(fs::read(shop.store().join("current/bin/server")).unwrap() == program, "{way}");
            let other = if way == "--disk" { "--memory" } else { "--disk" };
            assert!(
                Built::of(&mut shop.bare_command(&[other]))
                    .ok()
                    .stdout
                    .starts_with("Unchanged: generation 1 ")
            );
            let asset =
                Command::new(shop.store().join("current/app/run")).args(["get", "words.txt"]).output();
            assert_eq!(asset.unwrap().stdout, shop.read("source/assets/words.txt").as_bytes(), "{way}");
            built.tree()
        })
        .into();
    assert_eq!(trees[0], trees[1]);
    assert_eq!(trees[0].len(), 64, "{}", trees[0]);
}

#[test]
fn the_commands_of_the_book_do_what_it_shows() {
    let page = include_str!("../docs/guides/stages.md");
    let start = page.find("cargo run --release --example site_compiler -- ").expect("the page has it");
    let block: Vec<&str> = page[start..].split("```").next().unwrap().lines().collect();
    let [publish, fail, shown @ ..] = &block[..] else { panic!("{block:?}") };
    let folder = genstore_testkit::scratch();
    let run = |line: &str| {
        let args = line.split_once(" -- ").unwrap().1.replace("/tmp/x", folder.path().to_str().unwrap());
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        Built::of(Command::new(workshop::example()).args(args.split(' ')).current_dir(top))
    };
    assert!(run(publish).ok().stdout.starts_with("Published generation 1 "));
    let failed = run(fail);
    assert_eq!((failed.status, failed.stdout.as_str()), (1, ""));
    let shown: Vec<&str> = shown.iter().map(|line| line.strip_prefix("# ").expect("the output")).collect();
    assert_eq!(failed.stderr.lines().collect::<Vec<_>>(), shown);
}

#[test]
fn each_file_is_replaced_by_a_same_filesystem_temporary_and_an_atomic_rename() {
    let shop = Workshop::served();
    let store = shop.store();
    let old = store.join("generations/1");
    for (way, build) in [("--disk", "2"), ("--memory", "3")] {
        let Some(calls) = calls::traced(&shop.command(&["--build", build, way]), &shop.path("trace"))
        else {
            return;
        };
        let guarded = [store.join("current"), old.clone(), shop.path("www"), shop.path("tool")];
        let touched: Vec<_> = calls
            .iter()
            .filter(|call| call.changes(|path| guarded.iter().any(|g| path.starts_with(g))))
            .collect();
        let [call] = &touched[..] else { panic!("{way}: {touched:#?}") };
        let [from, to] = &call.paths[..] else { panic!("{call:?}") };
        assert!(call.name.starts_with("rename") && call.done, "{call:?}");
        assert_eq!(*to, store.join("current"));
        assert!(from.starts_with(store.join("staging")), "{call:?}");
        let dev = |path: &Path| path.symlink_metadata().unwrap().dev();
        assert_eq!(dev(&store.join("staging")), dev(&store.join("current")));
        // The new generation is complete before it gets its place, and is not changed there.
        let new = fs::canonicalize(store.join("current")).unwrap().parent().unwrap().to_owned();
        let placed: Vec<_> =
            calls.iter().filter(|call| call.changes(|path| path.starts_with(&new))).collect();
        assert!(placed.len() == 1 && placed[0].name.starts_with("rename"), "{way}: {placed:#?}");
        assert_eq!(placed[0].paths[1], new);
        let at = |one: &calls::Call| calls.iter().position(|call| call == one).unwrap();
        assert!(at(placed[0]) < at(call), "{way}");
        assert!(calls.len() > 100 && calls.iter().any(|call| call.writes), "{way}: the trace is read");
    }
    assert_eq!(shop.current(), 3);
}

/// Returns the modes of everything below a folder, by path.
fn modes(root: &Path) -> BTreeMap<PathBuf, u32> {
    let mut lines = BTreeMap::new();
    snapshot_below(root, &mut lines);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    lines.keys().map(|path| (path.strip_prefix(root).unwrap().to_owned(), mode(path))).collect()
}

#[test]
fn modes_are_the_same_whatever_the_umask_and_everybody_can_read() {
    let build = |shop: &Workshop, args: &[&str], umask: &str| {
        let command = shop.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(command.get_program());
        shell.args(command.get_args()).current_dir(&shop.dir).env_clear().env("PATH", "/usr/bin:/bin");
        Built::of(&mut shell).ok()
    };
    let shop = Workshop::new();
    fs::set_permissions(&shop.dir, fs::Permissions::from_mode(0o755)).unwrap();
    build(&shop, &["--build", "1", "--memory"], "077");
    shop.edit();
    build(&shop, &["--build", "2"], "077");
    let clean = Workshop::new();
    clean.edit();
    build(&clean, &["--build", "2"], "022");
    let tree = fs::canonicalize(shop.store().join("current")).unwrap();
    let found = modes(&tree);
    assert_eq!(found, modes(&fs::canonicalize(clean.store().join("current")).unwrap()));
    for (path, mode) in &found {
        let expected = match path.to_str().unwrap() {
            "bin/server" | "app/run" => 0o555,
            _ if tree.join(path).metadata().unwrap().is_dir() => 0o755,
            _ => 0o444,
        };
        assert_eq!(*mode, expected, "{}", path.display());
    }
    assert_eq!(tree.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    // Another user, through `current`.
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let script =
        "cd genstore/current/ && find . -type f -exec cat {} + >/dev/null && app/run list && bin/server";
    let command =
        Command::new("setpriv").args(user).args(["sh", "-ec", script]).current_dir(&shop.dir).output();
    match command {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("setpriv:") => {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!((&*stdout, &*stderr), ("mark.svg\npaper.svg\nwords.txt\nbuild 2\n", ""));
        }
        Ok(output) => skip_on_this_machine(String::from_utf8_lossy(&output.stderr).trim()),
        Err(_) => skip_without_package("setpriv"),
    }
}

#[test]
fn unchanged_files_keep_inode_and_mtime_and_changed_ones_move_forward() {
    let shop = Workshop::new();
    let current = shop.store().join("current");
    let mut unchanged = 0;
    shop.build(&["--memory"]).ok();
    for round in 0..4 {
        let old = fs::canonicalize(&current).unwrap();
        // The content alternates, so bytes return that the store already has, with their old mtime.
        shop.write("source/assets/note.txt", &format!("note {}\n", round % 2));
        let text = if round % 2 == 0 { "Another text." } else { "The first text." };
        shop.write("source/guide/readers.md", &format!("# What a reader sees\n{text}\n"));
        shop.build(&[if round % 2 == 0 { "--disk" } else { "--memory" }]).ok();
        let new = fs::canonicalize(&current).unwrap();
        assert_ne!(old, new);
        let mut changed = BTreeSet::new();
        for path in modes(&old).into_keys() {
            let (Ok(before), Ok(after)) = (old.join(&path).metadata(), new.join(&path).metadata()) else {
                continue;
            };
            if before.is_dir() {
                continue;
            }
            if fs::read(old.join(&path)).unwrap() == fs::read(new.join(&path)).unwrap() {
                let of = |meta: &fs::Metadata| (meta.ino(), meta.mtime(), meta.mtime_nsec());
                assert_eq!(of(&before), of(&after), "round {round}: {}", path.display());
                unchanged += 1;
            } else {
                assert!(after.mtime() > before.mtime(), "round {round}: {}", path.display());
                assert_ne!(after.ino(), before.ino());
                changed.insert(path.to_string_lossy().into_owned());
            }
        }
        for path in ["manifest.json", "site/guide/readers.html", "app/lib/assets.sh"] {
            assert!(changed.contains(path), "round {round}: {path} is not among {changed:?}");
        }
    }
    assert!(unchanged > 30, "{unchanged}");
}
