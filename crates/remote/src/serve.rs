//! The other side of `ssh://`: a directory in the layout of a remote, behind two pipes.
//!
//! The side that serves knows nothing of generations. It carries out requests to files, as an object store
//! does, so the protocol, its crash states and its checks are the same for all remotes.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::codec::names;
use crate::transport::file::FileTransport;
use crate::transport::pipe::{self, Answer, Op, Request};
use crate::transport::{Failure, Parts, Reason, Transport};

/// The requests that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// Requests that read.
    Pull,
    /// These, and the creation of files.
    Push,
    /// These, and the removal of files.
    All,
}

/// Answers requests for files of a directory until the input ends. A client must ask for the same directory.
///
/// # Errors
/// If the client sends something else, or if its end cannot be written to.
pub fn serve(
    dir: &str,
    allowed: Allowed,
    input: &mut impl Read,
    output: &mut impl Write,
) -> io::Result<()> {
    let mut magic = [0; pipe::MAGIC.len()];
    input.read_exact(&mut magic)?;
    if magic != *pipe::MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client is no genstore"));
    }
    let (version, wanted) = pipe::read_hello(input)?;
    let plain = |dir: &str| dir.trim_end_matches('/').to_owned();
    let refusal = match plain(&wanted) == plain(dir) {
        true => String::new(),
        false => format!("this account serves another directory: {dir}"),
    };
    pipe::write_hello(output, &refusal)?;
    output.flush()?;
    if version != pipe::VERSION || !refusal.is_empty() {
        return Ok(());
    }
    let files = FileTransport::new(Path::new(dir));
    while let Some(answer) =
        Request::read(input, |request, input| answer(&files, allowed, (&request, input)))?
    {
        answer.write(output)?;
        output.flush()?;
    }
    Ok(())
}

/// Carries out a request. The input has the parts of a long file, which are read in any case.
fn answer(
    files: &FileTransport,
    allowed: Allowed,
    (request, input): (&Request<'_>, &mut impl Read),
) -> io::Result<Answer> {
    let mut is_at_end = request.op != Op::CreateLong;
    let answer = answer_of(files, allowed, request, &mut || {
        let part = pipe::read_part(input)?;
        is_at_end = part.is_none();
        Ok(part)
    });
    while !is_at_end {
        is_at_end = pipe::read_part(input)?.is_none();
    }
    Ok(answer)
}

fn answer_of(
    files: &FileTransport,
    allowed: Allowed,
    request: &Request<'_>,
    parts: &mut Parts<'_>,
) -> Answer {
    let Request { op, key, start, len, body } = *request;
    let needed = match op {
        Op::Get | Op::GetRange | Op::List => Allowed::Pull,
        Op::Put if key != names::HINT => Allowed::All,
        Op::Create | Op::CreateLong | Op::Put => Allowed::Push,
        Op::Delete => Allowed::All,
    };
    if needed > allowed {
        let right = if allowed == Allowed::Pull { "pull" } else { "push" };
        let why = format!("this account may only {right}");
        return Answer::Failed(Failure::final_one(why).because(Reason::ReadOnly));
    }
    // The prefix of a listing ends with a slash.
    let name = if op == Op::List { key.trim_end_matches('/') } else { key };
    if !is_key(name) {
        return Answer::Failed(Failure::final_one("this is no key of a remote"));
    }
    let bytes = |read: Result<Option<Vec<u8>>, Failure>| {
        read.map(|bytes| bytes.map_or(Answer::Absent, Answer::Bytes))
    };
    let done = match op {
        Op::Get => bytes(files.get(key, len)),
        Op::GetRange => bytes(files.get_range(key, start, len)),
        Op::Create => files.create(key, body).map(Answer::Created),
        Op::CreateLong => files.create_long(key, parts).map(|_| Answer::Done),
        Op::Put => files.put(key, body).map(|()| Answer::Done),
        Op::List => files.list(key).map(Answer::Listing),
        Op::Delete => files.delete(key).map(|()| Answer::Done),
    };
    done.unwrap_or_else(Answer::Failed)
}

/// Returns whether a word is a key: names without dots at their beginnings, and no folder of temporary
/// files. So it names a file below the directory, whatever the client sends.
fn is_key(word: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let mut names = word.split('/');
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_fit);
    word.split('/').next() != Some("tmp") && names.all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_leads_out_of_the_directory() {
        for word in ["format", "log/00000000000000000001", "pack/ab/ab-cd", "host/a.b_c"] {
            assert!(is_key(word), "{word}");
        }
        for word in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "log/../../x",
            "log//x",
            "log/",
            "tmp/x",
            "tmp",
            "a\0b",
            ".x",
            "ä",
        ] {
            assert!(!is_key(word), "{word}");
        }
    }
}
