//! Schedules of pushers, gcs and followers over the scripted store, by seed: no record, no file and no
//! answer is ever lost (RMT-2, RMT-4, RMT-5, RMT-6, RMT-10). Controls show that each rule is needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genstore::tree::Digest;
use genstore_remote::codec::bundle::{HEADER, Header, SECTIONS, Section, Stored};
use genstore_remote::codec::names;
use genstore_remote::codec::record::{Change, Generation, Record};
use genstore_remote::codec::squeeze;
use genstore_remote::codec::table::{Location, PackRef, Place, Table};
use genstore_remote::{Control, Entry, Error, Options, Patience, Prepared, Remote, Result};
use genstore_testkit::at;

use crate::scripted::{Chances, Client, Dice, Scripted};

const PUSHERS: usize = 4;
const GCS: usize = 2;
const FOLLOWERS: usize = 2;
const PUSHES: usize = 4;

const CHANCES: Chances = Chances { lost: 60, stale: 20, cut: 20, stop: 8 };

/// The common knowledge of the clients: the locations of each bundle's objects, and the records that pushes were
/// answered with.
#[derive(Default)]
struct Known {
    objects: Mutex<HashMap<Digest, Vec<(Digest, Location)>>>,
    answered: Mutex<Vec<Entry>>,
    faults: Mutex<Vec<String>>,
}

fn remote(client: Client, control: Option<Control>) -> Remote {
    let mut options = Options::new(Arc::new(|| at(5_000)), "scripted")
        .patience(Patience { attempts: 8, pause: Duration::ZERO });
    options.control = control;
    Remote::new(Box::new(client), options)
}

/// Makes a generation of some objects of the head and a new one, and puts its files there.
fn prepare(
    (remote, known): (&Remote, &Known),
    (base, channel): (Option<&Entry>, &str),
    dice: &mut Dice,
) -> Result<Prepared> {
    let mut nonce = || std::array::from_fn(|_| dice.below(256) as u8);
    let (header_nonce, pack_nonce): ([u8; 16], [u8; 16]) = (nonce(), nonce());
    let bytes = header_nonce.to_vec();
    let digest = Digest::of(&bytes);
    let place = Place::Pack(digest, pack_nonce);
    let pack = PackRef { place, offset: 0, stored: bytes.len() as u64 };
    remote.put_own(&pack.key(digest), &bytes)?;
    let mut objects = vec![(digest, Location { pack, start: 0 })];
    if let Some(head) = base.and_then(|base| base.record.heads.get(channel)) {
        let known = known.objects.lock().unwrap();
        let before = known.get(&head.bundle).cloned().unwrap_or_default();
        objects.extend(before.into_iter().filter(|_| dice.below(3) > 0));
    }
    let all: Vec<(Digest, u64)> = objects.iter().map(|(digest, _)| (*digest, 16)).collect();
    let table = Table::of(&all, &objects.iter().copied().collect()).unwrap();
    let plain = table.encode();
    let stored = squeeze::compress(1, &[], &plain).unwrap();
    let mut header = Header {
        nonce: header_nonce,
        manifest: digest,
        manifest_len: 0,
        parent: None,
        parent_manifest: None,
        checkpoint: None,
        checkpoint_manifest: None,
        prefix: 0,
        sections: [Stored::NONE; SECTIONS],
    };
    header.describe(&[
        (vec![], 0),
        (vec![], 0),
        (stored.clone(), plain.len() as u64),
        (vec![], 0),
        (vec![], 0),
    ]);
    let encoded = header.encode();
    let id = Digest::of(&encoded);
    known.objects.lock().unwrap().insert(id, objects);
    remote.put_own(&names::bundle(id), &[encoded, stored].concat())?;
    let mut references: BTreeSet<String> = table.packs().iter().map(|pack| pack.key(id)).collect();
    references.insert(names::bundle(id));
    Ok(Prepared { of: Generation { bundle: id, tree: digest, note: String::new() }, references })
}

