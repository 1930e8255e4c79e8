//! Push and pull between stores, through a directory.

use genstore::verify::Depth;
use genstore_remote::{Error, PullOptions, PushOptions, Wanted};
use genstore_testkit::{read_tree, same_content};

use crate::place::{Files, Place};

const FIRST: Files<'_> = &[
    ("a.txt", "=one"),
    ("b/copy", "=one"),
    ("b/run", "!#!/bin/sh"),
    ("b/run.txt", "=#!/bin/sh"),
    ("empty", "="),
    ("img", "/"),
    ("link", ">a.txt"),
];
const SECOND: Files<'_> =
    &[("a.txt", "=one and two"), ("b/run", "!#!/bin/sh"), ("empty", "="), ("link", ">b/run")];

/// Checks that a store shows what another one shows, and is intact.
fn same(place: &Place, one: &str, other: &str) {
    assert_eq!(place.tree(one), place.tree(other));
    let read = |store: &str| read_tree(&place.path(store).join("current")).unwrap();
    assert!(same_content(&read(one), &read(other)), "{one} and {other} differ");
    let report = place.store(other).verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Makes contents of some length that nothing compresses much.
fn noise() -> impl FnMut(usize) -> String {
    let mut seed = 7u64;
    move |len| {
        let letter = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (seed >> 58) as u8)
        };
        std::iter::once('=').chain(std::iter::repeat_with(letter).take(len)).collect()
    }
}

#[test]
fn generations_arrive_as_they_were_pushed() {
    let place = Place::new();
    for (files, step) in [(FIRST, 1), (SECOND, 2), (FIRST, 3)] {
        place.publish("a", files);
        let (pushed, _) = place.push("a", "main");
        assert!(pushed.changed && pushed.record == step, "{pushed:?}");
        let (pulled, traffic) = place.pull("b", "main");
        assert_eq!(pulled.record, step);
        same(&place, "a", "b");
        // The next record, its absence, and the bundle.
        assert!(step == 1 || traffic.requests() <= 3, "{traffic:?}");
        let fresh = format!("fresh-{step}");
        place.pull(&fresh, "main");
        same(&place, "a", &fresh);
    }
    // The third one needs no bytes: the store has the tree, and it becomes current again.
    let (again, traffic) = place.pull("b", "main");
    assert!(again.publication.is_none() && again.activation.is_none());
    assert_eq!((traffic.requests(), traffic.received), (1, 0));
}

#[test]
fn a_push_of_a_small_change_is_four_requests_and_sends_only_the_change() {
    let place = Place::new();
    let text = |seed: usize| format!("={}", (0..400).map(|n| format!("{} ", n * seed)).collect::<String>());
    let mut files: Vec<(String, String)> =
        (1..200).map(|n| (format!("dir{}/file{n}", n % 7), text(n))).collect();
    let publish = |files: &[(String, String)]| {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        place.publish("a", &files);
    };
    publish(&files);
    place.push("a", "main");
    place.pull("b", "main");
    files[20].1.push_str("changed");
    files[100].1.insert_str(500, "changed");
    publish(&files);
    let (pushed, sent) = place.push("a", "main");
    assert_eq!(pushed.objects, 2);
    assert!(sent.requests() <= 4 && sent.lists == 0 && sent.sent < 5_000, "{sent:?}");
    let (pulled, got) = place.pull("b", "main");
    assert!(pulled.fetched.by_patch, "{pulled:?}");
    assert!(got.requests() <= 3 && got.received < 5_000, "{got:?}");
    same(&place, "a", "b");
    let (pulled, got) = place.pull("c", "main");
    assert!(!pulled.fetched.by_patch && got.requests() <= 12, "{pulled:?} {got:?}");
    same(&place, "a", "c");
    // The same tree again is no new record.
    let (pushed, sent) = place.push("a", "main");
    assert!(!pushed.changed && sent.puts == 0, "{pushed:?} {sent:?}");
}

/// Each file has a copy, and one of the two changes: the old content is still there, and is the best prefix.
#[test]
fn a_patch_uses_what_a_changed_file_was_before_also_if_a_copy_stays() {
    let place = Place::new();
    let mut noise = noise();
    let mut files: Vec<(String, String)> = vec![];
    for number in 0..50 {
        let text = noise(9000);
        files.extend(["cjs", "esm"].map(|folder| (format!("{folder}/{number}.js"), text.clone())));
    }
    for mark in 1..4 {
        let shown: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        place.publish("a", &shown);
        let (_, sent) = place.push("a", "main");
        let (pulled, got) = place.pull("b", "main");
        same(&place, "a", "b");
        // The third one has a checkpoint that is not its parent, and still only one copy of the new digests.
        if mark > 1 {
            assert!(pulled.fetched.by_patch && pulled.fetched.bytes > 450_000, "{pulled:?}");
            assert!(got.received < 70_000 && sent.sent < 360_000, "{got:?} {sent:?}");
        }
        files.iter_mut().step_by(2).for_each(|(_, text)| text.push_str(&format!("// {mark}")));
    }
}

