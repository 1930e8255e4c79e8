//! Reads processes from `/proc`.

use std::fs;
use std::io;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, getgid, getpid};

use crate::files::with_inherited_open_files;

/// The kernel's number for a group that the user namespace does not map.
const NO_GROUP: u32 = 65534;

/// Starts a command by fork and exec.
///
/// The standard library prefers `posix_spawn`. glibc's version leaves its reserved signals (32 and 33, the
/// first of the real-time signals) ignored in the command. Setting a group, here the one that this process
/// has, makes the library use fork.
pub(crate) fn fork_and_exec(command: &mut Command) -> io::Result<Child> {
    let group = getgid().as_raw();
    if group != NO_GROUP {
        command.gid(group);
    }
    with_inherited_open_files(|| command.spawn())
}

/// A process at the time of reading.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Whether it is a zombie.
    pub(crate) zombie: bool,
}

/// Lists the children of this process, including dead ones.
///
/// A process that is adopted meanwhile may be missing; the next list has it.
pub(crate) fn children() -> io::Result<Vec<Pid>> {
    let me = getpid().as_raw_pid();
    Ok(all()?.into_iter().filter(|process| process.parent == me).map(|process| process.pid).collect())
}

/// Returns whether any process of the group is alive.
pub(crate) fn group_lives(group: Pid) -> io::Result<bool> {
    let group = group.as_raw_pid();
    Ok(all()?.iter().any(|process| process.group == group && !process.zombie))
}

/// Lists all readable processes.
///
/// # Errors
///
/// If `/proc` does not even show this process: then an empty list would prove nothing.
fn all() -> io::Result<Vec<Process>> {
    let mut processes = vec![];
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes()[0].is_ascii_digit() {
            continue;
        }
        // A process that cannot be read has just ended, or is hidden because another user owns it.
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        processes.extend(parse(&stat));
    }
    let me = getpid();
    if !processes.iter().any(|process| process.pid == me) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "/proc does not show processes"));
    }
    Ok(processes)
}

/// Parses `pid (name) state parent group …`. The name may contain anything.
fn parse(stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let pid = str::from_utf8(&stat[..open]).ok()?.trim().parse().ok()?;
    let mut fields = str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Process {
        pid: Pid::from_raw(pid)?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        zombie: matches!(state, "Z" | "X"),
    })
}

/// Returns whether this process was started with the signal ignored, as by `nohup`.
pub(crate) fn is_ignored(signal: i32) -> io::Result<bool> {
    Ok(ignored()? >> (signal - 1) & 1 == 1)
}

/// Returns the signals that this process ignores, one bit each, the lowest for signal 1.
pub(crate) fn ignored() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no SigIgn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let process = parse(b"17 (a) Z 1 (b c) S 4 5 6 0").unwrap();
        assert_eq!((process.pid.as_raw_pid(), process.parent, process.group), (17, 4, 5));
        assert!(!process.zombie);
        assert!(parse(b"17 (a\xff) Z 4 5 6").unwrap().zombie);
        assert!(parse(b"17 (a").is_none());
        assert!(parse(b")(").is_none());
    }

    #[test]
    fn this_process_is_shown() {
        let me = all().unwrap().into_iter().find(|process| process.pid == getpid()).unwrap();
        assert_eq!(me.parent, std::os::unix::process::parent_id() as i32);
    }

    #[test]
    fn rust_programs_ignore_sigpipe() {
        assert!(is_ignored(13).unwrap());
        assert!(!is_ignored(11).unwrap());
    }
}
