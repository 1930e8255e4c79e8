//! RMT-12: what a remote forgot is in none of its files, and no record brings it back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use genstore::tree::Digest;
use genstore_remote::{
    Error, ForgetOptions, ForgotRemotely, Prepared, PullOptions, PushOptions, Remote, Wanted,
};

use crate::place::{Files, Place};

/// Bytes that compression leaves as they are, so that they can be found in files.
const SECRET: &str = "q8#Zr!v0K^u)3bN7w@L5x(Yc&J2m%T9dH*e4S1g-F6p+A";
const WITH: Files<'_> =
    &[("a", "=one"), ("b", "=two"), ("env", "=q8#Zr!v0K^u)3bN7w@L5x(Yc&J2m%T9dH*e4S1g-F6p+A")];
const WITHOUT: Files<'_> = &[("a", "=one"), ("b", "=two")];

fn secret() -> BTreeSet<Digest> {
    [Digest::of(SECRET.as_bytes())].into()
}

/// Lists the files below a folder that have the secret in them.
fn having(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(having(&path));
        } else if fs::read(&path).unwrap().windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn forget(place: &Place, remote: &Remote, machine: &str) -> Result<ForgotRemotely, Error> {
    remote.forget(&place.store(machine), &secret(), &ForgetOptions::default())
}

fn try_push(place: &Place, machine: &str, channel: &str) -> Result<u64, Error> {
    let store = place.store(machine);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    place
        .remote(machine)
        .push(&store, &generation, channel, &PushOptions::default())
        .map(|pushed| pushed.record)
}

/// Pushes a generation with the secret, and one without it, which uses the first one's pack.
fn leaked(channel: &str) -> Place {
    let place = Place::new();
    place.publish("a", WITH);
    place.push("a", channel);
    place.publish("a", WITHOUT);
    place.push("a", channel);
    assert_eq!(having(&place.path("remote")).len(), 1);
    place
}

/// Checks that nothing has the secret, and that the heads can be pulled.
fn check(place: &Place, channels: &[&str]) {
    assert_eq!(having(&place.path("remote")), Vec::<String>::new());
    let verified = place.remote("checker").verify_all().unwrap();
    assert!(verified.findings.is_empty() && verified.generations > 0, "{verified:?}");
    for channel in channels {
        let fresh = format!("fresh-{channel}");
        place.pull(&fresh, channel);
        assert_eq!(place.tree(&fresh), place.tree("a"));
    }
}

#[test]
fn a_content_leaves_every_file_and_heads_keep_their_trees() {
    let place = leaked("main");
    let remote = place.remote("a");
    let dry = ForgetOptions::default().dry_run(true);
    let would = remote.forget(&place.store("a"), &secret(), &dry).unwrap();
    assert_eq!((would.pushed.len(), would.removed.len(), would.files, would.record), (1, 2, 1, None));
    assert_eq!(having(&place.path("remote")).len(), 1);
    let done = forget(&place, &remote, "a").unwrap();
    let numbers: Vec<u64> = done.removed.iter().map(|kept| kept.number).collect();
    assert_eq!((numbers, done.pushed, done.record), (vec![1, 2], ["main".to_owned()].into(), Some(4)));
    check(&place, &["main"]);
    // Once more changes nothing.
    let again = forget(&place, &remote, "a").unwrap();
    assert_eq!((again.removed.len(), again.pushed.len(), again.files), (0, 0, 0));
    // Without contents, it completes what was interrupted after the barrier.
    let left = place.path("remote/pack/ab").join(format!("{}-{}", "ab".repeat(32), "cd".repeat(16)));
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, SECRET).unwrap();
    let rest = remote.forget(&place.store("a"), &BTreeSet::new(), &ForgetOptions::default()).unwrap();
    assert_eq!((rest.files, left.exists()), (1, false));
    // It cannot come back: not by a push, and not out of the removed generation.
    place.publish("b", WITH);
    let refused = try_push(&place, "b", "main").unwrap_err();
    assert!(matches!(&refused, Error::Forgotten { path, .. } if path == b"env"), "{refused:?}");
    assert_eq!(refused.code(), "forgotten");
    let pull = place.remote("c").pull(&place.store("c"), &Wanted("1".to_owned()), &PullOptions::default());
    assert!(matches!(pull, Err(Error::Missing { .. })), "{pull:?}");
    // Later records repeat the list.
    place.publish("a", &[("a", "=three")]);
    place.push("a", "main");
    assert!(matches!(try_push(&place, "b", "beta"), Err(Error::Forgotten { .. })));
    assert_eq!(having(&place.path("remote")), Vec::<String>::new());
}

