//! The format (RMT-1): golden files, values that are read back, single bytes that differ, and limits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use genstore::tree::Digest;
use genstore_remote::codec::bundle::{HEADER, Header, SECTIONS, Section, Sections, Stored};
use genstore_remote::codec::condemned::{Condemned, Kept};
use genstore_remote::codec::pack::{BIG_FRAME_LOG, Builder, FOOTER, FRAME_LOG, Index};
use genstore_remote::codec::record::{Change, Generation, Head, Record, short_note};
use genstore_remote::codec::table::{Location, PackRef, Place, Table};
use genstore_remote::codec::{Bad, names, squeeze};
use proptest::prelude::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn record() -> Record {
    let of = Generation { bundle: digest("bundle"), tree: digest("tree"), note: "release 1.4".to_owned() };
    let head = |number, text| Head { number, bundle: digest(text) };
    Record {
        number: 7,
        previous: Some(digest("six")),
        nonce: *b"0123456789abcdef",
        change: Change::Push { channel: "main".to_owned(), of },
        time: 1_700_000_000,
        best_before: 0,
        epoch: 2,
        expected: 5,
        heads: BTreeMap::from([
            ("beta".to_owned(), head(6, "six")),
            ("main".to_owned(), head(7, "bundle")),
        ]),
        pins: BTreeMap::from([("v1".to_owned(), head(3, "three"))]),
        forgotten: Some(digest("forgotten")),
        signature: vec![],
    }
}

fn sections() -> Sections {
    let texts = ["from parent", "patch", "table", "manifest", ""];
    texts.map(|text| (text.as_bytes().to_vec(), text.len() as u64 * 2))
}

fn header() -> Header {
    let mut header = Header {
        nonce: *b"0123456789abcdef",
        manifest: digest("manifest"),
        manifest_len: 16,
        parent: Some(digest("parent")),
        parent_manifest: Some(digest("its manifest")),
        checkpoint: None,
        checkpoint_manifest: None,
        prefix: 99,
        sections: [Stored::NONE; SECTIONS],
    };
    header.describe(&sections());
    header
}

fn condemned() -> Condemned {
    let kept = Kept { number: 7, channel: "main".to_owned(), bundle: digest("bundle") };
    let keys = [names::bundle(digest("old")), names::pack(digest("pack"), b"0123456789abcdef")];
    Condemned { nonce: *b"0123456789abcdef", base: 7, kept: [kept].into(), keys: keys.into() }
}

fn table() -> Table {
    let objects: Vec<(Digest, u64)> = ["a", "b", "c", "d"].map(|text| (digest(text), 10)).into();
    let pack = |place| PackRef { place, offset: 0, stored: 500 };
    let own = pack(Place::Bundle(None));
    let other = pack(Place::Pack(digest("pack"), *b"0123456789abcdef"));
    let at = [(own, 0), (own, 10), (other, 40), (own, 20)];
    let at = objects.iter().zip(at).map(|((digest, _), (pack, start))| (*digest, Location { pack, start }));
    Table::of(&objects, &at.collect()).unwrap()
}

fn pack_of(frame_log: u32, objects: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let mut builder = Builder::new(frame_log);
    let starts = objects.iter().map(|object| builder.push(object).unwrap()).collect();
    (builder.finish().unwrap(), starts)
}

