//! Floor 1: the only code that changes the disk, and the only code that depends on the system.
//!
//! Every change is one plain system call behind one method of [`Fs`], and every method asks [`fault`]
//! first. So a test can cut or fail each change. In the library, only this folder contains `cfg(target_os)`. Only
//! ENOENT means absence: `Dir::stat` returns `None` for it and an error for everything else. After a
//! failed fsync or syncfs nothing is flushed again: the caller gives up its stage.

#![allow(clippy::disallowed_methods, reason = "this is the only place that changes the disk")]

mod access;
pub(crate) mod attributes;
pub(crate) mod copy;
pub(crate) mod dir;
pub(crate) mod dir_cursor;
pub(crate) mod errno;
pub(crate) mod fault;
pub(crate) mod flush;
pub(crate) mod folders;
pub(crate) mod lock;
pub(crate) mod mount;
mod pieces;
pub(crate) mod process;
pub(crate) mod remove;
pub(crate) mod sparse;
mod system;
pub(crate) mod way;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fault::{FaultStage, Faults, Needs};
use rustix::fs::{AtFlags, Mode, OFlags, RawMode, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::model::tree::Mtime;

pub(crate) use dir::{Dir, Kind, Stat};

/// The prefix of temporary files in `staging/`. Each holds one record until its rename, and exists only
/// under the commit lock.
pub(crate) const TEMP_PREFIX: &str = "tmp-";

/// The changes that survive a power loss once they are reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// All of them.
    #[default]
    Full,
    /// Only changes that the system happened to have written. A crash of the program alone loses nothing. For
    /// development loops.
    None,
}

/// Owner and modes of the inodes that are created in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// The required owner of folders and empty files that this process continues to use.
    user: u32,
    /// The new owner of all created inodes, if this process is root and would create them for another
    /// user.
    given_to: Option<(u32, u32)>,
    /// The group whose members may change them.
    group: Option<u32>,
}

impl Default for Access {
    /// The process keeps the inodes that it creates.
    fn default() -> Access {
        Access { user: rustix::process::geteuid().as_raw(), given_to: None, group: None }
    }
}

/// The handle through which all changes to the disk are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fs {
    faults: Faults,
    durability: Durability,
    access: Access,
}

impl Fs {
    pub(crate) fn new(faults: Faults, durability: Durability) -> Fs {
        Fs { faults, durability, access: Access::default() }
    }

    /// Reads the clock that stamps files: it has the granularity of file times.
    pub(crate) fn file_clock(&self) -> Mtime {
        let now = rustix::time::clock_gettime(system::CLOCK);
        Mtime { secs: now.tv_sec, nanos: now.tv_nsec as u32 }
    }

    fn point(&self, op: &'static str, path: &Path, needs: Needs) -> Result<()> {
        self.faults.point(op, path, needs).map_err(|e| Error::io(op, path, e))
    }

    /// Announces that a stage of a publication begins. A test may let it fail.
    pub(crate) fn enter(&self, stage: FaultStage, store: &Dir) -> Result<()> {
        self.faults.enter(stage).map_err(|e| Error::io(stage.verb(), store.path(), e))
    }

    /// Creates a directory of mode 0755, or 2775 in a shared store, whatever the umask. Returns
    /// `Ok(false)` if it exists already.
    pub(crate) fn make_dir(&self, dir: &Dir, name: &[u8]) -> Result<bool> {
        let path = dir.join(name);
        self.point("mkdir", &path, Needs::Space)?;
        let fail = |e: Errno| Error::io("make the directory", &path, e);
        match rustix::fs::mkdirat(dir, name, mode_of(self.dir_mode() & 0o755)) {
            Ok(()) => {
                // The second call is needed only if the umask removed a bit.
                let made = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
                let made = Stat::from(made);
                let mode = self.share_dir(dir, name, &made)?;
                if made.mode & (mode | 0o777) != mode {
                    chmod_dir(dir, name, mode)?;
                }
                self.give_name(dir, name, Kind::Dir)?;
                Ok(true)
            }
            Err(Errno::EXIST) => match dir.stat(name)? {
                Some(stat) if stat.kind == Kind::Dir => Ok(false),
                _ => Err(fail(Errno::NOTDIR)),
            },
            Err(e) => Err(fail(e)),
        }
    }

