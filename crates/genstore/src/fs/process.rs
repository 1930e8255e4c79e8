//! Processes as owners: how one is told from another that got its number later.
//!
//! Linux gives a number to the next process as soon as it is free. So an owner is known by its
//! number, the moment it started (field 22 of `/proc/PID/stat`, in clock ticks since the boot),
//! the boot, and the pid namespace in which the number means anything.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A process, as others can find out later whether it still lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessMark {
    pub(crate) pid: u32,
    /// 0 where the system does not tell.
    pub(crate) start: u64,
    /// 0 where the system does not tell.
    pub(crate) namespace: u64,
}

/// What can be found out about a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    /// It counts in a pid namespace that this process does not see.
    Unknown,
}

impl ProcessMark {
    /// Marks a living process; `None` where there is no such process.
    pub(crate) fn of(pid: u32) -> Result<Option<ProcessMark>> {
        let namespace = own_namespace();
        if cfg!(target_os = "linux") {
            return Ok(start_of(pid)?.map(|start| ProcessMark { pid, start, namespace }));
        }
        Ok(exists(pid).then_some(ProcessMark { pid, start: 0, namespace }))
    }

    /// Returns whether it is still the same process.
    ///
    /// # Errors
    /// Only what kept it from finding out: a `/proc` that cannot be read is not a dead process.
    pub(crate) fn liveness(&self) -> Result<Liveness> {
        if self.namespace != own_namespace() {
            return Ok(Liveness::Unknown);
        }
        Ok(match ProcessMark::of(self.pid)? {
            Some(now) if now == *self => Liveness::Alive,
            _ => Liveness::Dead,
        })
    }
}

/// Names the boot; empty where the system does not tell.
pub(crate) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn own_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}

/// Reads when a process started; `None` for no process, and for a zombie, which does nothing more.
fn start_of(pid: u32) -> Result<Option<u64>> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // ESRCH: it ended between the open and the read.
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
        {
            return if exists(pid) { Err(Error::io("read", &path, e)) } else { Ok(None) };
        }
        Err(e) => return Err(Error::io("read", &path, e)),
    };
    Ok(parse_stat(&text))
}

/// The command's name, in parentheses, may itself hold parentheses and spaces.
fn parse_stat(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!["Z", "X", "x"].contains(&state)).then_some(start)
}

fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // EPERM: it is somebody else's, so it is there.
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_line() {
        let line = b"4711 (a) b) c) S 1 4711 4711 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 1 0 123456 1 2 3";
        assert_eq!(parse_stat(line), Some(123456));
        assert_eq!(parse_stat(&line.map(|b| if b == b'S' { b'Z' } else { b })), None);
        assert_eq!(parse_stat(b"4711 (a"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn a_number_alone_is_not_a_process() {
        let own = ProcessMark::of(std::process::id()).unwrap().unwrap();
        assert_eq!(own.liveness().unwrap(), Liveness::Alive);
        let earlier = ProcessMark { start: own.start.wrapping_sub(1), ..own.clone() };
        assert_eq!(earlier.liveness().unwrap(), Liveness::Dead);
        let elsewhere = ProcessMark { namespace: own.namespace ^ 1, ..own };
        assert_eq!(elsewhere.liveness().unwrap(), Liveness::Unknown);
        // No process has a number beyond what the kernel gives (2^22 at most).
        assert_eq!(ProcessMark::of(1 << 30).unwrap(), None);
    }
}
