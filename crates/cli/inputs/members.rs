//! The members of a tar archive, one after the other: ustar, GNU, pax and v7. Reads blocks in
//! order, and holds one block and the names of one member at a time. What an archive says about
//! itself is believed only as far as its bytes bear it out.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, SystemTime};

use ::tar::{EntryType, Header};
use anyhow::Result;

use super::cannot_read;
use super::pax::Pax;
use crate::errors::Fail;

const BLOCK: usize = 512;
/// The longest name or extended header. Paths on Linux end at 4 KiB.
const META_MAX: u64 = 1 << 20;
/// What is read beyond the end marker, so that whoever pads a pipe with zeros is not cut off.
const PADDING_MAX: u64 = 1 << 20;

/// Where sizes are limited, so are headers: to as much, but no less than this (two million members).
const HEADERS_MIN: u64 = 1 << 30;

/// How compressed files begin, what made them, and what unpacks them.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
    (b"\xfd7zXZ\0", "xz", "xz -d"),
    (b"BZh", "bzip2", "bunzip2"),
];

/// What a member is.
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
    /// What no tree can hold, as a sentence's end.
    Other(String),
}

/// One member; its bytes come from [`Archive::bytes`].
#[derive(Debug)]
pub(crate) struct Member {
    /// As the archive has it.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) size_bytes: u64,
}

/// An archive that is being read.
pub(crate) struct Archive<'a> {
    reader: io::BufReader<&'a mut dyn Read>,
    name: &'a str,
    /// The last member whose header was read.
    last: Option<Vec<u8>>,
    /// Whether that member's bytes are still to come.
    inside: bool,
    /// How many of its bytes are still to come, and how much padding after them.
    left: u64,
    padding: u64,
    global: Pax,
    /// How many bytes of headers and names may still come.
    headers_left: u64,
}