#[test]
fn heads_and_pins_that_need_it_are_named_and_nothing_changes() {
    let place = leaked("main");
    place.publish("b", WITH);
    place.push("b", "beta");
    place.remote("a").pin(&Wanted("1".to_owned()), "v1").unwrap();
    let records = || fs::read_dir(place.path("remote/log")).unwrap().count();
    let before = records();
    let refused = forget(&place, &place.remote("a"), "a").unwrap_err();
    assert_eq!(refused.to_string(), "channel beta, pin v1 still needs the content");
    assert_eq!(records(), before);
    place.remote("a").unpin("v1").unwrap();
    place.publish("b", WITHOUT);
    place.push("b", "beta");
    forget(&place, &place.remote("a"), "a").unwrap();
    check(&place, &["main", "beta"]);
}

#[test]
fn a_head_that_only_another_machine_has_is_pulled_and_pushed_again() {
    let place = leaked("main");
    // The machine that forgets has neither of the generations.
    place.publish("z", &[("other", "=other")]);
    let done = forget(&place, &place.remote("z"), "z").unwrap();
    assert_eq!(done.pushed.len(), 1);
    check(&place, &["main"]);
    let store = place.store("z");
    assert!(store.open_generation(&"2".parse().unwrap()).is_ok(), "it was pulled");
}

#[test]
fn a_pull_names_what_the_store_still_has() {
    let place = leaked("main");
    place.pull("b", "1");
    let (pulled, _) = place.pull("b", "main");
    assert_eq!(pulled.forgotten, []);
    forget(&place, &place.remote("a"), "a").unwrap();
    let (pulled, _) = place.pull("b", "main");
    assert_eq!(pulled.forgotten, Vec::from_iter(secret()));
    place.store("b").forget(&secret()).unwrap();
    let (pulled, traffic) = place.pull("b", "main");
    // The list is read once.
    assert_eq!((pulled.forgotten.len(), traffic.requests()), (0, 1));
}

#[test]
fn a_push_that_is_under_way_begins_again_and_is_refused() {
    let place = leaked("main");
    place.publish("b", WITH);
    let store = place.store("b");
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    let remote = place.remote("b");
    let newest = remote.newest().unwrap();
    let mut attempts = 0;
    let refused = remote.push_prepared((newest, 0), "beta", &mut |base| {
        attempts += 1;
        if attempts == 1 {
            forget(&place, &place.remote("a"), "a").unwrap();
            let tree = generation.head().unwrap().tree.digest();
            let of = genstore_remote::codec::record::Generation { bundle: tree, tree, note: String::new() };
            return Ok(Prepared { of, references: BTreeSet::new() });
        }
        let contents = remote.forgotten(&base.unwrap().record)?;
        assert_eq!(contents, secret());
        Err(Error::Unfit { why: "it begins again".to_owned() })
    });
    assert_eq!(refused.unwrap_err().to_string(), "it begins again");
    check(&place, &["main"]);
}

#[test]
fn the_head_of_each_channel_that_shares_a_file_is_pushed_again() {
    let place = leaked("main");
    place.publish("b", WITHOUT);
    place.push("b", "beta");
    forget(&place, &place.remote("a"), "a").unwrap();
    check(&place, &["main", "beta"]);
    assert_eq!(place.remote("a").contents_at(b"env").unwrap(), BTreeSet::new());
}