    /// Restores the mode of a directory of ours. A directory of another user with the right mode is
    /// left alone.
    pub(crate) fn set_dir_mode(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        self.point("chmod", &dir.join(name), Needs::Nothing)?;
        match chmod_dir(dir, name, self.dir_mode()) {
            Err(Error::Io { source, .. })
                if Errno::from_io_error(&source) == Some(Errno::PERM)
                    && dir.stat(name)?.is_some_and(|stat| self.is_dir_mode(&stat)) =>
            {
                Ok(())
            }
            set => set,
        }
    }

    /// Sets the mode of the directory itself.
    pub(crate) fn set_own_mode(&self, dir: &Dir, mode: u32) -> Result<()> {
        if dir.stat_self()?.mode == mode {
            return Ok(());
        }
        self.point("chmod", dir.path(), Needs::Nothing)?;
        rustix::fs::fchmod(dir, mode_of(mode)).map_err(|e| Error::io("chmod", dir.path(), e))
    }

    /// Creates a new file for writing. Until [`Fs::set_mode`] only its owner can read it, or the group
    /// of a shared store.
    ///
    /// # Errors
    /// EEXIST if the name is taken.
    pub(crate) fn create(&self, dir: &Dir, name: &[u8]) -> Result<File> {
        let (file, mode) = (self.create_with(dir, name, self.own_mode())?, self.own_mode());
        if mode != 0o600 {
            // Other members of the group take over stages, whatever the umask of the user who began
            // them.
            self.set_mode(&file, &dir.join(name), mode)?;
        }
        Ok(file)
    }

    /// Creates a new file for writing with its final mode, less the bits that the umask removes.
    ///
    /// # Errors
    /// EEXIST if the name is taken.
    pub(crate) fn create_with(&self, dir: &Dir, name: &[u8], mode: u32) -> Result<File> {
        let path = dir.join(name);
        self.point("create", &path, Needs::Space)?;
        // Nothing can be mounted at a free name.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, name, flags, mode_of(mode))
            .map(File::from)
            .map_err(|e| Error::io("create", &path, e))?;
        self.give_file(&file, &path)?;
        Ok(file)
    }

    /// Opens one of our own files for writing, and creates it if it is missing: readable by everybody,
    /// whatever the umask.
    pub(crate) fn open_or_create(&self, dir: &Dir, name: &[u8]) -> Result<File> {
        match dir.open_with(name, OFlags::RDWR, Mode::empty()) {
            Ok(file) => {
                self.give_found(&file, &dir.join(name))?;
                Ok(file)
            }
            Err(e) if e.is_not_found() => {
                let path = dir.join(name);
                self.point("create", &path, Needs::Space)?;
                if let Some(file) = self.create_given(dir, name)? {
                    return Ok(file);
                }
                let mode = mode_of(0o644);
                let file = dir.open_with(name, OFlags::RDWR | OFlags::CREATE, mode)?;
                self.give_found(&file, &path)?;
                self.set_shared_mode(&file, &path)?;
                Ok(file)
            }
            Err(e) => Err(e),
        }
    }

