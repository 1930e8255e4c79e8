//! Reads the members of a tar archive in order: ustar, GNU, pax and v7. It holds one block and the names of
//! one member at a time. The sizes in an archive are not trusted before its bytes confirm them.
//!
//! The crate `tar` decodes the headers. Its `Archive` is not used for four reasons: it accepts an archive
//! that is cut at the end of a member, reads names of any length into memory, ignores global headers, and
//! does not support sparse files of the pax formats or hard links with bytes.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, SystemTime};

use ::tar::{EntryType, GnuExtSparseHeader, Header};
use anyhow::Result;

use super::pax::Pax;
use super::source::cannot_read;
use super::sparse::{Layout, MapReader, parts_of};
use crate::errors::Fail;

const BLOCK: usize = 512;
/// The longest name or extended header. Paths on Linux end at 4 KiB.
const META_MAX: u64 = 1 << 20;
/// The most bytes read after the end marker, so that a writer that pads a pipe with zeros gets no SIGPIPE.
const PADDING_MAX: u64 = 1 << 20;

/// If sizes are limited, headers have the same limit, but at least this one (two million members).
const HEADERS_MIN: u64 = 1 << 30;

/// The magic numbers of compressed files, their formats, and the programs that unpack them.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
    (b"\xfd7zXZ\0", "xz", "xz -d"),
    (b"BZh", "bzip2", "bunzip2"),
];

/// The kind of a member.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File {
        executable: bool,
        mtime: SystemTime,
    },
    /// The path of another member.
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Dir,
    /// A kind that no tree can hold, as the end of a sentence.
    Other(String),
}

/// One member. [`Archive::bytes`] returns its bytes.
#[derive(Debug)]
pub(crate) struct Member {
    /// The path, as in the archive.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) size_bytes: u64,
    /// The number of bytes in holes, which are not in the archive.
    pub(crate) hole_bytes: u64,
}

/// A reader with a lookahead of one block.
struct Ahead<'a> {
    reader: io::BufReader<&'a mut dyn Read>,
    block: [u8; BLOCK],
    /// The part of `block` that is still unread.
    left: std::ops::Range<usize>,
}

impl Ahead<'_> {
    /// Returns the next block without consuming it; at the end of the input, a part of it.
    fn look(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty() {
            self.left = 0..fill(&mut self.reader, &mut self.block)?;
        }
        Ok(&self.block[self.left.clone()])
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            return self.reader.read(buffer);
        }
        let read = (&self.block[self.left.clone()]).read(buffer)?;
        self.left.start += read;
        Ok(read)
    }
}

/// An archive that is being read.
pub(crate) struct Archive<'a> {
    reader: Ahead<'a>,
    name: &'a str,
    /// The member whose header was read last.
    last: Option<Vec<u8>>,
    /// Whether that member's bytes are still unread.
    inside: bool,
    /// The number of its bytes that are still unread, and of padding after them.
    left: u64,
    padding: u64,
    /// The position of those bytes, if it is a sparse file.
    layout: Option<Layout>,
    /// Whether an apparent end marker may be the bytes of a hard link.
    is_end_doubtful: bool,
    global: Option<Pax>,
    /// The number of bytes of headers and names that may still follow.
    headers_left: u64,
}

