//! Reading objects out of packs: several packs at once, and of each only the frames that are needed.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use genstore::tree::Digest;

use crate::codec::Bad;
use crate::codec::pack::{FOOTER, Index};
use crate::codec::table::{PackRef, Place};
use crate::error::{Error, Result};
use crate::load::Bundle;
use crate::requests::Remote;

/// A pack up to this length is read whole, in bytes.
const SMALL: u64 = 1 << 20;
/// The length of the first read of a pack's end.
const END: u64 = 32 << 10;
/// Frames with fewer bytes between them are read by one request.
const GAP: u64 = 1 << 20;
/// The most bytes of one request, if a frame is not longer.
const MOST: u64 = 16 << 20;
/// The number of packs that are read at once.
const THREADS: usize = 16;
/// The number of objects that wait for the store.
const WAITING: usize = 64;

/// Objects of one pack: where each begins in the run, its size and its digest, in this order.
pub(crate) struct Job {
    pub(crate) pack: PackRef,
    pub(crate) key: String,
    pub(crate) objects: Vec<(u64, u64, Digest)>,
}

pub(crate) type Object = (Digest, Vec<u8>);

/// Reads all objects and passes each to `take`, with the right bytes. `own` is the bundle of the generation.
pub(crate) fn fetch_all(
    (remote, own): (&Remote, &Bundle),
    jobs: &[Job],
    take: &mut dyn FnMut(Digest, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = |give: &mut dyn FnMut(Result<Object>) -> bool| {
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            let mut goes_on = true;
            let read = fetch((remote, own), job, &mut |object| {
                goes_on = give(Ok(object));
                goes_on
            });
            if let Err(error) = read {
                give(Err(error));
                return;
            }
            if !goes_on {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Result<Object>>(WAITING);
        let mut threads = 0;
        for _ in 1..jobs.len().min(THREADS) {
            let sender = sender.clone();
            let run = || work(&mut move |object| sender.send(object).is_ok());
            // If the system refuses more threads, fewer are used.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
            threads += 1;
        }
        drop(sender);
        if threads == 0 {
            let mut failed = None;
            work(&mut |object| {
                let taken = object.and_then(|(digest, bytes)| take(digest, bytes));
                let goes_on = taken.is_ok();
                failed = failed.take().or(taken.err());
                goes_on
            });
            return failed.map_or(Ok(()), Err);
        }
        for object in receiver {
            let (digest, bytes) = object?;
            take(digest, bytes)?;
        }
        Ok(())
    })
}

/// Reads the objects of one pack, until `give` returns `false`.
pub(crate) fn fetch(
    (remote, own): (&Remote, &Bundle),
    job: &Job,
    give: &mut dyn FnMut(Object) -> bool,
) -> Result<()> {
    let bad = |why| Error::bad(&job.key, why);
    let own_place = Place::Bundle(Some(own.id));
    let PackRef { offset, stored, .. } = job.pack;
    if stored.checked_add(offset).is_none() {
        return Err(bad(Bad::Malformed("it is longer than any file")));
    }
    let part = |range: Range<u64>, attempt| {
        let len = range.end - range.start;
        // The first request for a bundle often has its pack as well.
        match own.held(offset + range.start, len) {
            Some(held) if job.pack.place == own_place && attempt == 0 => Ok(held.to_vec()),
            _ => whole(remote, &job.key, offset + range.start..offset + range.end),
        }
    };
    let end_len = if stored <= SMALL { stored } else { END.min(stored) };
    let (index, end) =
        twice(|attempt| read_index(stored, end_len, &job.key, &|range| part(range, attempt)))?;
    for group in groups(&index, &job.objects).map_err(bad)? {
        let range = index.stored(&group.frames);
        let mut objects = job.objects[group.objects].iter().peekable();
        let goes_on = twice(|attempt| {
            let read;
            let bytes = match end_len == stored && attempt == 0 {
                true => &end[range.start as usize..range.end as usize],
                false => {
                    read = part(range.clone(), attempt)?;
                    &read
                }
            };
            let mut frames = Frames { index: &index, bytes, start: range.start, open: None };
            while let Some((start, size, digest)) = objects.peek() {
                let object = frames.part(*start..start + size).map_err(bad)?;
                if Digest::of(&object) != *digest {
                    return Err(bad(Bad::Malformed("the bytes of an object differ")));
                }
                objects.next();
                if !give((*digest, object)) {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads something, and once more if it is damaged: the damage may have come on the way. `read` gets the number of
/// earlier attempts.
pub(crate) fn twice<T>(mut read: impl FnMut(u32) -> Result<T>) -> Result<T> {
    match read(0) {
        Err(Error::Damaged { .. }) => read(1),
        read => read,
    }
}

/// Reads the index at the end of a pack, and returns it with the bytes of the end.
fn read_index(
    stored: u64,
    end_len: u64,
    key: &str,
    part: &dyn Fn(Range<u64>) -> Result<Vec<u8>>,
) -> Result<(Index, Vec<u8>)> {
    let bad = |why| Error::bad(key, why);
    let mut end = part(stored - end_len..stored)?;
    let footer = end.len().saturating_sub(FOOTER);
    let index_len = Index::len_from_footer(&end[footer..]).map_err(bad)?;
    if index_len > end_len && index_len <= stored {
        end = part(stored - index_len..stored)?;
    }
    let index = Index::decode(&end, stored).map_err(bad)?;
    Ok((index, end))
}

/// A large object that is read frame by frame, so that it needs little memory.
pub(crate) struct Long<'a> {
    remote: &'a Remote,
    key: &'a str,
    index: Index,
    /// The frame that comes next, and the number of frames.
    next: usize,
    count: usize,
    /// Compressed frames that were read: where in the pack they begin, and the first frame after them.
    ahead: (Vec<u8>, u64, usize),
    open: Vec<u8>,
    at: usize,
    /// The error that ended it.
    pub(crate) failed: Option<Error>,
}

impl<'a> Long<'a> {
    /// Reads the index of a pack of one object.
    pub(crate) fn open(remote: &'a Remote, job: &'a Job) -> Result<Long<'a>> {
        let stored = job.pack.stored;
        let part = |range: Range<u64>| whole(remote, &job.key, range);
        let (index, _) = read_index(stored, END.min(stored), &job.key, &part)?;
        let count = index.frames(&(0..index.run())).end;
        Ok(Long {
            remote,
            key: &job.key,
            index,
            next: 0,
            count,
            ahead: (vec![], 0, 0),
            open: vec![],
            at: 0,
            failed: None,
        })
    }

    /// Decompresses the next frame.
    fn advance(&mut self) -> Result<()> {
        let frame = self.next;
        if frame >= self.ahead.2 {
            let mut end = frame + 1;
            let len = |end: usize| {
                let range = self.index.stored(&(frame..end));
                range.end - range.start
            };
            while end < self.count && len(end + 1) <= MOST {
                end += 1;
            }
            let range = self.index.stored(&(frame..end));
            self.ahead = (whole(self.remote, self.key, range.clone())?, range.start, end);
        }
        let range = self.index.stored(&(frame..frame + 1));
        let (from, to) = (range.start - self.ahead.1, range.end - self.ahead.1);
        let bytes = self.ahead.0.get(from as usize..to as usize);
        let bad = |why| Error::bad(self.key, why);
        let bytes = bytes.ok_or_else(|| bad(Bad::Malformed("it is too short")))?;
        self.open = self.index.decompress(frame, bytes).map_err(bad)?;
        (self.at, self.next) = (0, frame + 1);
        Ok(())
    }
}

impl io::Read for Long<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() && self.next < self.count {
            if let Err(error) = self.advance() {
                self.failed = Some(error);
                return Err(io::Error::other("the remote failed"));
            }
        }
        let len = into.len().min(self.open.len() - self.at);
        into[..len].copy_from_slice(&self.open[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// Reads a part of a file, all of it.
fn whole(remote: &Remote, key: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let len = range.end - range.start;
    let is_whole = move |bytes: Vec<u8>| match bytes.len() as u64 == len {
        true => Ok(bytes),
        false => Err(Bad::Malformed("it is too short")),
    };
    remote.must_get((key, range.start, len), is_whole)
}

/// Objects that one request reads.
struct Group {
    objects: Range<usize>,
    frames: Range<usize>,
}

/// Divides objects into groups: those with few other bytes between them are read by one request.
fn groups(index: &Index, objects: &[(u64, u64, Digest)]) -> std::result::Result<Vec<Group>, Bad> {
    let mut groups: Vec<Group> = vec![];
    for (number, (start, size, _)) in objects.iter().enumerate() {
        let end = start.checked_add(*size).filter(|end| *end <= index.run());
        let end = end.ok_or(Bad::Malformed("an object lies beyond its end"))?;
        let frames = index.frames(&(*start..end));
        let stored = index.stored(&frames);
        match groups.last_mut() {
            Some(group)
                if stored.start <= index.stored(&group.frames).end + GAP
                    && stored.end - index.stored(&group.frames).start <= MOST =>
            {
                group.objects.end = number + 1;
                group.frames.end = group.frames.end.max(frames.end);
            }
            _ => groups.push(Group { objects: number..number + 1, frames }),
        }
    }
    Ok(groups)
}

/// Frames of a pack that were read.
struct Frames<'a> {
    index: &'a Index,
    bytes: &'a [u8],
    /// Where in the pack the bytes begin.
    start: u64,
    /// The frame that was decompressed last.
    open: Option<(usize, Vec<u8>)>,
}

impl Frames<'_> {
    /// Returns a part of the run.
    fn part(&mut self, part: Range<u64>) -> std::result::Result<Vec<u8>, Bad> {
        let mut bytes = vec![];
        for frame in self.index.frames(&part) {
            if self.open.as_ref().is_none_or(|(open, _)| *open != frame) {
                let stored = self.index.stored(&(frame..frame + 1));
                let (from, to) = (stored.start - self.start, stored.end - self.start);
                let stored = self.bytes.get(from as usize..to as usize);
                let stored = stored.ok_or(Bad::Malformed("it is too short"))?;
                self.open = Some((frame, self.index.decompress(frame, stored)?));
            }
            let Some((_, open)) = &self.open else { continue };
            let begin = self.index.start(frame);
            let from = part.start.saturating_sub(begin);
            let to = (part.end - begin).min(open.len() as u64);
            bytes.extend(open.get(from as usize..to as usize).unwrap_or_default());
        }
        Ok(bytes)
    }
}
