//! The messages between caller and guard over their socket.
//!
//! A message is its length (`u32`), one byte for its kind, and its fields. Numbers are little-endian,
//! strings are preceded by their length (`u32`). Both ends are the same program, so there are no versions.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage, recvmsg, sendmsg,
};

use crate::job::{Job, Mount, Stdin};
use crate::system;

/// A message from the caller to the guard. The end of the stream means: kill everything.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// The first order, sent once.
    Start(Job),
    /// Sends this signal to the command's group, and lets the group end.
    Stop(i32),
    /// Kills everything.
    Kill,
}

/// A message from the guard to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// The command runs with this pid, which is also the number of its group.
    Started(u32),
    /// The command was not started, because of this errno. The guard ends.
    Refused(Step, i32),
    /// The command has ended, and only `survivors` processes of it are left. The guard ends.
    Ended { how: End, survivors: u32 },
}

/// The end of the command itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Exited(i32),
    Signaled(i32),
    /// It could not be killed.
    Survived,
}

/// The step of the start that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Guard,
    Mount,
    Directory,
    Command,
}

pub(crate) trait Message: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

impl Message for Order {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Order::Start(job) => {
                out.push(b'j');
                put_string(out, &job.program);
                put_list(out, &job.args);
                put_list(out, job.cwd.as_ref().map(|cwd| cwd.as_os_str()).as_slice());
                put_number(out, job.env.len() as u32);
                for (name, value) in &job.env {
                    put_string(out, name);
                    put_string(out, value);
                }
                put_list(out, &job.env_remove);
                out.push(job.stdin as u8);
                out.push(job.guard_keeps.into());
                let mount = job.mount.iter();
                let mount = mount.flat_map(|m| [m.folder.as_os_str(), m.at.as_os_str(), &m.variable]);
                put_list(out, &mount.collect::<Vec<_>>());
            }
            Order::Stop(signal) => {
                out.push(b's');
                put_number(out, *signal as u32);
            }
            Order::Kill => out.push(b'k'),
        }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Order> {
        Some(match fields.byte()? {
            b'j' => Order::Start(Job {
                program: fields.string()?,
                args: fields.list()?,
                cwd: fields.list()?.pop().map(Into::into),
                env: (0..fields.number()?)
                    .map(|_| Some((fields.string()?, fields.string()?)))
                    .collect::<Option<_>>()?,
                env_remove: fields.list()?,
                stdin: match fields.byte()? {
                    0 => Stdin::Empty,
                    1 => Stdin::Open,
                    2 => Stdin::Passed,
                    _ => return None,
                },
                guard_keeps: match fields.byte()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
                mount: match <[OsString; 3]>::try_from(fields.list()?) {
                    Ok([folder, at, variable]) => {
                        Some(Mount { folder: folder.into(), at: at.into(), variable })
                    }
                    Err(none) if none.is_empty() => None,
                    Err(_) => return None,
                },
            }),
            b's' => Order::Stop(fields.number()? as i32),
            b'k' => Order::Kill,
            _ => return None,
        })
    }
}

impl Message for Report {
    fn write(&self, out: &mut Vec<u8>) {
        let (name, numbers) = match *self {
            Report::Started(pid) => (b'p', [pid, 0]),
            Report::Refused(Step::Guard, errno) => (b'g', [errno as u32, 0]),
            Report::Refused(Step::Mount, errno) => (b'm', [errno as u32, 0]),
            Report::Refused(Step::Directory, errno) => (b'd', [errno as u32, 0]),
            Report::Refused(Step::Command, errno) => (b'c', [errno as u32, 0]),
            Report::Ended { how: End::Exited(code), survivors } => (b'e', [code as u32, survivors]),
            Report::Ended { how: End::Signaled(signal), survivors } => (b's', [signal as u32, survivors]),
            Report::Ended { how: End::Survived, survivors } => (b'u', [0, survivors]),
        };
        out.push(name);
        for number in numbers {
            put_number(out, number);
        }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Report> {
        let (name, number, survivors) = (fields.byte()?, fields.number()?, fields.number()?);
        let signed = number as i32;
        Some(match name {
            b'p' => Report::Started(number),
            b'g' => Report::Refused(Step::Guard, signed),
            b'm' => Report::Refused(Step::Mount, signed),
            b'd' => Report::Refused(Step::Directory, signed),
            b'c' => Report::Refused(Step::Command, signed),
            b'e' => Report::Ended { how: End::Exited(signed), survivors },
            b's' => Report::Ended { how: End::Signaled(signed), survivors },
            b'u' => Report::Ended { how: End::Survived, survivors },
            _ => return None,
        })
    }
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &OsStr) {
    put_number(out, string.len() as u32);
    out.extend(string.as_bytes());
}

fn put_list(out: &mut Vec<u8>, list: &[impl AsRef<OsStr>]) {
    put_number(out, list.len() as u32);
    for string in list {
        put_string(out, string.as_ref());
    }
}

/// The unread rest of a message.
pub(crate) struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn string(&mut self) -> Option<OsString> {
        let length = self.number()? as usize;
        Some(OsString::from_vec(self.0.split_off(..length)?.to_vec()))
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        (0..self.number()?).map(|_| self.string()).collect()
    }
}