impl<'a> Archive<'a> {
    /// Begins to read. `limit` is for all headers together, so that an archive without end ends.
    pub(crate) fn new(reader: &'a mut dyn Read, name: &'a str, limit: Option<u64>) -> Archive<'a> {
        Archive {
            reader: io::BufReader::with_capacity(128 << 10, reader),
            name,
            last: None,
            inside: false,
            left: 0,
            padding: 0,
            global: Pax::default(),
            headers_left: limit.map_or(u64::MAX, |limit| limit.max(HEADERS_MIN)),
        }
    }

    /// Goes to the next member, past what is left of the last one. `None` at the end marker, which
    /// must be there.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        let (mut long_path, mut long_link, mut pax) = (None, None, Pax::default());
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let bytes = header.as_bytes();
            let size = header.entry_size();
            match header.entry_type() {
                EntryType::GNULongName => long_path = Some(until_nul(self.meta(size)?)),
                EntryType::GNULongLink => long_link = Some(until_nul(self.meta(size)?)),
                EntryType::XHeader => pax = self.pax(size)?,
                EntryType::XGlobalHeader => self.global = self.pax(size)?.or(&self.global),
                // The label of a tape (GNU).
                kind if kind.as_byte() == b'V' => {
                    let size = self.number(size)?;
                    self.take_headers(size)?;
                    self.expect(size);
                }
                kind => {
                    let pax = pax.or(&self.global);
                    let path = pax.path.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
                    self.last = Some(path.clone());
                    self.inside = true;
                    let size = match kind {
                        // As GNU tar has it: a hard link has no bytes, whatever its header says.
                        EntryType::Link => 0,
                        _ => self.number(pax.size.map_or(size, Ok))?,
                    };
                    let in_header = || header.link_name_bytes().unwrap_or_default().into_owned();
                    let link = || pax.link.or(long_link).unwrap_or_else(in_header);
                    let kind = match kind {
                        EntryType::Regular | EntryType::Continuous if pax.sparse => sparse(),
                        // Before POSIX a folder was a file whose name ends so.
                        EntryType::Regular if path.ends_with(b"/") => Kind::Dir,
                        EntryType::Regular | EntryType::Continuous => Kind::File {
                            executable: self.number(header.mode().map(u64::from))? & 0o100 != 0,
                            mtime: match pax.mtime {
                                Some(mtime) => mtime,
                                None => self.mtime(&header)?,
                            },
                        },
                        EntryType::Link => Kind::HardLink(link()),
                        EntryType::Symlink => Kind::Symlink(link()),
                        EntryType::Directory => Kind::Dir,
                        EntryType::Fifo => Kind::Other("is a FIFO".to_owned()),
                        EntryType::Char | EntryType::Block => Kind::Other("is a device".to_owned()),
                        EntryType::GNUSparse => {
                            let mut more = bytes[482] != 0;
                            while more {
                                more = self.whole_block()?[504] != 0;
                            }
                            sparse()
                        }
                        other => Kind::Other(format!(
                            "is of an unknown type ({})",
                            genstore::show_path(&[other.as_byte()])
                        )),
                    };
                    self.expect(size);
                    return Ok(Some(Member { path, kind, size_bytes: size }));
                }
            }
        }
    }

    /// Gives the bytes of the member, as many as its header says. Where the archive ends before,
    /// they fail with `UnexpectedEof`.
    pub(crate) fn bytes(&mut self) -> impl Read + '_ {
        Bytes(self)
    }

    /// Makes an error of what failed while [`Archive::bytes`] were read.
    pub(crate) fn failed(&self, error: io::Error) -> anyhow::Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.broken("is cut short"),
            _ => cannot_read(self.name, error).into(),
        }
    }

    /// Says where an archive is broken.
    fn broken(&self, how: &str) -> anyhow::Error {
        let place = match &self.last {
            Some(member) if self.inside => format!("in the member {}", genstore::show_path(member)),
            Some(member) => format!("after the member {}", genstore::show_path(member)),
            None => "before its first member".to_owned(),
        };
        let hint = "make or send the archive again; nothing was written";
        Fail::new("bad-tar", format!("{} {how} {place}", self.name), hint).into()
    }

    /// Reads the next header, past what is left of the last member. `None` at the end marker.
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
        let sum = |of: fn(u8) -> i64| -> i64 {
            let field = 148..156;
            block.iter().enumerate().map(|(at, &b)| of(if field.contains(&at) { b' ' } else { b })).sum()
        };
        // Some old programs add up signed bytes.
        let sums = [sum(i64::from), sum(|b| i64::from(b as i8))];
        match header.cksum() {
            Ok(stored) if sums.contains(&i64::from(stored)) => Ok(Some(header)),
            _ if self.last.is_none() => {
                let hint = "name an uncompressed tar archive, or pipe it in with `--from-tar -`";
                Err(Fail::new("bad-tar", format!("{} is no tar archive", self.name), hint).into())
            }
            _ => Err(self.broken("has a header with a wrong checksum")),
        }
    }

    /// Checks what follows a block of zeros: another one, or nothing. A lone one is a hole in an
    /// archive that goes on.
    fn end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        fill(&mut self.reader, &mut block).map_err(|e| self.failed(e))?;
        if block.iter().any(|&b| b != 0) {
            return Err(self.broken("has a lone block of zeros"));
        }
        let padding = &mut self.reader.by_ref().take(PADDING_MAX);
        io::copy(padding, &mut io::sink()).map_err(|e| cannot_read(self.name, e))?;
        Ok(())
    }

    fn refuse_compressed(&self, start: &[u8]) -> Result<()> {
        match COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
            None => Ok(()),
            Some((_, by, unpack)) => {
                let message = format!("{} is compressed with {by}", self.name);
                let hint =
                    format!("unpack it on the way: `{unpack} < FILE | genstore publish --from-tar -`");
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
        // In binary it is signed, which the crate does not know.
        let seconds = header.mtime().map_err(|_| self.broken("has a malformed header"))? as i64;
        let span = Duration::from_secs(seconds.unsigned_abs());
        let time = match seconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(span),
            _ => SystemTime::UNIX_EPOCH.checked_sub(span),
        };
        time.ok_or_else(|| self.broken("has a malformed header"))
    }

    /// Says that so many bytes come next, and the padding of their last block.
    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Passes over what is left of a member.
    fn skip(&mut self) -> Result<()> {
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
        let wanted = buffer.len().min(usize::try_from(archive.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match archive.reader.read(&mut buffer[..wanted])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                archive.left -= read as u64;
                Ok(read)
            }
        }
    }
}

fn sparse() -> Kind {
    Kind::Other("is a sparse file, which is not read from archives".to_owned())
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// Reads a whole block, or what there is of it at the end.
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