#[test]
fn packs_and_large_files_are_read_in_parts() {
    let place = Place::new();
    let mut noise = noise();
    let mut files: Vec<(String, String)> = (0..24).map(|n| (format!("f{n:02}"), noise(1 << 20))).collect();
    files.push(("large".to_owned(), noise(9 << 20)));
    let publish = |files: &[(String, String)]| {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        place.publish("a", &files);
    };
    publish(&files);
    let (_, sent) = place.push("a", "main");
    // Format, two packs, the large file, bundle and record.
    assert_eq!(sent.puts, 6, "{sent:?}");
    place.pull("b", "main");
    same(&place, "a", "b");
    // A store with most of the objects fetches the frames of the rest.
    let some: Vec<_> = files[..20].to_vec();
    let some: Vec<(&str, &str)> = some.iter().map(|(path, text)| (&**path, &**text)).collect();
    place.publish("c", &some);
    let (pulled, got) = place.pull("c", "main");
    assert_eq!(pulled.fetched.objects, 5);
    assert!(got.received < 13 << 20, "{got:?}");
    same(&place, "a", "c");
}

#[test]
fn another_writer_of_the_channel_wins_and_another_channel_is_no_conflict() {
    let place = Place::new();
    place.publish("a", FIRST);
    place.publish("b", SECOND);
    place.push("a", "main");
    let store = place.store("b");
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    // Another machine pushes between the reading of the log and the record.
    let race = |channel: &str| {
        let remote = place.remote("b");
        let newest = remote.newest().unwrap();
        let mut prepared = None;
        remote.push_prepared((newest, 0), "main", &mut |_| {
            place.publish("a", if prepared.is_some() { FIRST } else { SECOND });
            place.push("a", channel);
            let generation = genstore_remote::codec::record::Generation {
                bundle: generation.head().unwrap().tree.digest(),
                tree: generation.head().unwrap().tree.digest(),
                note: String::new(),
            };
            let made = genstore_remote::Prepared { of: generation, references: Default::default() };
            prepared = Some(made.clone());
            Ok(made)
        })
    };
    assert_eq!(race("other").unwrap().record.number, 3);
    let place = Place::new();
    place.publish("a", FIRST);
    place.push("a", "main");
    place.publish("b", SECOND);
    let remote = place.remote("b");
    let newest = remote.newest().unwrap();
    place.publish("a", SECOND);
    place.push("a", "main");
    let lost = remote.push_prepared((newest, 0), "main", &mut |_| {
        Ok(genstore_remote::Prepared {
            of: genstore_remote::codec::record::Generation {
                bundle: place.tree("b").digest(),
                tree: place.tree("b").digest(),
                note: String::new(),
            },
            references: Default::default(),
        })
    });
    assert!(matches!(lost, Err(Error::Lost { expected: 1, found: 2, .. })), "{lost:?}");
}

#[test]
fn names_that_are_not_there_and_dry_runs_change_nothing() {
    let place = Place::new();
    let generation = place.publish("a", FIRST);
    let store = place.store("a");
    let remote = place.remote("a");
    let dry = PushOptions::default().dry_run(true);
    let none = remote.push(&store, &generation, "main", &dry).unwrap();
    assert_eq!((none.record, none.objects), (0, 2));
    let none = remote.pull(&store, &Wanted("main".to_owned()), &PullOptions::default());
    assert!(matches!(none, Err(Error::NotARemote { .. })), "{none:?}");
    assert!(!place.path("remote").exists());
    place.push("a", "main");
    place.publish("a", SECOND);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    let would = place.remote("a");
    let pushed = would.push(&store, &generation, "main", &dry).unwrap();
    assert_eq!((pushed.objects, would.traffic().puts), (1, 0));
    let other = place.store("b");
    let pull = |name: &str, dry_run| {
        let options = PullOptions::default().dry_run(dry_run);
        place.remote("b").pull(&other, &Wanted(name.to_owned()), &options)
    };
    let unknown = pull("mian", false).unwrap_err();
    assert!(matches!(&unknown, Error::Unknown { near, .. } if near == &["main"]), "{unknown:?}");
    let would = pull("main", true).unwrap();
    assert_eq!((would.generation, would.fetched.objects), (None, 2));
    assert_eq!(other.list().unwrap().generations.len(), 0);
    // By number of a record, and by tree.
    let first = pull("1", false).unwrap();
    let hex = first.tree.to_string();
    assert_eq!(pull(&hex[..8], false).unwrap().generation, first.generation);
}

