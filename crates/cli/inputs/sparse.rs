//! Sparse members of a tar archive: the parts of the file that the archive holds. The rest is zeros.
//!
//! GNU tar writes them in four ways: with its type `S`, and with extended headers of the formats 0.0, 0.1
//! and 1.0. In 1.0 the map precedes the bytes; see <https://www.gnu.org/software/tar/manual>, "Storing
//! Sparse Files".

use std::io::{self, ErrorKind, Read};

use ::tar::GnuSparseHeader;

/// The most parts of one file: 16 MiB of memory.
const PARTS_MAX: usize = 1 << 20;
/// The block size. Each part begins at a block, so all parts but the last are whole blocks.
const BLOCK: u64 = 512;

/// The records of an extended header about a sparse file.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Records {
    /// The major version of the format; in version 1 the map precedes the bytes.
    pub(crate) major: Option<u64>,
    /// The length of the file.
    pub(crate) size: Option<u64>,
    /// Offset and length of each part, one after the other.
    pub(crate) map: Vec<u64>,
}

impl Records {
    /// Adds a record whose key begins with `GNU.sparse.`. Returns `None` if it is malformed.
    pub(crate) fn take(&mut self, key: &[u8], value: &str) -> Option<()> {
        let number = || value.parse::<u64>().ok();
        match key {
            b"major" => self.major = Some(number()?),
            b"size" | b"realsize" => self.size = Some(number()?),
            b"offset" | b"numbytes" => self.map.push(number()?),
            b"map" => {
                let numbers = value.split(',').filter(|number| !number.is_empty());
                self.map = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }
}

/// The map of format 1.0 while it is read: decimal numbers, each with a line feed: the number of parts,
/// then offset and length of each.
#[derive(Default)]
pub(crate) struct MapReader {
    numbers: Vec<u64>,
    digits: Option<u64>,
}

impl MapReader {
    /// Adds a block. Returns whether the map is complete, or `None` if it is malformed.
    pub(crate) fn take(&mut self, block: &[u8]) -> Option<bool> {
        for byte in block {
            match (byte, self.digits) {
                (b'0'..=b'9', digits) => {
                    let digit = u64::from(byte - b'0');
                    self.digits = Some(digits.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                }
                (b'\n', Some(number)) => {
                    self.numbers.push(number);
                    self.digits = None;
                }
                _ => return None,
            }
            let parts = self.numbers.first().copied().unwrap_or(1);
            if parts > PARTS_MAX as u64 {
                return None;
            }
            if self.numbers.len() as u64 == 1 + 2 * parts {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Returns offset and length of each part.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        self.numbers.drain(..1);
        self.numbers
    }
}

/// Reads the parts of a header of type `S`, or of a block that continues them.
pub(crate) fn parts_of(headers: &[GnuSparseHeader], map: &mut Vec<u64>) -> Option<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        map.extend([header.offset().ok()?, header.length().ok()?]);
    }
    (map.len() <= 2 * PARTS_MAX).then_some(())
}

/// A sparse file that is being read.
#[derive(Debug)]
pub(crate) struct Layout {
    size: u64,
    /// Start and end of each part, in file order.
    parts: std::vec::IntoIter<(u64, u64)>,
    /// The current part, or the next one.
    part: Option<(u64, u64)>,
    at: u64,
}

impl Layout {
    /// Checks that the parts are in order, lie within the file, and cover the stored bytes. Returns `None`
    /// if not.
    pub(crate) fn new(size: u64, map: &[u64], stored: u64) -> Option<Layout> {
        let (mut end, mut left, mut is_last) = (0u64, stored, false);
        let mut parts = Vec::new();
        for pair in map.chunks(2) {
            let &[start, length] = pair else { return None };
            if start < end || (is_last && length > 0) {
                return None;
            }
            end = start.checked_add(length)?;
            left = left.checked_sub(length)?;
            is_last |= length % BLOCK != 0;
            if length > 0 {
                parts.push((start, end));
            }
        }
        if end > size || left > 0 {
            return None;
        }
        let mut parts = parts.into_iter();
        Some(Layout { size, part: parts.next(), parts, at: 0 })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Reads the file's next bytes. Bytes of parts come from `stored`.
    pub(crate) fn read(&mut self, stored: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_some_and(|(_, end)| self.at == end) {
            self.part = self.parts.next();
        }
        let (start, end) = self.part.unwrap_or((self.size, self.size));
        let is_hole = self.at < start;
        let left = if is_hole { start } else { end } - self.at;
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..wanted];
        let read = match is_hole {
            _ if wanted == 0 => 0,
            true => {
                buffer.fill(0);
                wanted
            }
            false => match stored.read(buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => read,
            },
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_what_the_archive_has() {
        let check = |size, map: &[u64], stored: &[u8], expected: Option<&[u8]>| {
            let found = Layout::new(size, map, stored.len() as u64).map(|mut layout| {
                let (mut stored, mut whole, mut buffer) = (stored, Vec::new(), [9; 100]);
                loop {
                    match layout.read(&mut stored, &mut buffer).unwrap() {
                        0 => return whole,
                        read => whole.extend(&buffer[..read]),
                    }
                }
            });
            assert_eq!(found.as_deref(), expected, "{size} {map:?}");
        };
        let block = [7; 512];
        check(0, &[], b"", Some(b""));
        check(3, &[], b"", Some(&[0; 3]));
        check(3, &[3, 0], b"", Some(&[0; 3]));
        check(5, &[1, 2, 5, 0], b"ab", Some(b"\0ab\0\0"));
        let whole = [&[0; 10][..], &block, &[0; 5], b"xyz"].concat();
        let stored = [&block[..], b"xyz"].concat();
        check(530, &[10, 512, 527, 3], &stored, Some(&whole));
        check(530, &[10, 512, 522, 0, 527, 3], &stored, Some(&whole));
        // Out of order, overlapping, beyond the end, more or less than the stored bytes, half a pair.
        check(530, &[527, 3, 10, 512], &stored, None);
        check(530, &[10, 512, 521, 3], &stored, None);
        check(529, &[10, 512, 527, 3], &stored, None);
        check(530, &[10, 512], &stored, None);
        check(530, &[10, 512, 527, 3], &block, None);
        check(530, &[10, 512, 527], &block, None);
        check(u64::MAX, &[u64::MAX, 2], b"ab", None);
        // The beginning of the next part would be ambiguous.
        check(530, &[0, 3, 10, 3], b"abcabc", None);
    }

    #[test]
    fn a_map_before_the_bytes_ends_with_its_last_number() {
        let read = |blocks: &[&[u8]]| {
            let mut map = MapReader::default();
            for (nth, block) in blocks.iter().enumerate() {
                if map.take(block)? {
                    return (nth + 1 == blocks.len()).then(|| map.finish());
                }
            }
            None
        };
        assert_eq!(read(&[b"0\n\0\0"]), Some(vec![]));
        assert_eq!(read(&[b"2\n0\n512\n10", b"24\n3\n\0\0"]), Some(vec![0, 512, 1024, 3]));
        for bad in [&b"\n"[..], b"x\n", b"1\n0\n\0", b"-1\n", b"99999999999999999999\n", b"1048577\n"] {
            assert_eq!(read(&[bad, &[0; 512]]), None, "{}", String::from_utf8_lossy(bad));
        }
        // Too many parts are refused before they are read, wherever the number is.
        assert_eq!(MapReader::default().take(b"1048577\n"), None);
        assert_eq!(MapReader::default().take(b"1048576\n"), Some(false));
        let mut map = vec![0; 2 * PARTS_MAX];
        let part = GnuSparseHeader { offset: *b"00000000000\0", numbytes: *b"00000000000\0" };
        assert_eq!(parts_of(&[part], &mut map), None);
    }
}