    /// Writes all of `bytes` at the file's position.
    pub(crate) fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
        self.point("write", path, Needs::Space)?;
        file.write_all(bytes).map_err(|e| Error::io("write", path, e))
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
        self.point("write", path, Needs::Space)?;
        file.write_all_at(bytes, offset).map_err(|e| Error::io("write", path, e))
    }

    /// Truncates a file to a length, or extends it with zeros.
    pub(crate) fn set_len(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        self.point("truncate", path, Needs::Space)?;
        rustix::fs::ftruncate(file, len).map_err(|e| Error::io("truncate", path, e))
    }

    /// Sets a file's mode, if it has another one.
    pub(crate) fn set_mode(&self, file: &File, path: &Path, mode: u32) -> Result<()> {
        match Stat::of(file, path)?.mode == mode {
            true => Ok(()),
            false => self.chmod(file, path, mode),
        }
    }

    fn chmod(&self, file: &File, path: &Path, mode: u32) -> Result<()> {
        self.point("chmod", path, Needs::Nothing)?;
        rustix::fs::fchmod(file, mode_of(mode)).map_err(|e| Error::io("chmod", path, e))
    }

    /// Sets a file's mtime, and returns the mtime that it has then: filesystems round and clamp it.
    pub(crate) fn set_mtime(&self, file: &File, path: &Path, mtime: Mtime) -> Result<Mtime> {
        self.set_times(file, path, mtime)?;
        Ok(Stat::of(file, path)?.mtime)
    }

    /// Sets a file's mtime, and its mode if it has another one. Returns the mtime that it has then. It
    /// reads the metadata once: this is done for each new object.
    pub(crate) fn set_mode_and_mtime(
        &self,
        file: &File,
        path: &Path,
        mode: u32,
        mtime: Mtime,
    ) -> Result<Mtime> {
        self.set_times(file, path, mtime)?;
        let kept = Stat::of(file, path)?;
        if kept.mode != mode {
            self.chmod(file, path, mode)?;
        }
        Ok(kept.mtime)
    }

    fn set_times(&self, file: &File, path: &Path, mtime: Mtime) -> Result<()> {
        self.point("set the mtime of", path, Needs::Nothing)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
        };
        rustix::fs::futimens(file, &times).map_err(|e| Error::io("set the mtime of", path, e))
    }

    /// Creates a hard link. An existing name is never replaced: EEXIST.
    pub(crate) fn link(&self, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<()> {
        let path = to.0.join(to.1);
        self.point("link", &path, Needs::Space)?;
        rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())
            .map_err(|e| Error::io("link", path, e))
    }

    pub(crate) fn symlink(&self, target: &[u8], dir: &Dir, name: &[u8]) -> Result<()> {
        let path = dir.join(name);
        self.point("symlink", &path, Needs::Space)?;
        rustix::fs::symlinkat(target, dir, name).map_err(|e| Error::io("make the symlink", path, e))?;
        self.give_name(dir, name, Kind::Symlink)
    }

    /// Renames, and replaces an entry with the new name.
    pub(crate) fn rename(&self, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<()> {
        let path = to.0.join(to.1);
        self.point("rename", &path, Needs::Space)?;
        rustix::fs::renameat(from.0, from.1, to.0, to.1).map_err(|e| match e {
            // Something is mounted on the name to be replaced.
            Errno::BUSY => Error::io(mount::CROSS, path, e),
            e => Error::io("rename to", path, e),
        })
    }

    /// Renames a directory to a name that must be free.
    pub(crate) fn rename_to_free(&self, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<()> {
        let path = to.0.join(to.1);
        self.point("rename", &path, Needs::Space)?;
        let fail = |e: Errno| Error::io("rename to", &path, e);
        match rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
            // The filesystem has no such flag, or a sandbox refuses the call. The callers hold the lock
            // that makes this check safe. A refusal for another reason occurs again below.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
                if to.0.stat(to.1)?.is_some() {
                    return Err(fail(Errno::EXIST));
                }
                rustix::fs::renameat(from.0, from.1, to.0, to.1).map_err(fail)
            }
            done => done.map_err(fail),
        }
    }

    /// Exchanges two names atomically: neither name is ever free.
    ///
    /// # Errors
    /// EINVAL, ENOSYS, EPERM or EOPNOTSUPP if the filesystem does not support it, or a sandbox refuses.
    /// EXDEV for a directory of a lower layer of overlayfs.
    pub(crate) fn exchange(&self, from: (&Dir, &[u8]), to: (&Dir, &[u8])) -> Result<()> {
        let path = to.0.join(to.1);
        self.point("exchange", &path, Needs::Space)?;
        rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::EXCHANGE)
            .map_err(|e| Error::io("exchange", path, e))
    }

    /// Removes a name that is not a directory. Returns `Ok(false)` if it does not exist.
    pub(crate) fn unlink(&self, dir: &Dir, name: &[u8]) -> Result<bool> {
        self.remove(dir, name, AtFlags::empty())
    }

    /// Removes an empty directory. Returns `Ok(false)` if it does not exist.
    pub(crate) fn remove_dir(&self, dir: &Dir, name: &[u8]) -> Result<bool> {
        self.remove(dir, name, AtFlags::REMOVEDIR)
    }

    fn remove(&self, dir: &Dir, name: &[u8], flags: AtFlags) -> Result<bool> {
        let path = dir.join(name);
        self.point("unlink", &path, Needs::Nothing)?;
        match rustix::fs::unlinkat(dir, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(Error::io("remove", path, e)),
        }
    }

    /// Makes a file's bytes durable. After a failure the caller gives up: the system may have dropped
    /// the unwritten pages, and a second fsync would report success.
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        self.point("fsync", path, Needs::Nothing)?;
        rustix::fs::fsync(file).map_err(|e| Error::io("fsync", path, e))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Dir) -> Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        self.point("fsync", dir.path(), Needs::Nothing)?;
        rustix::fs::fsync(dir).map_err(|e| Error::io("fsync", dir.path(), e))
    }

    /// Makes the whole filesystem durable in one call.
    pub(crate) fn sync_filesystem(&self, dir: &Dir) -> Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        self.point("syncfs", dir.path(), Needs::Nothing)?;
        system::sync_filesystem(dir.as_fd()).map_err(|e| Error::io("sync", dir.path(), e))
    }

    /// Writes `bytes` to `name` atomically, replacing an existing file.
    ///
    /// # Durability
    /// On return the bytes are durable. The name is durable once `dir` is synced.
    pub(crate) fn replace_file(&self, staging: &Dir, dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<()> {
        let path = dir.join(name);
        let (temp, file) = self.write_temp(staging, &path, bytes)?;
        let done = self.sync_file(&file, &path).and_then(|()| self.rename((staging, &temp), (dir, name)));
        if done.is_err() {
            // If this fails too, the next holder of the commit lock removes it.
            drop(self.unlink(staging, &temp));
        }
        done
    }

    /// Writes the future content of `path` under a free name in `staging`, readable by everybody, and
    /// returns that name. It is not yet durable.
    pub(crate) fn write_temp(&self, staging: &Dir, path: &Path, bytes: &[u8]) -> Result<(Vec<u8>, File)> {
        let make = |temp: &[u8]| self.create_with(staging, temp, 0o644);
        let (temp, file) = self.unique(staging, TEMP_PREFIX, "", make)?;
        let done = self.write(&file, path, bytes).and_then(|()| self.set_mode(&file, path, 0o644));
        if done.is_err() {
            drop(self.unlink(staging, &temp));
        }
        done.map(|()| (temp, file))
    }

    /// Picks a free name in `dir`: repeats `make` until it does not fail with EEXIST.
    pub(crate) fn unique<T>(
        &self,
        dir: &Dir,
        prefix: &str,
        suffix: &str,
        make: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<(Vec<u8>, T)> {
        let mut failure = None;
        let made = tempfile::Builder::new().prefix(prefix).suffix(suffix).make_in(dir.path(), |path| {
            let name = path.file_name().unwrap_or_default().as_bytes();
            make(name).map_err(|e| {
                let kind = match &e {
                    Error::Io { source, .. } => source.kind(),
                    _ => io::ErrorKind::Other,
                };
                failure = Some(e);
                io::Error::from(kind)
            })
        });
        match made {
            Ok(made) => {
                let (made, path) = made.into_parts();
                let path = path.keep().map_err(|e| Error::io("keep", dir.path(), e.error))?;
                Ok((path.file_name().unwrap_or_default().as_bytes().to_vec(), made))
            }
            Err(e) => Err(failure.unwrap_or_else(|| Error::io("create", dir.path(), e))),
        }
    }
}

/// Converts a mode. Its width differs between systems.
fn mode_of(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

/// Sets a directory's mode through a handle, so never that of a symlink's target, nor of something
/// mounted there.
fn chmod_dir(dir: &Dir, name: &[u8], mode: u32) -> Result<()> {
    let fail = |e: Errno| Error::io("chmod", dir.join(name), e);
    let mode = mode_of(mode);
    match dir.staying()?.open_dir(name) {
        Ok(opened) => rustix::fs::fchmod(&opened, mode).map_err(fail),
        // Not even its owner may read it.
        Err(Error::Io { source, .. }) if Errno::from_io_error(&source) == Some(Errno::ACCESS) => {
            let flags = system::PLACE | OFlags::DIRECTORY;
            let handle = dir.staying()?.open_with(name, flags, Mode::empty())?;
            system::chmod_place(handle.as_fd(), mode).map_err(fail)
        }
        Err(e) => Err(e),
    }
}
