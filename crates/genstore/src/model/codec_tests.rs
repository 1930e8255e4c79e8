use proptest::prelude::*;
use serde::ser::SerializeTuple as _;

use super::beside::{DELTA_MAGIC, INDEX_MAGIC, SEALED_MAGIC, SHOWN_MAGIC};
use super::*;
use crate::model::delta::{Delta, differing};
use crate::model::folder_stamps::FolderStamps;
use crate::model::fresh::{PublishedMtimes, Retired};
use crate::model::ids::GenerationId;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::inventory::{Inventory, Shows};
use crate::model::tree::builder::TreeBuilder;
use crate::model::tree::{Entry, FileNode, Node};

/// Bytes that are serialized as they are.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let mut tuple = into.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

fn sample() -> Manifest {
    let mut builder = TreeBuilder::default();
    let file = |content: &[u8], executable, secs, nanos| {
        Node::File(FileNode {
            digest: Digest::of(content),
            size: content.len() as u64,
            executable,
            mtime: Mtime { secs, nanos },
        })
    };
    for (path, node) in [
        (&b"bin/run"[..], file(b"#!/bin/sh\n", true, 1_700_000_000, 5)),
        (b"empty", Node::EmptyDir),
        (b"latest", Node::Symlink(b"bin/run")),
        (b"na\xffme", file(b"hello\n", false, -1, 999_999_999)),
    ] {
        builder.push(Entry { path, node }).unwrap();
    }
    let facts = [("branch".to_owned(), "main".to_owned()), ("commit".to_owned(), "é".to_owned())];
    let created = SystemTime::from(Mtime { secs: 1_700_000_001, nanos: 42 });
    Manifest::new(builder.finish(), created, "release 1.4".to_owned(), facts.into())
}

fn shown() -> PublishedMtimes {
    let retired = Retired { secs: 12, digest: Digest::of(b"gone") };
    PublishedMtimes {
        floor: -3,
        fresh: [(b"a".to_vec(), Mtime { secs: 7, nanos: 8 })].into(),
        retired: [(b"b/c".to_vec(), retired)].into(),
    }
}

fn index() -> SourceIndex {
    let (mtime, ctime) = (Mtime { secs: -5, nanos: 6 }, Mtime { secs: 1_700_000_002, nanos: 999_999_999 });
    let stat = SourceStat::new(77, mtime, ctime);
    SourceIndex { tree: sample().tree.id(), dev: 66305, files: vec![stat, SourceStat::default()] }
}

fn delta() -> Delta {
    let digest = |text: &[u8]| Digest::of(text);
    let tree = sample().tree;
    let base = GenerationId::new(41).unwrap();
    let (before, after) = differing(&Tree::empty(), &tree).unwrap();
    Delta { base, base_body: digest(b"41"), body: digest(b"42"), before, after }
}

fn inventory() -> Inventory {
    let mut builder = TreeBuilder::default();
    for entry in sample().tree.iter().filter(|entry| entry.node != Node::EmptyDir) {
        builder.push(entry).unwrap();
    }
    Inventory {
        shows: Shows { generation: GenerationId::new(42), from: Some(b"app".to_vec()), copies: false },
        heals: 3,
        root: 77,
        tree: builder.finish(),
        inodes: vec![78, 0],
        folders: [b"bin".to_vec(), b"empty".to_vec()].into(),
    }
}

fn sealed() -> FolderStamps {
    let folders = index().files;
    FolderStamps { body: Digest::of(b"42"), heals: 3, rotations: 2, flushed: true, folders }
}

/// These bytes define the format. If this test fails, the format changed: give it a new version and
/// keep reading the old one.
#[test]
fn golden_bytes() {
    macro_rules! golden {
        ($($file:literal, $type:ident, $value:expr;)*) => {
            $(
                let golden: &[u8] = include_bytes!(concat!("../../golden/", $file, "-1.bin"));
                assert!($value.encode() == golden, "the format of {} changed", $file);
                assert_eq!($type::decode(golden).unwrap(), $value);
            )*
        };
    }
    golden! {
        "manifest", Manifest, sample();
        "shown", PublishedMtimes, shown();
        "index", SourceIndex, index();
        "delta", Delta, delta();
        "inventory", Inventory, inventory();
        "sealed", FolderStamps, sealed();
    }
    assert_eq!(Shows::decode(&inventory().encode()).unwrap(), inventory().shows);
}

