//! Requests and answers over two pipes, for `ssh://` (`remote-layout.md`, "Over ssh").
//!
//! A client may send further requests before the first is answered. Answers come in the order of requests.

use std::io::{self, ErrorKind, Read, Write};

use super::{Created, Failure, Listed, Reason};

/// The beginning of both directions.
pub(crate) const MAGIC: &[u8; 8] = b"gst-pipe";
/// The version of the requests.
pub(crate) const VERSION: u32 = 1;
/// The longest body of a request or an answer, in bytes.
const MAX_BODY: u64 = 1 << 29;
/// The longest text of a hello, in bytes.
const MAX_TEXT: usize = 4096;

/// The operation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Get = 1,
    GetRange = 2,
    Create = 3,
    Put = 4,
    List = 5,
    Delete = 6,
    CreateLong = 7,
}

/// A request. `start` and `len` are those of a range; `len` is the limit of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) op: Op,
    pub(crate) key: &'a str,
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) body: &'a [u8],
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no such file.
    Absent,
    /// Bytes of a file.
    Bytes(Vec<u8>),
    /// The result of a creation.
    Created(Created),
    /// It is done.
    Done,
    /// The files of a listing.
    Listing(Vec<Listed>),
    /// The request failed.
    Failed(Failure),
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

fn text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let len = u16::try_from(text.len()).map_err(|_| malformed("a text is too long"))?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map(|()| bytes)
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    array(from).map(u64::from_le_bytes)
}

fn read_text(from: &mut impl Read) -> io::Result<String> {
    let len = usize::from(u16::from_le_bytes(array(from)?));
    if len > MAX_TEXT {
        return Err(malformed("a text is too long"));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
}

fn read_body(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = number(from)?;
    if len > MAX_BODY {
        return Err(malformed("a body is too long"));
    }
    let mut bytes = vec![];
    match from.take(len).read_to_end(&mut bytes)? as u64 == len {
        true => Ok(bytes),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes the hello of either side: the version, and the directory, or the reason of a refusal.
pub(crate) fn write_hello(out: &mut impl Write, words: &str) -> io::Result<()> {
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    text(out, words)
}

/// Reads a hello after its magic.
pub(crate) fn read_hello(from: &mut impl Read) -> io::Result<(u32, String)> {
    Ok((u32::from_le_bytes(array(from)?), read_text(from)?))
}

/// Writes a part of a long file. An empty one is the end.
pub(crate) fn write_part(out: &mut impl Write, part: &[u8]) -> io::Result<()> {
    out.write_all(&(part.len() as u64).to_le_bytes())?;
    out.write_all(part)
}

/// Reads the next part of a long file. Returns `None` at its end.
pub(crate) fn read_part(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    Ok(Some(read_body(from)?).filter(|part| !part.is_empty()))
}

impl Request<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[self.op as u8])?;
        text(out, self.key)?;
        for number in [self.start, self.len, self.body.len() as u64] {
            out.write_all(&number.to_le_bytes())?;
        }
        out.write_all(self.body)
    }

    /// Reads the next request and passes it on, with the input for its parts. Returns `None` at the end.
    pub(crate) fn read<T, R: Read>(
        from: &mut R,
        then: impl FnOnce(Request<'_>, &mut R) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let op = match array::<1>(from) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            op => op?[0],
        };
        let all = [Op::Get, Op::GetRange, Op::Create, Op::Put, Op::List, Op::Delete, Op::CreateLong];
        let op = all.into_iter().find(|it| *it as u8 == op).ok_or(malformed("an unknown request"))?;
        let key = read_text(from)?;
        let (start, len) = (number(from)?, number(from)?);
        let body = read_body(from)?;
        then(Request { op, key: &key, start, len, body: &body }, from).map(Some)
    }
}