/// RMT-3 and RMT-7: whatever byte of the remote is changed, a pull ends with an error and nothing is
/// activated, or it is complete.
#[test]
fn a_changed_byte_anywhere_on_the_remote_is_noticed() {
    let place = Place::new();
    place.publish("a", FIRST);
    place.push("a", "main");
    place.publish("a", SECOND);
    place.push("a", "main");
    let files = genstore_testkit::below(&place.path("remote"));
    let mut noticed = 0;
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 25 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            std::fs::write(file, &changed).unwrap();
            let name = format!("store-{noticed}-{at}");
            let store = place.store(&name);
            let options = PullOptions::default().activate(true);
            match place.remote(&name).pull(&store, &Wanted("main".to_owned()), &options) {
                Ok(_) => same(&place, "a", &name),
                Err(error) => {
                    noticed += 1;
                    assert!(
                        matches!(
                            error,
                            Error::Damaged { .. } | Error::Newer { .. } | Error::Distrusted { .. }
                        ),
                        "{}: {error:?}",
                        file.display()
                    );
                    assert_eq!(store.current().unwrap(), None);
                }
            }
        }
        std::fs::write(file, bytes).unwrap();
    }
    assert!(noticed > 40, "{noticed}");
}

/// RMT-8: a log that lost its end, or got another one, is refused by a machine that saw the end.
#[test]
fn a_log_that_goes_back_or_forks_is_refused() {
    let place = Place::new();
    for files in [FIRST, SECOND] {
        place.publish("a", files);
        place.push("a", "main");
    }
    place.pull("b", "main");
    let log = place.path("remote/log");
    let second = genstore_testkit::names(&log).pop().unwrap();
    std::fs::rename(log.join(&second), place.path("kept")).unwrap();
    let push = |machine: &str| {
        let store = place.store(machine);
        let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
        place.remote(machine).push(&store, &generation, "beta", &PushOptions::default())
    };
    let check = |error: Result<_, Error>| match error.unwrap_err() {
        Error::Distrusted { check, .. } => check.name(),
        other => panic!("{other:?}"),
    };
    assert_eq!(check(push("a")), "went-back");
    // A machine that saw nothing goes on from record 1, and so makes a fork.
    place.publish("c", SECOND);
    place.push("c", "main");
    place.publish("c", FIRST);
    place.push("c", "main");
    assert_eq!(check(push("a")), "forked");
    let pull =
        place.remote("b").pull(&place.store("b"), &Wanted("main".to_owned()), &PullOptions::default());
    assert_eq!(check(pull.map(|_| genstore_remote::Pushed::default())), "forked");
}

#[test]
fn an_interrupted_pull_keeps_what_arrived() {
    let place = Place::new();
    let files: Vec<(String, String)> =
        (0..5).map(|n| (format!("f{n}"), format!("={}", format!("{n}-{n} ").repeat(3_000_000)))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    place.publish("a", &files);
    place.push("a", "main");
    // The last large file is cut off.
    let big = genstore_testkit::below(&place.path("remote/big"));
    let last = big.iter().rfind(|path| path.is_file()).unwrap();
    let bytes = std::fs::read(last).unwrap();
    std::fs::write(last, &bytes[..bytes.len() / 2]).unwrap();
    let store = place.store("b");
    let pull = || place.remote("b").pull(&store, &Wanted("main".to_owned()), &PullOptions::default());
    let error = pull().unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    std::fs::write(last, bytes).unwrap();
    let again = pull().unwrap();
    assert!(again.fetched.objects < 5, "{again:?}");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean());
}

/// RMT-9: a hint that is wrong, or no hint at all, changes the number of requests and nothing else.
#[test]
fn any_hint_leads_to_the_newest_record() {
    let place = Place::new();
    for number in 1..=9 {
        place.publish("a", &[("a", &format!("={number}"))]);
        assert_eq!(place.push("a", "main").0.record, number);
    }
    let hint = place.path("remote/hint");
    assert_eq!(std::fs::read_to_string(&hint).unwrap(), "8\n");
    for (at, text) in
        ["1", "9", "10", "400", "18446744073709551615", "0", "-1", "text", ""].iter().enumerate()
    {
        std::fs::write(&hint, text).unwrap();
        let (pulled, _) = place.pull(&format!("fresh-{at}"), "main");
        assert_eq!(pulled.record, 9, "hint {text:?}");
    }
    std::fs::remove_file(&hint).unwrap();
    assert_eq!(place.pull("last", "main").0.record, 9);
}