/// Only manifests and inventories have a head. A frame with another one would encode to other bytes.
#[test]
fn a_head_is_refused_where_none_is_written() {
    fn check(magic: &[u8; 8], bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
        let rest = Raw(&bytes[FRAME_LEN..]);
        assert!(accepts(&frame(magic, b"", &rest)), "{magic:?}");
        assert!(!accepts(&frame(magic, b"head", &rest)), "{magic:?}");
    }
    check(SHOWN_MAGIC, &shown().encode(), |bytes| PublishedMtimes::decode(bytes).is_ok());
    check(INDEX_MAGIC, &index().encode(), |bytes| SourceIndex::decode(bytes).is_ok());
    check(DELTA_MAGIC, &delta().encode(), |bytes| Delta::decode(bytes).is_ok());
    check(SEALED_MAGIC, &sealed().encode(), |bytes| FolderStamps::decode(bytes).is_ok());
}

#[test]
fn every_flipped_bit_is_noticed() {
    fn check(bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
        assert!(accepts(bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(!accepts(&damaged), "byte {at}, bit {bit}");
            }
            assert!(!accepts(&bytes[..at]), "cut at {at}");
        }
        assert!(!accepts(&[bytes, b"\0"].concat()), "a byte more");
    }
    check(&sample().encode(), |bytes| Manifest::decode(bytes).is_ok());
    check(&sample().encode(), |bytes| Manifest::objects(bytes).is_ok());
    check(&shown().encode(), |bytes| PublishedMtimes::decode(bytes).is_ok());
    check(&index().encode(), |bytes| SourceIndex::decode(bytes).is_ok());
    check(&delta().encode(), |bytes| Delta::decode(bytes).is_ok());
    check(&inventory().encode(), |bytes| Inventory::decode(bytes).is_ok());
    check(&sealed().encode(), |bytes| FolderStamps::decode(bytes).is_ok());
}

#[test]
fn objects_are_read_alone() {
    let sample = sample();
    let files = sample.tree.iter_files().filter(|(_, file)| file.size > 0);
    let expected: Vec<_> = files.map(|(_, file)| (file.object(), file.size)).collect();
    assert_eq!(expected.len(), 2);
    assert_eq!(Manifest::objects(&sample.encode()).unwrap(), expected);
}

#[test]
fn a_head_is_read_alone_and_checked_alone() {
    let bytes = sample().encode();
    let (prefix, rest) = bytes.split_at(Head::PREFIX_LEN);
    let head_len = Head::len_from_prefix(prefix).unwrap();
    assert_eq!(Head::decode(prefix, &rest[..head_len]).unwrap(), sample().head);
    let mut damaged = rest[..head_len].to_vec();
    damaged[3] ^= 1;
    assert!(Head::decode(prefix, &damaged).is_err());
}

#[test]
fn one_spelling_per_manifest() {
    // Facts in another order, or one key twice, are refused although the hashes are right.
    let good = sample();
    for facts in [&[("b", ""), ("a", "")][..], &[("a", "1"), ("a", "2")]] {
        let mut head = WireHead::from(&good.head);
        head.facts = facts.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert!(Head::from_wire(head).is_err(), "{facts:?}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics_and_what_is_accepted_is_canonical(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        // Frames with right hashes over noise: only the decoder can refuse them.
        macro_rules! canonical {
            ($type:ident, $magic:expr, $head:expr, $rest:expr) => {
                let bytes = frame($magic, $head, &Raw($rest));
                if let Ok(value) = $type::decode(&bytes) {
                    prop_assert_eq!(value.encode(), bytes);
                }
            };
        }
        canonical!(Manifest, MANIFEST_MAGIC, &noise[..noise.len() / 2], &noise[noise.len() / 2..]);
        canonical!(PublishedMtimes, SHOWN_MAGIC, &[], &noise);
        canonical!(Delta, DELTA_MAGIC, &[], &noise);
        canonical!(FolderStamps, SEALED_MAGIC, &[], &noise);
    }
}