impl Answer {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (status, body) = match self {
            Answer::Absent => (0, vec![]),
            Answer::Created(Created::New) => (2, vec![]),
            Answer::Created(Created::Taken) => (3, vec![]),
            Answer::Done => (4, vec![]),
            Answer::Bytes(bytes) => {
                out.write_all(&[1])?;
                out.write_all(&(bytes.len() as u64).to_le_bytes())?;
                return out.write_all(bytes);
            }
            Answer::Listing(files) => {
                let mut body = vec![];
                for file in files {
                    text(&mut body, &file.key)?;
                    body.extend(file.bytes.to_le_bytes());
                }
                (5, body)
            }
            Answer::Failed(failure) => {
                let status = match (failure.reason, failure.is_ambiguous) {
                    (Reason::ReadOnly, _) => 8,
                    (_, true) => 7,
                    (_, false) => 6,
                };
                (status, failure.message.clone().into_bytes())
            }
        };
        out.write_all(&[status])?;
        out.write_all(&(body.len() as u64).to_le_bytes())?;
        out.write_all(&body)
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Answer> {
        let status = array::<1>(from)?[0];
        let body = read_body(from)?;
        let plain = |c: &char| !c.is_control();
        let message =
            || -> String { String::from_utf8_lossy(&body).chars().filter(plain).take(300).collect() };
        Ok(match status {
            0 => Answer::Absent,
            1 => Answer::Bytes(body),
            2 => Answer::Created(Created::New),
            3 => Answer::Created(Created::Taken),
            4 => Answer::Done,
            5 => {
                let (mut rest, mut files) = (&*body, vec![]);
                while !rest.is_empty() {
                    files.push(Listed { key: read_text(&mut rest)?, bytes: number(&mut rest)? });
                }
                Answer::Listing(files)
            }
            6 => Answer::Failed(Failure::final_one(message())),
            7 => Answer::Failed(Failure::ambiguous(message())),
            8 => Answer::Failed(Failure::final_one(message()).because(Reason::ReadOnly)),
            _ => return Err(malformed("an unknown answer")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_as_they_were_written() {
        let request = Request { op: Op::GetRange, key: "log/1", start: 7, len: u64::MAX, body: b"x" };
        let mut bytes = vec![];
        request.write(&mut bytes).unwrap();
        let mut from = &*bytes;
        let same = |read: Request<'_>, _: &mut &[u8]| {
            assert_eq!(read, request);
            Ok(())
        };
        Request::read(&mut from, same).unwrap().unwrap();
        assert!(from.is_empty() && Request::read(&mut from, |_, _| Ok(())).unwrap().is_none());
        assert!(Request::read(&mut &bytes[..bytes.len() - 1], |_, _| Ok(())).is_err());
        let mut parts = vec![];
        write_part(&mut parts, b"part").and_then(|()| write_part(&mut parts, b"")).unwrap();
        let mut from = &*parts;
        assert_eq!(read_part(&mut from).unwrap().unwrap(), b"part");
        assert_eq!(read_part(&mut from).unwrap(), None);
        let listed = Listed { key: "pack/a".to_owned(), bytes: 9 };
        for answer in [
            Answer::Absent,
            Answer::Bytes(b"bytes".to_vec()),
            Answer::Created(Created::New),
            Answer::Created(Created::Taken),
            Answer::Done,
            Answer::Listing(vec![listed.clone(), listed]),
            Answer::Failed(Failure::final_one("no")),
            Answer::Failed(Failure::ambiguous("perhaps")),
            Answer::Failed(Failure::final_one("never").because(Reason::ReadOnly)),
        ] {
            let mut bytes = vec![];
            answer.write(&mut bytes).unwrap();
            assert_eq!(Answer::read(&mut &*bytes).unwrap(), answer);
            assert!(Answer::read(&mut &bytes[..bytes.len() - 1]).is_err());
        }
        // A length that no memory could hold is refused before anything is allocated.
        let long = [&[1][..], &u64::MAX.to_le_bytes()].concat();
        assert!(Answer::read(&mut &*long).is_err());
    }
}
