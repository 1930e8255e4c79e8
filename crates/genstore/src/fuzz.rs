//! Entry points of the fuzz targets: the codecs and parsers of the store. See `scripts/fuzz`.
//!
//! A target never panics on bytes that are damaged. Each input that a codec accepts encodes to the same
//! bytes (INV-6). The fuzzer cannot guess a BLAKE3, so a target writes the right digests into its input first.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::codec::Manifest;
use crate::model::delta::Delta;
use crate::model::digest::Digest;
use crate::model::folder_stamps::FolderStamps;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::{GenerationId, PinName, Rev, StageId};
use crate::model::index::SourceIndex;
use crate::model::inventory::Inventory;
use crate::model::little_endian::u32_at;
use crate::model::records::{HoldRecord, MarkRecord, PinRecord, Sequence};
use crate::model::relpath::RelPath;
use crate::parts::record::{unwrap, wrap};
use crate::parts::view_records::ViewRecord;

/// A function that takes the bytes of the fuzzer, and panics if a property does not hold.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 8] = [
    ("manifest", manifest),
    ("shown", shown),
    ("index", index),
    ("sealed", sealed),
    ("delta", delta),
    ("inventory", inventory),
    ("records", records),
    ("names", names),
];

/// Lengths of the frame, and of the parts before the lengths and before the digests.
const FRAME_LEN: usize = 88;
const LENGTHS: usize = 12;
const DIGESTS: usize = 24;

/// Writes the lengths and digests of a frame that fit its content.
fn reframe(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let Some(body_len) = bytes.len().checked_sub(FRAME_LEN) else { return out };
    let asked = u32_at(&out, LENGTHS) as usize;
    let head_len = asked.min(body_len);
    out[LENGTHS..LENGTHS + 4].copy_from_slice(&(head_len as u32).to_le_bytes());
    out[LENGTHS + 4..DIGESTS].copy_from_slice(&(body_len as u64).to_le_bytes());
    let body = Digest::of(&out[FRAME_LEN..]);
    let head = Digest::of(&out[FRAME_LEN..FRAME_LEN + head_len]);
    out[DIGESTS..DIGESTS + 32].copy_from_slice(body.as_bytes());
    out[DIGESTS + 32..FRAME_LEN].copy_from_slice(head.as_bytes());
    out
}

/// Decodes a frame as it is and with right digests. An accepted one encodes to the same bytes.
fn check_frame<T, E>(bytes: &[u8], decode: fn(&[u8]) -> Result<T, E>, encode: fn(&T) -> Vec<u8>) {
    for bytes in [bytes.to_vec(), reframe(bytes)] {
        if let Ok(value) = decode(&bytes) {
            assert!(encode(&value) == bytes, "an accepted input is not canonical");
        }
    }
}

fn manifest(bytes: &[u8]) {
    check_frame(bytes, Manifest::decode, Manifest::encode);
}

fn shown(bytes: &[u8]) {
    check_frame(bytes, PublishedMtimes::decode, PublishedMtimes::encode);
}

fn index(bytes: &[u8]) {
    check_frame(bytes, SourceIndex::decode, SourceIndex::encode);
}

fn sealed(bytes: &[u8]) {
    check_frame(bytes, FolderStamps::decode, FolderStamps::encode);
}

fn delta(bytes: &[u8]) {
    check_frame(bytes, Delta::decode, Delta::encode);
}

fn inventory(bytes: &[u8]) {
    check_frame(bytes, Inventory::decode, Inventory::encode);
}

/// Decodes a record with the right digest. Its own encoding decodes, and encodes to itself.
fn check_record<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = unwrap::<T>(bytes) else { return };
    let written = wrap(&value);
    let read = unwrap::<T>(&written).expect("a record that was written is read");
    assert!(wrap(&read) == written, "a record changes when it is written again");
}

fn records(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let record = [line, b"\n", Digest::of(line).to_string().as_bytes(), b"\n"].concat();
    for bytes in [bytes, &record] {
        check_record::<PinRecord>(bytes);
        check_record::<MarkRecord>(bytes);
        check_record::<Sequence>(bytes);
        check_record::<HoldRecord>(bytes);
        check_record::<ViewRecord>(bytes);
    }
}

/// Parses the names that a person writes. A name that is accepted prints as it was written.
fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(rev) = text.parse::<Rev>();
    let Ok(again) = rev.to_string().parse::<Rev>();
    assert_eq!(rev, again);
    if let Some(id) = GenerationId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(pin) = text.parse::<PinName>() {
        assert_eq!(pin.as_str(), text);
    }
    if let Ok(stage) = text.parse::<StageId>() {
        assert_eq!(stage.to_string(), text);
    }
    if let Ok(path) = RelPath::new(bytes) {
        assert_eq!(path.as_bytes(), bytes);
    }
}
