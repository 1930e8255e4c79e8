//! `gc` with chosen generations, ages, periods and sizes.

use crate::prelude::*;

/// Creates eight generations, one each twelve hours from the first of March on; 6 is bad and 8 is current. Each adds
/// as many bytes as its number times 1000.
fn eight() -> Site {
    let site = Site::new();
    for nth in 1..=8_u64 {
        site.tree("dist", &[("a", &format!("={}", format!("{nth}").repeat(nth as usize * 1000)))]);
        let now =
            format!("2026-03-0{}T{}:00:00Z", 1 + (nth - 1) / 2, if nth % 2 == 1 { "06" } else { "18" });
        site.command("publish dist").env("GENSTORE_NOW", now).run().ok();
    }
    site.run("mark 6 bad").ok();
    site
}

fn gc(site: &Site, args: &str) -> Output {
    site.command(&format!("gc {args}")).env("GENSTORE_NOW", "2026-03-05T00:00:00Z").run()
}

/// Returns the generations that a dry run removes, and the bytes that it frees.
fn removes(site: &Site, args: &str) -> (Vec<u64>, u64) {
    let doc = gc(site, &format!("-n --json {args}")).is_json("genstore.gc/1");
    let ids = doc["remove"].as_array().unwrap().iter().map(|gone| gone["generation"].as_u64().unwrap());
    (ids.collect(), doc["bytes"].as_u64().unwrap())
}

#[test]
fn each_option_gives_up_its_own_generations() {
    let site = eight();
    for (args, expected) in [
        ("2 4", vec![4, 2]),
        ("2..4 1", vec![4, 3, 2, 1]),
        ("6..7", vec![7, 6]),
        ("@-", vec![7]),
        ("--older-than 2d", vec![4, 3, 2, 1]),
        ("--older-than 2d --keep-last 6", vec![1]),
        ("--keep-last 0 --keep-daily 2", vec![7, 6, 4, 3, 2, 1]),
        ("--keep-last 0 --keep-daily 3 --keep-weekly 1 --keep-monthly 2", vec![7, 6, 3, 2, 1]),
        ("--keep-last 0 --free 1", vec![1]),
        ("--keep-last 0 --free 3001", vec![3, 2, 1]),
        ("--keep-last 5 --free 1GiB", vec![6, 2, 1]),
    ] {
        let (removed, bytes) = removes(&site, args);
        assert_eq!(removed, expected, "{args}");
        assert_eq!(bytes, removed.iter().sum::<u64>() * 1000, "{args}");
    }
}

#[test]
fn the_reasons_and_the_bytes_of_a_dry_run_are_those_of_the_real_one() {
    let site = eight();
    site.run("pin 2 stable").ok();
    let partly = |args: &str, lines: &str| {
        for did in ["Would remove", "Removed"] {
            let args = if did == "Removed" { args.to_owned() } else { format!("-n {args}") };
            gc(&site, &args).is(3, &lines.replace("DID", did), "");
        }
    };
    partly(
        "1..3 8",
        "keep    8  current\nremove  3  chosen\nkeep    2  pinned: stable\nremove  1  chosen\n\
         DID 2 generations, 2 objects, 3.9 KiB: 35.2 KiB -> 31.2 KiB\n",
    );
    let text = gc(&site, "-n --keep-last 0 --keep-daily 2 --keep-weekly 1 --free 4000 --older-than 1d")
        .ok()
        .stdout;
    assert_eq!(
        text,
        "keep    8  current; within 1d; newest of its day, last 2 days; newest of its week, last 1 week\n\
         keep    7  within 1d\n\
         keep    6  3.9 KiB are freed without it\n\
         keep    5  newest of its day, last 2 days\n\
         remove  4  older than 1d\n\
         keep    2  pinned: stable\n\
         Would remove 1 generation, 1 object, 3.9 KiB: 31.2 KiB -> 27.3 KiB\n"
    );
    // The rule stays the limit, and says so.
    let short = gc(&site, "--keep-last 3 --free 1GiB");
    assert_eq!(
        (short.status, &*short.stderr),
        (0, "the rule frees 9.8 KiB of 1.0 GiB: it keeps the rest\n")
    );
    site.run("verify").ok();
    site.run("switch 7").ok();
    assert!(gc(&site, "8").ok().stdout.starts_with("remove  8  chosen\n"));
}

#[test]
fn grace_protects_a_chosen_generation() {
    let site = Site::published();
    site.run("gc 1").is(
        3,
        "keep  1  was current less than 10m ago\nRemoved nothing: 28 B\n",
        "hint: to remove it all the same: --grace 0s\n",
    );
    site.run("gc 1 --grace 0s").ok();
    assert_eq!(site.names("genstore/generations"), ["2"]);
}

#[test]
fn what_names_no_generation_removes_nothing() {
    let site = eight();
    for args in ["9", "stable", "20..30"] {
        site.run(&format!("gc {args}")).fails(1, "error: ");
    }
    for args in [
        "5..2",
        "1..x",
        "1 --keep-last 2",
        "1 --free 1K",
        "--older-than 1d --keep-within 1d",
        "--free much",
    ] {
        assert_eq!(site.run(&format!("gc {args}")).status, 2, "{args}");
    }
    assert_eq!(site.names("genstore/generations").len(), 8);
    site.write("genstore.toml", "[retain]\nkeep_last = 0\nkeep_daily = 2\n");
    assert_eq!(removes(&site, "").0, [7, 6, 4, 3, 2, 1]);
}
