//! Builds that fail, are killed, or find the disk full: the committed generation does not change.

use genstore::publish::Owner;
use genstore_testkit::debris;

use super::workshop::{BEFORE_THE_POINTER, Built, Workshop, complete, snapshot_below};
use crate::prelude::*;

/// The exit status of a process that got SIGKILL, as a shell reports it.
const KILLED: i32 = 128 + 9;

#[test]
fn no_output_changes_until_planning_formatting_and_the_final_audit_succeeded() {
    let shop = Workshop::served();
    let before = shop.snapshot();
    for place in BEFORE_THE_POINTER {
        for (how, status) in [("", 1), (":enospc", 1), (":kill", KILLED)] {
            for way in ["--memory", "--disk"] {
                let built = shop.build(&["--build", "2", way, "--fail-at", &format!("{place}{how}")]);
                assert_eq!(built.status, status, "{place}{how} {way}: {}", built.stderr);
                assert_eq!(shop.snapshot(), before, "{place}{how} {way}");
            }
        }
    }
    // Failures without an injected fault.
    let page = shop.read("source/index.md");
    shop.write("source/index.md", &format!("{page}[nowhere](guide/none.md)\n"));
    let built = shop.build(&["--build", "2"]);
    let message = "error: the phase audit failed: site/index.html: leads to guide/none.html (dead-link)";
    assert!(built.stderr.starts_with(message), "{}", built.stderr);
    shop.write("source/index.md", &page);
    let recipe = "test -x \"$STAGED/bin/server\" && touch \"$STAGED/site/index.html.gz\"";
    let built = shop.build(&["--build", "2", "--deploy-recipe", recipe]);
    assert!(built.stderr.contains("site/index.html.gz: was added by an audit"), "{}", built.stderr);
    let built = shop.build(&["--build", "2", "--deploy-recipe", "exit 7"]);
    let message = "error: the phase deploy-recipe failed: the deployment recipe: exit status: 7\n\
                   hint: generations/1/tree is served, as before\n";
    assert_eq!(built.stderr, message);
    assert_eq!(shop.snapshot(), before);
    // Without a failure everything changes at once; trouble with a view comes after that.
    let built = shop.build(&["--build", "2", "--fail-at", "view"]);
    assert_eq!(built.status, 3, "{}", built.stderr);
    assert_ne!(shop.snapshot(), before);
    assert_eq!(complete(|part| shop.store().join("current").join(part)), Ok(2));
    assert_eq!(fs::read(shop.path("www/guide/new.html")).is_ok(), fs::read(shop.path("tool/run")).is_ok());
    shop.verify();
}

/// Describes the files of the first generation.
fn first_generation(shop: &Workshop) -> BTreeMap<PathBuf, String> {
    let mut lines = BTreeMap::new();
    snapshot_below(&shop.store().join("generations/1/tree"), &mut lines);
    lines
}

#[test]
fn a_failed_build_leaves_the_committed_generation_intact() {
    let base = Workshop::served();
    let check = |shop: &Workshop, before: &BTreeMap<PathBuf, String>, what: &str| {
        assert_eq!(first_generation(shop), *before, "{what}");
        let build = complete(|part| shop.store().join("current").join(part));
        assert!(build == Ok(1) || build == Ok(2), "{what}: {build:?}");
        shop.verify();
    };
    for how in ["kill", "eio", "enospc"] {
        let shop = base.copy();
        let before = first_generation(&shop);
        let (mut step, mut failed) = (1, 0);
        loop {
            let at = format!("{step}:{how}");
            let built = shop.build(&["--build", "2", "--fail-step", &at]);
            check(&shop, &before, &at);
            failed += usize::from(built.status != 0);
            step += 11;
            if built.status == 0 && step > 150 {
                break;
            }
        }
        assert!(failed >= 5, "{how}: {failed}");
    }
    let before = first_generation(&base);
    for place in ["plan:kill", "write", "compile:kill", "audit", "flush:kill", "pointer:kill", "view:kill"]
    {
        let built = base.build(&["--build", "2", "--fail-at", place]);
        assert_ne!(built.status, 0, "{place}");
        check(&base, &before, place);
    }
}