/// Reads a part of a pack's run.
fn read(pack: &[u8], part: std::ops::Range<u64>) -> Result<Vec<u8>, Bad> {
    let index = Index::decode(pack, pack.len() as u64)?;
    let mut bytes = vec![];
    for frame in index.frames(&part) {
        let stored = index.stored(&(frame..frame + 1));
        let plain = index.decompress(frame, &pack[stored.start as usize..stored.end as usize])?;
        let from = part.start.saturating_sub(index.start(frame)) as usize;
        let to = ((part.end - index.start(frame)) as usize).min(plain.len());
        bytes.extend(&plain[from..to]);
    }
    Ok(bytes)
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn golden_files_are_written_and_read_as_ever() {
    let same = |name: &str, bytes: Vec<u8>| assert_eq!(golden(name), bytes, "{name}");
    same("record-1.bin", record().encode().unwrap());
    same("bundle-header-1.bin", header().encode());
    same("barrier-1.bin", condemned().encode().unwrap());
    same("table-1.bin", table().encode());
    assert_eq!(Record::decode(&golden("record-1.bin")), Ok(record()));
    let id = digest_of(&golden("bundle-header-1.bin"));
    assert_eq!(Header::decode(&golden("bundle-header-1.bin"), id), Ok(header()));
    assert_eq!(Condemned::decode(&golden("barrier-1.bin")), Ok(condemned()));
    assert_eq!(Table::decode(&golden("table-1.bin")), Ok(table()));
    // Another version of zstd may compress in another way, so packs are only read.
    assert_eq!(read(&golden("pack-1.bin"), 0..11), Ok(b"hello world".to_vec()));
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

#[test]
fn each_flipped_bit_is_noticed() {
    let check = |what: &str, bytes: &[u8], is_refused: &dyn Fn(&[u8]) -> bool| {
        assert!(!is_refused(bytes), "{what}");
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(is_refused(&changed), "{what}: bit {at}");
            assert!(is_refused(&bytes[..at / 8]), "{what}: cut at {}", at / 8);
        }
    };
    check("record", &record().encode().unwrap(), &|bytes| Record::decode(bytes).is_err());
    let encoded = header().encode();
    let id = digest_of(&encoded);
    check("bundle", &encoded, &|bytes| Header::decode(bytes, id).is_err());
    check("barrier", &condemned().encode().unwrap(), &|bytes| Condemned::decode(bytes).is_err());
    // Frames are covered by the digests of the objects in them.
    let (pack, _) = pack_of(FRAME_LOG, &[vec![7; 1000], vec![8; 300_000]]);
    let end = &pack[pack.len() - FOOTER - 8..];
    check("pack", end, &|bytes| Index::decode(bytes, pack.len() as u64).is_err());
    for (at, section) in sections().iter().take(4).enumerate() {
        let kind = [Section::FromParent, Section::Patch, Section::Table, Section::Manifest][at];
        check("section", &section.0, &|bytes| header().check(kind, bytes).is_err());
    }
    assert_eq!(encoded.len(), HEADER);
}

/// The size decides whether a follower gets kilobytes or megabytes.
#[test]
fn a_patch_needs_long_distance_matching() {
    let mut seed = 1u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    };
    // More than the window of a fast level, and a payload whose parts come in another order.
    let prefix = noise(6 << 20);
    let (front, back) = prefix.split_at(4 << 20);
    let payload = [back, &noise(1000), front].concat();
    let patch = squeeze::compress(3, &prefix, &payload).unwrap();
    assert!(patch.len() < 4096, "{}", patch.len());
    assert_eq!(squeeze::decompress(&prefix, &patch, payload.len() as u64).as_ref(), Ok(&payload));
    let mut without = zstd::stream::write::Encoder::with_ref_prefix(vec![], 3, &prefix).unwrap();
    std::io::Write::write_all(&mut without, &payload).unwrap();
    let without = without.finish().unwrap().len();
    assert!(without > patch.len() * 200, "{without}: is this test still needed?");
    // Another prefix, or none: an error, or other bytes.
    for prefix in [&[][..], &prefix[1..], &back[..100]] {
        assert_ne!(squeeze::decompress(prefix, &patch, payload.len() as u64).as_ref(), Ok(&payload));
    }
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let zeros = squeeze::compress(3, &[], &vec![0; 64 << 20]).unwrap();
    assert!(zeros.len() < 10_000);
    assert!(squeeze::decompress(&[], &zeros, 1000).is_err());
    assert!(squeeze::decompress(&[], &zeros, u64::MAX).is_err());
    for field in [0, 4] {
        let mut table = table().encode();
        table[field..field + 4].fill(0xff);
        assert!(Table::decode(&table).is_err());
    }
    let (mut pack, _) = pack_of(FRAME_LOG, &[vec![1; 10]]);
    let at = pack.len() - FOOTER + 16;
    pack[at..at + 4].fill(0xff);
    assert!(Index::decode(&pack, pack.len() as u64).is_err());
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut newer = record().encode().unwrap();
    newer[8] = 2;
    assert_eq!(Record::decode(&newer), Err(Bad::Newer("a record")));
    assert_eq!(names::check_format(b"genstore-remote 1\n"), Ok(()));
    for text in [&b"genstore-remote 2\n"[..], b"genstore-remote 1\nshards\n"] {
        assert_eq!(names::check_format(text), Err(Bad::Newer("a remote")));
    }
    assert!(matches!(names::check_format(b"<html>"), Err(Bad::Malformed(_))));
}

#[test]
fn too_many_channels_are_an_error_of_the_writer() {
    let mut record = record();
    record.heads = (0..90).map(|n| (format!("channel-{n:02}"), record.heads["main"])).collect();
    assert!(matches!(record.encode(), Err(Bad::Malformed(why)) if why.contains("4 KiB")));
}