impl<'a> Archive<'a> {
    /// Starts to read. `limit` is for all headers together, so that an endless archive is stopped.
    pub(crate) fn new(reader: &'a mut dyn Read, name: &'a str, limit: Option<u64>) -> Archive<'a> {
        Archive {
            reader: Ahead {
                reader: io::BufReader::with_capacity(128 << 10, reader),
                block: [0; BLOCK],
                left: 0..0,
            },
            name,
            last: None,
            inside: false,
            left: 0,
            padding: 0,
            layout: None,
            is_end_doubtful: false,
            global: None,
            headers_left: limit.map_or(u64::MAX, |limit| limit.max(HEADERS_MIN)),
        }
    }

    /// Moves to the next member, past the unread rest of the last one. Returns `None` at the end marker,
    /// which must exist.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        let (mut long_path, mut long_link, mut pax) = (None, None, None);
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size();
            match header.entry_type() {
                EntryType::GNULongName => long_path = Some(until_nul(self.meta(size)?)),
                EntryType::GNULongLink => long_link = Some(until_nul(self.meta(size)?)),
                EntryType::XHeader => pax = Some(self.pax(size)?),
                EntryType::XGlobalHeader => {
                    self.global = Some(self.pax(size)?.or(&self.global.take().unwrap_or_default()));
                }
                // A volume label (GNU).
                kind if kind.as_byte() == b'V' => {
                    let size = self.number(size)?;
                    self.take_headers(size)?;
                    self.expect(size);
                }
                _ => {
                    let is_pax = pax.is_some() || self.global.is_some();
                    let pax = pax.unwrap_or_default();
                    let pax = self.global.as_ref().map_or_else(|| pax.clone(), |all| pax.clone().or(all));
                    return self.member(&header, pax, is_pax, (long_path, long_link)).map(Some);
                }
            }
        }
    }

    /// Creates a member from its header and the extended headers before it.
    fn member(
        &mut self,
        header: &Header,
        pax: Pax,
        is_pax: bool,
        (long_path, long_link): (Option<Vec<u8>>, Option<Vec<u8>>),
    ) -> Result<Member> {
        let path = pax.path.clone().or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
        self.last = Some(path.clone());
        self.inside = true;
        self.is_end_doubtful = false;
        let mut stored = self.number(pax.size.map_or(header.entry_size(), Ok))?;
        let in_header = || header.link_name_bytes().unwrap_or_default().into_owned();
        let link = || pax.link.clone().or(long_link).unwrap_or_else(in_header);
        let kind = match header.entry_type() {
            // Before POSIX, a folder was a file whose name ends in a slash.
            EntryType::Regular if path.ends_with(b"/") && pax.sparse.is_none() => Kind::Dir,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(header, &pax)?,
            // The bytes of such a link equal those of its target, so it can be read as a file.
            EntryType::Link if self.has_bytes(stored, is_pax)? => self.file(header, &pax)?,
            EntryType::Link => {
                stored = 0;
                Kind::HardLink(link())
            }
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Directory => Kind::Dir,
            EntryType::Fifo => Kind::Other("is a FIFO".to_owned()),
            EntryType::Char | EntryType::Block => Kind::Other("is a device".to_owned()),
            other => Kind::Other(format!(
                "is of an unknown type ({})",
                genstore::tree::show_path(&[other.as_byte()])
            )),
        };
        self.layout = match header.entry_type() {
            EntryType::GNUSparse => Some(self.old_sparse(header, stored)?),
            EntryType::Regular | EntryType::Continuous if pax.sparse.is_some() => {
                let layout = self.pax_sparse(&pax, &mut stored)?;
                Some(layout)
            }
            _ => None,
        };
        self.expect(stored);
        let size_bytes = self.layout.as_ref().map_or(stored, Layout::size_bytes);
        Ok(Member { path, kind, size_bytes, hole_bytes: size_bytes - stored })
    }

    fn file(&self, header: &Header, pax: &Pax) -> Result<Kind> {
        Ok(Kind::File {
            executable: self.number(header.mode().map(u64::from))? & 0o100 != 0,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => self.mtime(header)?,
            },
        })
    }

    /// Returns whether a hard link's bytes follow. Old formats give the link the size of its target, and no
    /// bytes. POSIX of 2001 allows bytes (pax, cpio and bsdtar write them on request), but only in its own
    /// format, which cannot be recognised without an extended header.
    fn has_bytes(&mut self, size: u64, is_pax: bool) -> Result<bool> {
        if size == 0 || is_pax {
            return Ok(size > 0);
        }
        let next = match self.reader.look() {
            Ok(next) => <[u8; BLOCK]>::try_from(next),
            Err(e) => return Err(self.failed(e)),
        };
        // If the archive is cut here, reading the next header reports it.
        let Ok(next) = next else { return Ok(false) };
        let is_zero = next == [0; BLOCK];
        self.is_end_doubtful = is_zero;
        Ok(!is_zero && !has_right_sum(&next))
    }

    /// Reads the map of a sparse file of GNU's own type: in the header, and in blocks after it.
    fn old_sparse(&mut self, header: &Header, stored: u64) -> Result<Layout> {
        let malformed = |archive: &Archive<'_>| archive.broken("has a malformed header");
        let Some(gnu) = header.as_gnu() else { return Err(malformed(self)) };
        let mut map = Vec::new();
        let mut read = parts_of(&gnu.sparse, &mut map);
        let mut is_more = gnu.is_extended();
        while read.is_some() && is_more {
            let mut more = GnuExtSparseHeader::new();
            *more.as_mut_bytes() = self.whole_block()?;
            read = parts_of(more.sparse(), &mut map);
            is_more = more.is_extended();
        }
        let size = self.number(gnu.real_size())?;
        read.and_then(|()| Layout::new(size, &map, stored)).ok_or_else(|| malformed(self))
    }

    /// Reads the map of a sparse file with an extended header. In format 1.0 it is at the start of the
    /// stored bytes.
    fn pax_sparse(&mut self, pax: &Pax, stored: &mut u64) -> Result<Layout> {
        let records = pax.sparse.as_ref();
        let malformed = |archive: &Archive<'_>| archive.broken("has a malformed map of a sparse file");
        let Some((records, size)) = records.and_then(|records| Some((records, records.size?))) else {
            return Err(malformed(self));
        };
        let mut map = records.map.clone();
        if records.major.is_some_and(|major| major > 0) {
            let mut reader = MapReader::default();
            loop {
                *stored = stored.checked_sub(BLOCK as u64).ok_or_else(|| malformed(self))?;
                match reader.take(&self.whole_block()?) {
                    Some(true) => break,
                    Some(false) => {}
                    None => return Err(malformed(self)),
                }
            }
            map = reader.finish();
        }
        let size = self.number(Ok(size))?;
        Layout::new(size, &map, *stored).ok_or_else(|| malformed(self))
    }

    /// Returns a reader of the member's bytes, with holes as zeros, of exactly the size in the header. If
    /// the archive ends early, it fails with `UnexpectedEof`.
    pub(crate) fn bytes(&mut self) -> impl Read + '_ {
        Bytes(self)
    }

    /// Converts a failure of reading [`Archive::bytes`] to an error.
    pub(crate) fn failed(&self, error: io::Error) -> anyhow::Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.broken("is cut short"),
            _ => cannot_read(self.name, error).into(),
        }
    }

    /// Creates an error with the place in the archive.
    fn broken(&self, how: &str) -> anyhow::Error {
        let place = match &self.last {
            Some(member) if self.inside => format!("in the member {}", genstore::tree::show_path(member)),
            Some(member) => format!("after the member {}", genstore::tree::show_path(member)),
            None => "before its first member".to_owned(),
        };
        let hint = "make or send the archive again; nothing was written";
        Fail::new("bad-tar", format!("{} {how} {place}", self.name), hint).into()
    }

    /// Reads the next header, past the unread rest of the last member. Returns `None` at the end marker.
    fn header(&mut self) -> Result<Option<Header>> {
        self.skip()?;
        self.inside = false;
        self.take_headers(BLOCK as u64)?;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let read = fill(&mut self.reader, block).map_err(|e| self.failed(e))?;
        if self.last.is_none() {
            self.refuse_compressed(&block[..read])?;
        }
        if read < BLOCK {
            return Err(self.broken("is cut short"));
        }
        if block.iter().all(|&b| b == 0) {
            return self.end().map(|()| None);
        }
        match has_right_sum(block) {
            true => Ok(Some(header)),
            false if self.last.is_none() => {
                let hint = "name an uncompressed tar archive, or pipe it in with `--from-tar -`";
                Err(Fail::new("bad-tar", format!("{} is not a tar archive", self.name), hint).into())
            }
            false => Err(self.broken("has a header with a wrong checksum")),
        }
    }

    /// Checks the bytes after a block of zeros: another such block, or the end. A lone one is a gap in an
    /// archive that continues.
    fn end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        fill(&mut self.reader, &mut block).map_err(|e| self.failed(e))?;
        if block.iter().any(|&b| b != 0) {
            return Err(self.broken("has a lone block of zeros"));
        }
        let mut padding = Vec::new();
        let read = self.reader.by_ref().take(PADDING_MAX).read_to_end(&mut padding);
        read.map_err(|e| cannot_read(self.name, e))?;
        match self.is_end_doubtful && padding.iter().any(|&b| b != 0) {
            true => Err(self.broken("continues after the end marker")),
            false => Ok(()),
        }
    }

    fn refuse_compressed(&self, start: &[u8]) -> Result<()> {
        match COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
            None => Ok(()),
            Some((_, by, unpack)) => {
                let message = format!("{} is compressed with {by}", self.name);
                let hint = format!("decompress it: `{unpack} < FILE | genstore publish --from-tar -`");
                Err(Fail::new("bad-tar", message, hint).into())
            }
        }
    }

    fn take_headers(&mut self, size: u64) -> Result<()> {
        match self.headers_left.checked_sub(size) {
            Some(left) => self.headers_left = left,
            None => return Err(self.broken("has too many headers")),
        }
        Ok(())
    }

    fn whole_block(&mut self) -> Result<[u8; BLOCK]> {
        self.take_headers(BLOCK as u64)?;
        let mut block = [0; BLOCK];
        match fill(&mut self.reader, &mut block) {
            Ok(BLOCK) => Ok(block),
            Ok(_) => Err(self.broken("is cut short")),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Checks a number of a header.
    fn number(&self, number: io::Result<u64>) -> Result<u64> {
        let fits = |number: &u64| i64::try_from(*number).is_ok();
        number.ok().filter(fits).ok_or_else(|| self.broken("has a malformed header"))
    }

    fn mtime(&self, header: &Header) -> Result<SystemTime> {
        // Binary values are signed, which the crate does not support.
        let seconds = header.mtime().map_err(|_| self.broken("has a malformed header"))? as i64;
        let span = Duration::from_secs(seconds.unsigned_abs());
        let time = match seconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(span),
            _ => SystemTime::UNIX_EPOCH.checked_sub(span),
        };
        time.ok_or_else(|| self.broken("has a malformed header"))
    }

    /// Sets the number of bytes that follow, and the padding of their last block.
    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Skips the unread rest of a member.
    fn skip(&mut self) -> Result<()> {
        self.layout = None;
        let due = self.left + self.padding;
        let skipped = io::copy(&mut self.reader.by_ref().take(due), &mut io::sink());
        if skipped.map_err(|e| self.failed(e))? < due {
            return Err(self.broken("is cut short"));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads a name or an extended header.
    fn meta(&mut self, size: io::Result<u64>) -> Result<Vec<u8>> {
        let size = self.number(size)?;
        if size > META_MAX {
            return Err(self.broken("has a malformed header"));
        }
        self.take_headers(size)?;
        self.expect(size);
        let mut bytes = Vec::new();
        let read = self.bytes().read_to_end(&mut bytes);
        read.map_err(|e| self.failed(e))?;
        Ok(bytes)
    }

    fn pax(&mut self, size: io::Result<u64>) -> Result<Pax> {
        let pax = Pax::parse(&self.meta(size)?);
        pax.ok_or_else(|| self.broken("has a malformed extended header"))
    }
}

struct Bytes<'b, 'a>(&'b mut Archive<'a>);

impl Read for Bytes<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let archive = &mut *self.0;
        let mut stored = Stored { reader: &mut archive.reader, left: &mut archive.left };
        match &mut archive.layout {
            Some(layout) => layout.read(&mut stored, buffer),
            None => stored.read(buffer),
        }
    }
}

/// The stored bytes of a member.
struct Stored<'b, 'a> {
    reader: &'b mut Ahead<'a>,
    left: &'b mut u64,
}

impl Read for Stored<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(*self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..wanted])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                *self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Returns whether a block is a header, by its checksum.
fn has_right_sum(block: &[u8; BLOCK]) -> bool {
    let sum = |of: fn(u8) -> i64| -> i64 {
        let field = 148..156;
        block.iter().enumerate().map(|(at, &b)| of(if field.contains(&at) { b' ' } else { b })).sum()
    };
    let mut header = Header::new_old();
    *header.as_mut_bytes() = *block;
    // Some old programs sum signed bytes.
    let sums = [sum(i64::from), sum(|b| i64::from(b as i8))];
    header.cksum().is_ok_and(|stored| sums.contains(&i64::from(stored)))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// Reads a whole block; at the end of the input, a part of it.
fn fill(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