#[test]
fn a_full_disk_leaves_the_committed_generation_intact() {
    let Some(disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let shop = Workshop::at(&disk.path());
    shop.serve();
    let before = shop.snapshot();
    let noise: Vec<u8> =
        (0u64..200_000).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()).collect();
    fs::write(shop.path("source/assets/big.bin"), &noise).unwrap();
    let filler = shop.path("filler");
    for left in [0_u64, 300_000, 1_000_000, 2_000_000] {
        // All but this many bytes are used. Removed files are free only after a flush.
        assert!(Command::new("sync").arg("-f").arg(disk.path()).status().unwrap().success());
        let stat = rustix::fs::statvfs(disk.path()).unwrap();
        let size = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
        rustix::fs::fallocate(
            fs::File::create(&filler).unwrap(),
            rustix::fs::FallocateFlags::empty(),
            0,
            size,
        )
        .unwrap();
        for way in ["--memory", "--disk"] {
            let mut command = shop.command(&["--build", "2", way]);
            let built = Built::of(command.env("TMPDIR", "/dev/shm"));
            let full = built.stderr.contains("No space left on device");
            assert!(built.status == 1 && full, "{left} {way}: {} {}", built.stdout, built.stderr);
            assert_eq!(shop.snapshot(), before, "{left} {way}");
        }
        fs::remove_file(&filler).unwrap();
    }
    shop.build(&["--build", "2"]).ok();
    assert_eq!(complete(|part| shop.store().join("current").join(part)), Ok(2));
    assert_eq!(debris(&shop.store()), [""; 0]);
    shop.verify();
}

#[test]
fn stale_files_go_only_with_a_successful_commit() {
    let shop = Workshop::served();
    let old = shop.shown();
    let stale = ["site/guide/readers.html", "site/assets/mark.deb7692d.svg"];
    let current = shop.store().join("current");
    assert!(stale.iter().all(|path| old.contains_key(*path)), "{old:?}");
    for place in ["plan", "compile", "audit:kill", "pointer", "pointer:kill"] {
        assert_ne!(shop.build(&["--build", "2", "--fail-at", place]).status, 0);
        assert_eq!(shop.shown(), old, "{place}");
        assert!(fs::read(shop.path("www/guide/readers.html")).is_ok(), "{place}");
    }
    shop.build(&["--build", "2"]).ok();
    for path in stale {
        assert!(current.join(path).symlink_metadata().is_err(), "{path}");
        assert!(shop.store().join("generations/1/tree").join(path).symlink_metadata().is_ok(), "{path}");
    }
    assert!(fs::read(shop.path("www/guide/readers.html")).is_err());
    assert_eq!(read_tree(&shop.store().join("generations/1/tree")).unwrap(), old);
}

#[test]
fn interrupted_publication_recovers_deterministically() {
    let base = Workshop::served();
    let old = base.shown();
    let whole = base.copy();
    let tree = whole.build(&["--build", "2"]).ok().tree();
    let new = whole.shown();
    assert!(!same_content(&old, &new));
    // Another build is running.
    let store = base.open();
    let stage = store.begin().unwrap();
    let mine = stage.path().join("mine");
    fs::write(&mine, "half done").unwrap();
    let mine = mine.strip_prefix(&base.dir).unwrap().to_owned();
    stage.leave_to(Owner::Process(std::process::id())).unwrap();
    let alive = sorted(debris(&base.store()));
    assert_eq!(alive.len(), 3, "the stage, its lock and its claim: {alive:?}");
    let met = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for way in ["--memory", "--disk"] {
            let (base, old, new, tree) = (&base, &old, &new, &tree);
            let (mine, alive, met) = (&mine, &alive, &met);
            scope.spawn(move || {
                for step in 1.. {
                    let shop = base.copy();
                    let built = shop.build(&["--build", "2", way, "--fail-step", &format!("{step}:kill")]);
                    if built.status != KILLED {
                        built.ok();
                        break;
                    }
                    met.fetch_add(1, Ordering::SeqCst);
                    let shown = shop.shown();
                    let whole = shown == *old || same_content(&shown, new);
                    assert!(whole, "{way} {step}: {shown:#?}");
                    let again = shop.build(&["--build", "2", way]).ok();
                    assert_eq!(again.tree(), *tree, "{way} {step}");
                    assert!(same_content(&shop.shown(), new), "{way} {step}");
                    assert_eq!(sorted(debris(&shop.store())), *alive, "{way} {step}");
                    assert_eq!(
                        fs::read_to_string(shop.dir.join(mine)).unwrap(),
                        "half done",
                        "{way} {step}"
                    );
                    // There is no generation other than the one before, and the notice names the current
                    // one.
                    let current = shop.current();
                    assert_eq!(shop.generations(), [1, current], "{way} {step}");
                    let notice = shop.read("genstore/notice");
                    assert_eq!(notice.split(' ').next().unwrap(), current.to_string(), "{way} {step}");
                    shop.verify();
                }
            });
        }
    });
    assert!(met.into_inner() > 200, "a publication has many steps");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
