//! Encodes the files beside a manifest: the published mtimes, and the caches.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Malformed, WireTree, decode, frame, malformed, unframe};
use crate::model::delta::Delta;
use crate::model::digest::Digest;
use crate::model::folder_stamps::FolderStamps;
use crate::model::fresh::{PublishedMtimes, Retired};
use crate::model::ids::GenerationId;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::little_endian::{u32_at, u64_at};
use crate::model::tree::{Mtime, TreeId};

pub(super) const SHOWN_MAGIC: &[u8; 8] = b"gstshown";
pub(super) const INDEX_MAGIC: &[u8; 8] = b"gstindex";
pub(super) const DELTA_MAGIC: &[u8; 8] = b"gstdelta";
pub(super) const SEALED_MAGIC: &[u8; 8] = b"gst-seal";
/// Inode, mtime and ctime of one source or folder, in bytes.
const SOURCE_STAT_LEN: usize = 32;

impl PublishedMtimes {
    /// Encodes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let wire = WireShown {
            floor: self.floor,
            fresh: self.fresh.iter().map(|(p, t)| (serde_bytes::Bytes::new(p), t.secs, t.nanos)).collect(),
            retired: self
                .retired
                .iter()
                .map(|(p, r)| (serde_bytes::Bytes::new(p), r.secs, r.digest.0))
                .collect(),
        };
        frame(SHOWN_MAGIC, &[], &wire)
    }

    /// Decodes the output of [`PublishedMtimes::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<PublishedMtimes, Malformed> {
        let rest = without_head(SHOWN_MAGIC, bytes)?;
        let wire: WireShown<'_> = decode(rest)?;
        let shown = PublishedMtimes {
            floor: wire.floor,
            fresh: wire
                .fresh
                .iter()
                .map(|(p, secs, nanos)| (p.to_vec(), Mtime { secs: *secs, nanos: *nanos }))
                .collect(),
            retired: wire
                .retired
                .iter()
                .map(|(p, secs, digest)| {
                    (p.to_vec(), Retired { secs: *secs, digest: Digest::from_bytes(*digest) })
                })
                .collect(),
        };
        if shown.fresh.values().any(|t| t.nanos >= 1_000_000_000) || shown.encode() != bytes {
            return malformed("the published mtimes are not in canonical form");
        }
        Ok(shown)
    }
}

impl SourceIndex {
    /// Encodes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let stats = encode_stats(&self.files);
        let wire = WireIndex { tree: self.tree.digest().0, dev: self.dev, stats: &stats };
        frame(INDEX_MAGIC, &[], &wire)
    }

    /// Decodes the output of [`SourceIndex::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<SourceIndex, Malformed> {
        let rest = without_head(INDEX_MAGIC, bytes)?;
        let wire: WireIndex<'_> = decode(rest)?;
        let files = decode_stats(wire.stats)?;
        let tree = TreeId::from_digest(Digest::from_bytes(wire.tree));
        Ok(SourceIndex { tree, dev: wire.dev, files })
    }
}

impl FolderStamps {
    /// Encodes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let wire = WireSealed {
            body: self.body.0,
            heals: self.heals,
            rotations: self.rotations,
            flushed: self.flushed,
            stats: &encode_stats(&self.folders),
        };
        frame(SEALED_MAGIC, &[], &wire)
    }

    /// Decodes the output of [`FolderStamps::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<FolderStamps, Malformed> {
        let rest = without_head(SEALED_MAGIC, bytes)?;
        let WireSealed { body, heals, rotations, flushed, stats } = decode(rest)?;
        let folders = decode_stats(stats)?;
        Ok(FolderStamps { body: Digest::from_bytes(body), heals, rotations, flushed, folders })
    }
}

/// Returns the content of a frame that has no head.
fn without_head<'a>(magic: &[u8; 8], bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
    match unframe(magic, bytes)? {
        (b"", rest) => Ok(rest),
        _ => malformed("it has a head"),
    }
}

fn encode_stats(all: &[SourceStat]) -> Vec<u8> {
    let mut stats = Vec::with_capacity(all.len() * SOURCE_STAT_LEN);
    for stat in all {
        stats.extend(stat.ino.to_le_bytes());
        for time in stat.times() {
            stats.extend(time.secs.to_le_bytes());
            stats.extend(time.nanos.to_le_bytes());
        }
    }
    stats
}

fn decode_stats(stats: &[u8]) -> Result<Vec<SourceStat>, Malformed> {
    if !stats.len().is_multiple_of(SOURCE_STAT_LEN) {
        return malformed("the length differs");
    }
    let stat = |bytes: &[u8]| {
        let time = |at| Mtime { secs: u64_at(bytes, at) as i64, nanos: u32_at(bytes, at + 8) };
        SourceStat::new(u64_at(bytes, 0), time(8), time(20))
    };
    Ok(stats.chunks_exact(SOURCE_STAT_LEN).map(stat).collect())
}

impl Delta {
    /// Encodes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let wire = WireDelta {
            base: self.base.get(),
            base_body: self.base_body.0,
            body: self.body.0,
            before: (&self.before).into(),
            after: (&self.after).into(),
        };
        frame(DELTA_MAGIC, &[], &wire)
    }

    /// Decodes the output of [`Delta::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Delta, Malformed> {
        let rest = without_head(DELTA_MAGIC, bytes)?;
        let wire: WireDelta<'_> = decode(rest)?;
        let Some(base) = GenerationId::new(wire.base) else {
            return malformed("no generation has number 0");
        };
        Ok(Delta {
            base,
            base_body: Digest::from_bytes(wire.base_body),
            body: Digest::from_bytes(wire.body),
            before: wire.before.tree(Bytes::copy_from_slice, None)?,
            after: wire.after.tree(Bytes::copy_from_slice, None)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct WireShown<'a> {
    floor: i64,
    #[serde(borrow)]
    fresh: Vec<(&'a serde_bytes::Bytes, i64, u32)>,
    #[serde(borrow)]
    retired: Vec<(&'a serde_bytes::Bytes, i64, [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
struct WireIndex<'a> {
    tree: [u8; 32],
    dev: u64,
    #[serde(with = "serde_bytes")]
    stats: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct WireSealed<'a> {
    body: [u8; 32],
    heals: u64,
    rotations: u64,
    flushed: bool,
    #[serde(with = "serde_bytes")]
    stats: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct WireDelta<'a> {
    base: u64,
    base_body: [u8; 32],
    body: [u8; 32],
    #[serde(borrow)]
    before: WireTree<'a>,
    #[serde(borrow)]
    after: WireTree<'a>,
}