#[test]
fn names_are_plain() {
    for name in ["main", "v1.2_x-3", "0"] {
        assert_eq!(names::check(name), Ok(()), "{name}");
    }
    for name in ["", ".x", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
        assert!(names::check(name).is_err(), "{name}");
    }
    assert!(names::is_collected(&names::bundle(digest("x"))));
    for key in ["format", "log/00000000000000000001", "pack/../format", &names::barrier(digest("x"))] {
        assert!(!names::is_collected(key), "{key}");
    }
    assert_eq!(short_note("one\ntwo"), "one");
    assert_eq!(short_note(&"ä".repeat(300)).len(), 400);
}

fn some_name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,15}"
}

fn some_head() -> impl Strategy<Value = Head> {
    (any::<u64>(), any::<[u8; 32]>())
        .prop_map(|(number, bundle)| Head { number, bundle: Digest::from_bytes(bundle) })
}

fn some_change() -> impl Strategy<Value = Change> {
    let of = ("[a-z ä]{0,60}", any::<u64>()).prop_map(|(note, seed)| Generation {
        bundle: digest(&format!("b{seed}")),
        tree: digest(&format!("t{seed}")),
        note,
    });
    (0..5, some_name(), of).prop_map(|(kind, name, of)| match kind {
        0 => Change::Push { channel: name, of },
        1 => Change::Promote { channel: name, of },
        2 => Change::Pin { name, of },
        3 => Change::Unpin { name },
        _ => Change::Barrier { list: of.bundle },
    })
}

proptest! {
    #[test]
    fn records_are_read_back(
        change in some_change(),
        numbers in any::<(i64, i64, u64, u64)>(),
        number in 1u64..1 << 62,
        names in prop::collection::btree_map(some_name(), some_head(), 0..12),
        signature in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let (time, best_before, epoch, expected) = numbers;
        let record = Record {
            number,
            previous: (number > 1).then(|| digest("before")),
            change,
            time,
            best_before,
            epoch,
            expected,
            pins: names.clone().into_iter().take(3).collect(),
            heads: names,
            signature,
            ..record()
        };
        prop_assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record));
    }

    #[test]
    fn packs_are_read_back_in_parts(
        sizes in prop::collection::vec(1usize..200_000, 1..12),
        is_big in any::<bool>(),
    ) {
        let object = |(number, size): (usize, &usize)| vec![number as u8; *size];
        let objects: Vec<Vec<u8>> = sizes.iter().enumerate().map(object).collect();
        let (pack, starts) = pack_of(if is_big { BIG_FRAME_LOG } else { FRAME_LOG }, &objects);
        for (object, start) in objects.iter().zip(starts) {
            prop_assert_eq!(&read(&pack, start..start + object.len() as u64).unwrap(), object);
        }
    }

    #[test]
    fn tables_find_each_object(places in prop::collection::vec((0u8..4, 0u64..3), 1..40)) {
        let objects: Vec<(Digest, u64)> =
            (0..places.len()).map(|n| (digest(&n.to_string()), n as u64 % 5 + 1)).collect();
        let mut next = [0; 4];
        let mut at = HashMap::new();
        for ((object, size), (pack, gap)) in objects.iter().zip(&places) {
            let place = match pack {
                0 => Place::Bundle(None),
                1 => Place::Bundle(Some(digest("other"))),
                2 => Place::Pack(digest("pack"), [1; 16]),
                _ => Place::Big(digest("big"), [2; 16]),
            };
            let pack = usize::from(*pack);
            let start = next[pack] + gap;
            next[pack] = start + size;
            let offset = if pack == 1 { 500 } else { 0 };
            at.insert(*object, Location { pack: PackRef { place, offset, stored: 1 << 20 }, start });
        }
        let table = Table::of(&objects, &at).unwrap();
        let read = Table::decode(&table.encode()).unwrap();
        prop_assert_eq!(&read, &table);
        let own = digest("own");
        let found = read.locations(&objects, (own, 444)).unwrap();
        for (object, location) in &at {
            let pack = location.pack.from_elsewhere(own, 444);
            prop_assert_eq!(found[object], Location { pack, ..*location });
        }
        prop_assert!(read.locations(&objects[1..], (own, 444)).is_err());
    }

    #[test]
    fn any_bytes_are_refused_or_read_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode().unwrap(), bytes.clone());
        }
        if let Ok(table) = Table::decode(&bytes) {
            prop_assert_eq!(table.encode(), bytes.clone());
        }
        prop_assert!(Condemned::decode(&bytes).is_err() && Index::decode(&bytes, 300).is_err());
        let keys: BTreeSet<String> = condemned().keys;
        prop_assert!(keys.iter().all(|key| names::is_collected(key)));
    }
}
