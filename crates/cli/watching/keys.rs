//! Keys in the terminal: `r` and Enter start a build.

use std::io::{IsTerminal, Read, stdin};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use super::state::Message;
use crate::command::context::Context;
use crate::command::control::Request;
use crate::command::running;

/// The interval at which a process in the background checks whether it still is.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts to read keys, if there is a terminal and a person reads it.
pub(super) fn listen(context: &Context<'_>, tell: &Sender<Message>) -> Result<()> {
    if context.out.json() || !stdin().is_terminal() {
        return Ok(());
    }
    let tell = tell.clone();
    running::spawn("reads keys", move || {
        let mut line = Vec::new();
        let mut bytes = [0; 256];
        loop {
            match read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(count) => line.extend(&bytes[..count]),
            }
            while let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                let word: Vec<u8> = line.drain(..=end).collect();
                let is_key = word.trim_ascii() == b"r";
                if is_key && tell.send(Message::Asked(Request::Rebuild, None)).is_err() {
                    return;
                }
            }
        }
    })
}

/// Reads from the terminal. In the background it does not read, because that would stop this process.
fn read(bytes: &mut [u8]) -> std::io::Result<usize> {
    let pause = Timespec::try_from(PAUSE).ok();
    loop {
        let is_foreground = tcgetpgrp(stdin())? == getpgrp();
        let stdin = stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match is_foreground {
            // The process may be moved to the background meanwhile, so this is checked again before the
            // read.
            true => drop(poll(&mut fds, None)),
            false => drop(poll(&mut [], pause.as_ref())),
        }
        let is_ready = is_foreground && !fds[0].revents().is_empty();
        if is_ready && tcgetpgrp(&stdin)? == getpgrp() {
            return stdin.lock().read(bytes);
        }
    }
}
