//! Packs: many objects as one run of bytes, cut into frames that are compressed one by one.
//!
//! A frame holds 256 KiB of the run, whatever objects they belong to. A large file is a run of its own, with
//! frames of 4 MiB. The lengths of the frames stand at the end.

use std::io;
use std::ops::Range;

use genstore::tree::Digest;

use super::wire::{Reader, Writer};
use super::{Bad, squeeze};

const MAGIC: &[u8; 8] = b"gst-pack";

/// The length of the fields at the very end, in bytes.
pub const FOOTER: usize = 8 + 4 + 4 + 4 + 8 + 32;
/// The logarithm of a frame's length in a pack.
pub const FRAME_LOG: u32 = 18;
/// The logarithm of a frame's length in a large file.
pub const BIG_FRAME_LOG: u32 = 22;
/// The compressed length at which a pack is complete, in bytes.
pub const TARGET: u64 = 16 << 20;
/// The longest run, in bytes.
const MAX_RUN: u64 = 1 << 40;

const LEVEL: i32 = 3;

/// Collects a run and compresses it.
pub struct Builder {
    frame_log: u32,
    /// The rest of the run that is no whole frame yet.
    open: Vec<u8>,
    lens: Vec<u32>,
    run: u64,
    out: Vec<u8>,
    /// The length of what was taken out already.
    taken: u64,
}

impl Builder {
    /// Creates an empty pack with frames of this length.
    pub fn new(frame_log: u32) -> Builder {
        Builder { frame_log, open: vec![], lens: vec![], run: 0, out: vec![], taken: 0 }
    }

    /// Adds bytes. Returns where in the run they begin.
    ///
    /// # Errors
    /// If zstd fails.
    pub fn push(&mut self, mut bytes: &[u8]) -> io::Result<u64> {
        let (start, frame) = (self.run, 1 << self.frame_log);
        self.run += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(frame - self.open.len()));
            self.open.extend(now);
            bytes = later;
            if self.open.len() == frame {
                self.close_frame()?;
            }
        }
        Ok(start)
    }

    fn close_frame(&mut self) -> io::Result<()> {
        let frame = squeeze::compress(LEVEL, &[], &self.open)?;
        // A frame is at most a little longer than its content.
        self.lens.push(frame.len() as u32);
        self.out.extend(frame);
        self.open.clear();
        Ok(())
    }

    /// Returns the length of the run so far.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the compressed length so far.
    pub fn stored(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Takes out the frames that are complete, so that a long run needs little memory.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// Completes the pack. Returns what was not taken out.
    ///
    /// # Errors
    /// If zstd fails.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.open.is_empty() {
            self.close_frame()?;
        }
        let mut out = Writer(self.out);
        let start = out.0.len();
        self.lens.iter().for_each(|len| out.u32(*len));
        out.bytes(MAGIC);
        out.u32(1);
        out.u32(self.frame_log);
        out.u32(self.lens.len() as u32);
        out.u64(self.run);
        let digest = Digest::of(&out.0[start..]);
        out.digest(digest);
        Ok(out.0)
    }
}

/// The lengths at the end of a pack.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    frame_log: u32,
    /// The end of each frame in the pack.
    ends: Vec<u64>,
    run: u64,
}

impl Index {
    /// Returns the length of the end of a pack that holds the index, from its last [`FOOTER`] bytes.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn len_from_footer(footer: &[u8]) -> Result<u64, Bad> {
        let mut from = Reader::new(footer);
        from.magic(MAGIC, "a pack")?;
        let (_, frames) = (from.u32()?, from.u32()?);
        Ok(u64::from(frames) * 4 + FOOTER as u64)
    }

    /// Decodes the index from the end of a pack of `len` bytes.
    ///
    /// # Errors
    /// [`Bad`] if the end was changed, or if the lengths do not add up.
    pub fn decode(end: &[u8], len: u64) -> Result<Index, Bad> {
        let at = end.len().checked_sub(FOOTER).ok_or(Bad::Malformed("it is too short"))?;
        let wanted = Index::len_from_footer(&end[at..])?;
        let start = (end.len() as u64).checked_sub(wanted).ok_or(Bad::Malformed("it is too short"))?;
        let end = &end[start as usize..];
        let mut from = Reader::new(&end[end.len() - FOOTER + 12..]);
        let (frame_log, frames, run, digest) = (from.u32()?, from.u32()?, from.u64()?, from.digest()?);
        if Digest::of(&end[..end.len() - 32]) != digest {
            return Err(Bad::Malformed("the hash of its index differs"));
        }
        if !(FRAME_LOG..=BIG_FRAME_LOG).contains(&frame_log)
            || run > MAX_RUN
            || u64::from(frames) != run.div_ceil(1 << frame_log)
        {
            return Err(Bad::Malformed("its frames do not fit its length"));
        }
        let mut ends = Vec::with_capacity(frames as usize);
        let mut at = 0u64;
        let mut lens = Reader::new(&end[..frames as usize * 4]);
        for _ in 0..frames {
            at += u64::from(lens.u32()?);
            ends.push(at);
        }
        match at + wanted == len {
            true => Ok(Index { frame_log, ends, run }),
            false => Err(Bad::Malformed("its frames do not add up to its length")),
        }
    }

    /// Returns the length of the run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the frames that hold a part of the run.
    pub fn frames(&self, part: &Range<u64>) -> Range<usize> {
        let end = part.end.div_ceil(1 << self.frame_log) as usize;
        (part.start >> self.frame_log) as usize..end.min(self.ends.len())
    }

    /// Returns where these frames lie in the pack.
    pub fn stored(&self, frames: &Range<usize>) -> Range<u64> {
        let end_of = |frame: usize| frame.checked_sub(1).map_or(0, |before| self.ends[before]);
        end_of(frames.start)..end_of(frames.end)
    }

    /// Returns where in the run a frame begins.
    pub fn start(&self, frame: usize) -> u64 {
        (frame as u64) << self.frame_log
    }

    /// Decompresses one frame.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn decompress(&self, frame: usize, stored: &[u8]) -> Result<Vec<u8>, Bad> {
        let start = self.start(frame);
        squeeze::decompress(&[], stored, (self.run - start).min(1 << self.frame_log))
    }
}