fn pusher(remote: &Remote, known: &Known, channel: &str, dice: &mut Dice) -> Result<()> {
    for _ in 0..PUSHES {
        let newest = match remote.newest() {
            Err(Error::NotARemote { .. }) => None,
            newest => newest?,
        };
        let mut make = |base: Option<&Entry>| prepare((remote, known), (base, channel), dice);
        match remote.push_prepared((newest, 0), channel, &mut make) {
            Ok(entry) => known.answered.lock().unwrap().push(entry),
            Err(Error::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the head of a channel with all its files. A file may only be missing if the head moved. That is read
/// in the store's own files: an answer that denies the next record would hide the move.
fn follower((remote, store): (&Remote, &Scripted), known: &Known, channel: &str) -> Result<()> {
    for _ in 0..6 {
        let Ok(Some(entry)) = remote.newest() else { continue };
        let Some(head) = entry.record.heads.get(channel) else { continue };
        let missing = match remote.missing_of(head.bundle) {
            Ok(missing) => missing,
            Err(Error::Missing { key }) => vec![key],
            Err(error) => return Err(error),
        };
        if missing.is_empty() {
            continue;
        }
        if log(&store.now()).last().and_then(|now| now.heads.get(channel)) == Some(head) {
            known.faults.lock().unwrap().push(format!("record {} lacks {missing:?}", head.number));
        }
    }
    Ok(())
}

/// Runs one schedule. Returns its faults, and the numbers of pushes and barriers in the log.
fn run(seed: u64, chances: Chances, control: Option<Control>) -> (Vec<String>, usize, usize) {
    let clients = PUSHERS + GCS + FOLLOWERS;
    let store = Scripted::new(seed, clients + 1);
    let known = Known::default();
    let first = remote(store.client(clients, Chances::default()), None);
    std::thread::scope(|scope| {
        for id in 0..clients {
            let (store, known) = (&store, &known);
            let run = move || {
                let mut dice = Dice::new(seed * 1000 + id as u64 + 7);
                let remote = remote(store.client(id, chances), control);
                let channel = ["main", "beta"][id % 2];
                // A client may stop, or lose patience: the others must not notice.
                let _: Result<()> = match id {
                    0..PUSHERS => pusher(&remote, known, channel, &mut dice),
                    _ if id < PUSHERS + GCS => {
                        (0..4).try_for_each(|_| remote.collect(dice.below(2) as usize, false).map(drop))
                    }
                    _ => follower((&remote, store), known, channel),
                };
                store.end();
            };
            std::thread::Builder::new().spawn_scoped(scope, run).unwrap();
        }
        // The marker must be there before anybody reads.
        first.put_own(names::FORMAT, names::FORMAT_1).unwrap();
        store.end();
    });
    let mut faults = known.faults.into_inner().unwrap();
    let log = check(&store.files(), &known.answered.into_inner().unwrap(), &mut faults);
    let barriers = log.iter().filter(|record| matches!(record.change, Change::Barrier { .. })).count();
    (faults, log.len() - barriers, barriers)
}

/// Reads the log in the files of a store.
fn log(files: &BTreeMap<String, Vec<u8>>) -> Vec<Record> {
    let bytes = (1..).map_while(|number| files.get(&names::record(number)));
    bytes.map(|bytes| Record::decode(bytes).unwrap()).collect()
}

/// Checks what is left: the log, the answers, and all files of the heads.
fn check(files: &BTreeMap<String, Vec<u8>>, answered: &[Entry], faults: &mut Vec<String>) -> Vec<Record> {
    let log = log(files);
    let count = files.keys().filter(|key| key.starts_with("log/")).count();
    if count != log.len() {
        faults.push(format!("{} of {count} records are dense", log.len()));
    }
    for pair in log.windows(2) {
        if pair[1].previous != Some(Digest::of(&pair[0].encode().unwrap())) {
            faults.push(format!("record {} does not follow", pair[1].number));
        }
        let barriers = u64::from(matches!(pair[1].change, Change::Barrier { .. }));
        if pair[1].epoch != pair[0].epoch + barriers {
            faults.push(format!("record {} has another epoch", pair[1].number));
        }
    }
    for entry in answered {
        let at = entry.record.number as usize - 1;
        if log.get(at) != Some(&entry.record) {
            faults.push(format!("record {} was answered, and is another", entry.record.number));
        }
    }
    for (channel, head) in log.last().map(|last| last.heads.clone()).unwrap_or_default() {
        let key = names::bundle(head.bundle);
        let Some(bundle) = files.get(&key) else {
            faults.push(format!("{channel} lacks {key}"));
            continue;
        };
        let header = Header::decode(bundle, head.bundle).unwrap();
        let table = &bundle[HEADER..];
        let plain = squeeze::decompress(&[], table, header.section(Section::Table).plain).unwrap();
        for pack in Table::decode(&plain).unwrap().packs() {
            if !files.contains_key(&pack.key(head.bundle)) {
                faults.push(format!("{channel} lacks {}", pack.key(head.bundle)));
            }
        }
    }
    log
}

/// The number of seeds: few in the gate, many in a soak.
fn seeds(few: u64) -> u64 {
    std::env::var("GENSTORE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(few)
}

fn bad_of(seeds: u64, control: Option<Control>) -> usize {
    (0..seeds).filter(|seed| !run(*seed, CHANCES, control).0.is_empty()).count()
}

#[test]
fn nothing_is_lost_in_any_schedule() {
    let (seeds, mut pushes, mut barriers) = (seeds(400), 0, 0);
    for seed in 0..seeds {
        let (faults, pushed, fenced) = run(seed, CHANCES, None);
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
        (pushes, barriers) = (pushes + pushed, barriers + fenced);
    }
    println!("{seeds} schedules: {pushes} pushes, {barriers} barriers");
    assert!(pushes as u64 > seeds * 4 && barriers as u64 > seeds, "the clients do their work");
}

#[test]
fn each_rule_is_needed() {
    let seeds = seeds(150).min(300);
    for control in [Control::NoWriterCheck, Control::Grace, Control::Compact] {
        let bad = bad_of(seeds, Some(control));
        println!("{control:?}: {bad} of {seeds} schedules are bad");
        assert!(bad > 0, "{control:?}");
    }
}
