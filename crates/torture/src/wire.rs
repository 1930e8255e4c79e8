//! Sends the fault of a trial to the child, over a pipe that only the torture can have created.
//!
//! A child is started as `genstore torture-trial VERB…`, and its stdin is a pipe from its parent. The child
//! accepts it only if its parent runs the same program, as the same user, and holds that very pipe.
//! Otherwise `torture-trial` is an unknown verb. So no variable, file or argument can set a clock or a
//! fault.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::process::{geteuid, getppid};

use crate::seams::Seams;

/// The first argument of a child.
pub(crate) const TRIAL: &str = "torture-trial";

/// The largest message. This much is written to a pipe atomically.
const MOST_BYTES: usize = 4096;

/// In a child: takes `TRIAL` from the arguments and returns the parent's message. Returns `None`, and
/// leaves the arguments unchanged, if this process is no child of the torture.
pub fn receive(args: &mut Vec<OsString>) -> Option<Seams> {
    if args.get(1)? != TRIAL || !is_from_parent(io::stdin().as_fd()).unwrap_or(false) {
        return None;
    }
    let seams = read(io::stdin().lock()).ok()??;
    args.remove(1);
    Some(seams)
}

/// Returns whether the parent runs this program as this user and holds the other end of this pipe.
fn is_from_parent(pipe: impl AsFd) -> io::Result<bool> {
    let pipe = File::from(pipe.as_fd().try_clone_to_owned()?).metadata()?;
    if !pipe.file_type().is_fifo() {
        return Ok(false);
    }
    let Some(parent) = getppid() else { return Ok(false) };
    let parent = Path::new("/proc").join(parent.as_raw_pid().to_string());
    let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let programs = (std::fs::metadata("/proc/self/exe")?, std::fs::metadata(parent.join("exe"))?);
    if !same(&programs.0, &programs.1) || std::fs::metadata(&parent)?.uid() != geteuid().as_raw() {
        return Ok(false);
    }
    for descriptor in std::fs::read_dir(parent.join("fd"))? {
        // A descriptor that was closed meanwhile is not the right one.
        let Ok(meta) = std::fs::metadata(descriptor?.path()) else { continue };
        if same(&meta, &pipe) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sends a message. The pipe must stay open until the child has ended.
pub(crate) fn send(seams: &Seams, mut pipe: impl Write) -> io::Result<()> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let trace = seams.trace.as_ref().map(|path| path.to_string_lossy().into_owned());
    let message = [text(&seams.now), text(&seams.fault), text(&trace), "end\n".to_owned()].join("\n");
    pipe.write_all(message.as_bytes())
}

/// Reads a message. Returns `None` if it is malformed.
fn read(mut pipe: impl Read) -> io::Result<Option<Seams>> {
    let mut message = Vec::new();
    let mut chunk = [0; MOST_BYTES];
    while message.len() < MOST_BYTES {
        let count = pipe.read(&mut chunk)?;
        message.extend(&chunk[..count]);
        if count == 0 || message.ends_with(b"\nend\n") {
            break;
        }
    }
    let Ok(text) = String::from_utf8(message) else { return Ok(None) };
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(match text.split('\n').collect::<Vec<_>>()[..] {
        [now, fault, trace, "end", ""] => {
            let trace = filled(trace).map(Into::into);
            Some(Seams { now: filled(now), fault: filled(fault), trace, ground: None })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_whole() {
        let check = |now: Option<&str>, fault: Option<&str>, trace: Option<&str>| {
            let sent = Seams {
                now: now.map(Into::into),
                fault: fault.map(Into::into),
                trace: trace.map(Into::into),
                ground: None,
            };
            let mut bytes = Vec::new();
            send(&sent, &mut bytes).unwrap();
            let read_back = |bytes: &[u8]| read(bytes).unwrap().map(|s| (s.now, s.fault, s.trace));
            assert_eq!(read_back(&bytes), Some((sent.now, sent.fault, sent.trace)));
            assert_eq!(read_back(&bytes[..bytes.len() - 1]), None, "cut short");
        };
        check(None, None, None);
        check(Some("2026-01-02T03:04:05Z"), Some("7:eio"), None);
        check(Some("x"), None, Some("/tmp/trace"));
        assert!(read(&b""[..]).unwrap().is_none());
        assert!(read(&vec![b'x'; 3 * MOST_BYTES][..]).unwrap().is_none());
    }

    #[test]
    fn only_the_pipe_of_the_same_program_counts() {
        // The parent of this test runs another program, whatever process holds the pipe.
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_from_parent(&reader).unwrap());
        drop(writer);
        assert!(!is_from_parent(std::fs::File::open("/dev/null").unwrap()).unwrap());
    }
}
