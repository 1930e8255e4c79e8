//! Processes as owners, and the distinction between a process and a later one with the same number.
//!
//! Linux reuses a pid as soon as it is free. So an owner is identified by its pid, its start time
//! (field 22 of `/proc/PID/stat`, in clock ticks since the boot), the boot, and the pid namespace of
//! the pid.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The identity of a process, from which others can later find out whether it still lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessMark {
    pub(crate) pid: u32,
    /// 0 if the system does not report it.
    pub(crate) start: u64,
    /// 0 if the system does not report it.
    pub(crate) namespace: u64,
}

/// The state of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    /// Its pid belongs to a pid namespace that this process does not see.
    Unknown,
}

impl ProcessMark {
    /// Returns the identity of a living process. `None` if there is no such process.
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
    /// Only if the state cannot be determined: an unreadable `/proc` does not mean a dead process.
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

/// Returns the id of this boot. Empty if the system does not report it.
pub(crate) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn own_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}

/// Reads a process's start time. `None` for a missing process, and for a zombie, which does nothing
/// more.
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

/// The command's name, in parentheses, may itself contain parentheses and spaces.
fn parse_stat(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!["Z", "X", "x"].contains(&state)).then_some(start)
}

fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // EPERM: it belongs to another user, so it exists.
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
        // No pid exceeds the kernel's limit (2^22).
        assert_eq!(ProcessMark::of(1 << 30).unwrap(), None);
    }
}