/// Sends a whole message.
pub(crate) fn send(mut stream: &UnixStream, message: &impl Message) -> io::Result<()> {
    stream.write_all(&bytes_of(message))
}

/// Sends a whole message, and a descriptor with it.
pub(crate) fn send_with(
    mut stream: &UnixStream,
    message: &impl Message,
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let bytes = bytes_of(message);
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(stream, &[IoSlice::new(&bytes)], &mut control, system::SEND)?;
    stream.write_all(&bytes[sent..])
}

fn bytes_of(message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    message.write(&mut bytes);
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Bytes that were received and not yet parsed.
#[derive(Default, Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Inbox {
    /// Reads once, and waits if nothing has come. Returns `false` at the end of the stream.
    pub(crate) fn fill(&mut self, stream: &UnixStream) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut chunk)];
            match recvmsg(stream, &mut slices, &mut control, system::RECEIVE) {
                Ok(received) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = message
                            && let Some(received) = descriptors.last()
                        {
                            system::keep_from_children(&received)?;
                            self.descriptor = Some(received);
                        }
                    }
                    self.bytes.extend(&chunk[..received.bytes]);
                    return Ok(received.bytes > 0);
                }
                Err(Errno::INTR) => {}
                // The other end died without reading a message of this end: this is also an end.
                Err(Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the descriptor that came with a message.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// Takes the oldest message, if it is complete.
    pub(crate) fn take<M: Message>(&mut self) -> io::Result<Option<M>> {
        let Some((length, rest)) = self.bytes.split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let mut fields = Fields(body);
        let message = M::read(&mut fields)
            .filter(|_| fields.0.is_empty())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a message of a guard"))?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn job() -> Job {
        Job {
            program: OsString::from_vec(vec![b'x', 0xff, b' ']),
            args: vec!["".into(), "-v".into()],
            cwd: Some("/tmp/a b".into()),
            env: vec![("A".into(), "1=2".into()), ("B".into(), "".into())],
            env_remove: vec!["C".into()],
            stdin: Stdin::Open,
            guard_keeps: true,
            mount: Some(Mount { folder: "/a b".into(), at: "/c".into(), variable: "D".into() }),
        }
    }

    fn inbox_of(bytes: Vec<u8>) -> Inbox {
        Inbox { bytes, descriptor: None }
    }

    #[test]
    fn a_descriptor_comes_with_its_message() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        send_with(&ours, &Order::Stop(2), reader.as_fd()).unwrap();
        drop(reader);
        let mut inbox = Inbox::default();
        assert!(inbox.fill(&theirs).unwrap());
        assert_eq!(inbox.take().unwrap(), Some(Order::Stop(2)));
        let mut reader = std::fs::File::from(inbox.take_descriptor().unwrap());
        assert!(inbox.take_descriptor().is_none());
        writer.write_all(b"x").unwrap();
        let mut bytes = [0; 1];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"x");
    }

    /// Every message arrives whole, however it is cut, and none arrives early. No prefix and no extension
    /// of it is accepted.
    fn there_and_back<M: Message + PartialEq + Debug>(message: M) {
        let bytes = bytes_of(&message);
        let mut inbox = Inbox::default();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(inbox.take::<M>().unwrap(), None, "early, after {at} bytes of {message:?}");
            inbox.bytes.push(*byte);
        }
        assert_eq!(inbox.take().unwrap(), Some(message));
        assert!(inbox.bytes.is_empty());

        let body = &bytes[4..];
        for wrong in (0..body.len()).map(|end| body[..end].to_vec()).chain([[body, b"+"].concat()]) {
            let mut inbox = inbox_of([&(wrong.len() as u32).to_le_bytes()[..], &wrong[..]].concat());
            inbox.take::<M>().expect_err(&format!("{wrong:?} passed"));
        }
    }

    #[test]
    fn orders() {
        there_and_back(Order::Start(job()));
        there_and_back(Order::Start(Job::new("true")));
        there_and_back(Order::Stop(15));
        there_and_back(Order::Kill);
    }

    #[test]
    fn reports() {
        there_and_back(Report::Started(4_194_304));
        for step in [Step::Guard, Step::Mount, Step::Directory, Step::Command] {
            there_and_back(Report::Refused(step, 2));
        }
        for how in [End::Exited(255), End::Signaled(9), End::Survived] {
            there_and_back(Report::Ended { how, survivors: 3 });
        }
    }

    #[test]
    fn messages_that_come_together_are_told_apart() {
        let mut inbox = inbox_of([bytes_of(&Order::Stop(2)), bytes_of(&Order::Kill)].concat());
        assert_eq!(inbox.take().unwrap(), Some(Order::Stop(2)));
        assert_eq!(inbox.take().unwrap(), Some(Order::Kill));
        assert_eq!(inbox.take::<Order>().unwrap(), None);
    }

    #[test]
    fn a_length_that_nothing_follows_is_no_message() {
        let mut inbox = inbox_of(vec![5, 0, 0, 0, b'j', 0xff, 0xff, 0xff, 0xff]);
        inbox.take::<Order>().unwrap_err();
    }
}
