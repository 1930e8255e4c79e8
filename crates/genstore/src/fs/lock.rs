//! File locks: flock through the standard library, with a limited wait.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::dir::{Dir, Stat};
use crate::error::{Error, Holder, Result};

/// The mode of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// A held lock. It is released when this value is dropped, or when the process ends.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock on an open file. Returns `None` at once if another process holds it.
    pub(crate) fn try_take(file: File, path: &Path, mode: Mode) -> Result<Option<Lock>> {
        let result = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match result {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(cannot_lock(path, source)),
        }
    }

    /// Takes the lock on an open file and waits at most `patience`.
    ///
    /// flock has no wait with a time limit, so this polls in growing steps of 1 to 50 ms.
    pub(crate) fn take(file: File, path: &Path, mode: Mode, patience: Duration) -> Result<Lock> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut file = file;
        loop {
            let again = file.try_clone().map_err(|e| Error::io("open", path, e))?;
            if let Some(lock) = Lock::try_take(file, path, mode)? {
                return Ok(lock);
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    waited,
                    holders: holders(&again, path),
                });
            }
            std::thread::sleep(pause.min(patience - waited));
            pause = (pause * 2).min(Duration::from_millis(50));
            file = again;
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn cannot_lock(path: &Path, source: io::Error) -> Error {
    match source.raw_os_error() {
        // NFS without a lock daemon, and FUSE filesystems without flock.
        Some(libc_errno::ENOLCK | libc_errno::EOPNOTSUPP | libc_errno::ENOSYS) => {
            Error::LocksUnsupported { path: path.to_owned(), source }
        }
        _ => Error::io("lock", path, source),
    }
}

mod libc_errno {
    use rustix::io::Errno;
    pub(super) const ENOLCK: i32 = Errno::NOLCK.raw_os_error();
    pub(super) const EOPNOTSUPP: i32 = Errno::OPNOTSUPP.raw_os_error();
    pub(super) const ENOSYS: i32 = Errno::NOSYS.raw_os_error();
}

/// Finds the processes that hold locks on a file. Linux lists them in `/proc/locks`. On other systems
/// the result is empty.
fn holders(file: &File, path: &Path) -> Vec<Holder> {
    let Ok(stat) = Stat::of(file, path) else {
        return vec![];
    };
    let Ok(list) = std::fs::read_to_string("/proc/locks") else {
        return vec![];
    };
    let mut pids: Vec<u32> = list.lines().filter_map(|line| holder_of(line, stat.ino)).collect();
    pids.sort_unstable();
    pids.dedup();
    let own = std::process::id();
    let holder = |pid| Holder { pid, command: command_of(pid), user: other_user(pid) };
    pids.into_iter().filter(|&pid| pid != own).map(holder).collect()
}

/// Returns the user of a process, if it is another user.
fn other_user(pid: u32) -> Option<u32> {
    let proc = Dir::open(Path::new(&format!("/proc/{pid}"))).ok()?;
    let user = proc.stat_self().ok()?.uid;
    (user != rustix::process::geteuid().as_raw()).then_some(user)
}

/// Parses a line like `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131089 0 EOF`. The device is ignored: on
/// btrfs and overlayfs it differs from the one that stat returns.
fn holder_of(line: &str, ino: u64) -> Option<u32> {
    let mut fields = line.split_whitespace().skip_while(|field| *field != "FLOCK").skip(3);
    let (pid, inode) = (fields.next()?, fields.next()?);
    (inode.rsplit(':').next()? == ino.to_string()).then(|| pid.parse().unwrap_or(0))
}

fn command_of(pid: u32) -> String {
    let path: PathBuf = format!("/proc/{pid}/cmdline").into();
    let bytes = std::fs::read(path).unwrap_or_default();
    let words: Vec<String> =
        bytes.split(|&b| b == 0).filter(|word| !word.is_empty()).map(crate::model::relpath::show).collect();
    let mut line: String = words.join(" ").chars().take(120).collect();
    if line.is_empty() {
        line.push_str("command unknown");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_list() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fe:00:131089 0 EOF";
        assert_eq!(holder_of(line, 131089), Some(4711));
        assert_eq!(holder_of(line, 31089), None);
        assert_eq!(holder_of("3: POSIX  ADVISORY  WRITE 4711 fe:00:131089 0 EOF", 131089), None);
        assert_eq!(holder_of("3: FLOCK ADVISORY READ -1 fe:00:5 0 EOF", 5), Some(0));
        assert_eq!(holder_of("", 5), None);
    }
}
