//! The only code of the program that differs between systems.

#![allow(clippy::disallowed_methods, reason = "it changes files of a scratch folder, and sockets, only")]

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a folder only as a place. Other systems than Linux cannot open an unreadable one so.
#[cfg(target_os = "linux")]
pub(crate) const PLACE: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(crate) const PLACE: OFlags = OFlags::RDONLY;

/// The program that opens an address in the user's browser.
#[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server opens one"))]
pub(crate) const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// A local address that processes of this machine know by a name. On Linux it is an abstract one. Other systems
/// have none: there it is a socket in the folder of temporary files, which on a Mac belongs to the user alone.
pub(crate) struct LocalName(String);

impl LocalName {
    pub(crate) fn new(name: String) -> LocalName {
        LocalName(name)
    }
}

#[cfg(target_os = "linux")]
impl LocalName {
    fn address(&self) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(&self.0)
    }

    /// Listens. The caller is the only process that may use the name.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&self.address()?)
    }

    /// Connects to the process that listens.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&self.address()?)
    }
}

#[cfg(not(target_os = "linux"))]
impl LocalName {
    fn path(&self) -> std::path::PathBuf {
        std::env::temp_dir().join(&self.0)
    }

    /// Listens. The caller is the only process that may use the name.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let path = self.path();
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            // The socket of a process that was killed.
            _ => UnixListener::bind(path),
        }
    }

    /// Connects to the process that listens.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.path())
    }
}

/// Returns the user of the process at the other end.
#[cfg(target_os = "linux")]
pub(crate) fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Returns the user of the process at the other end (getpeereid(3) of the BSDs).
#[cfg(not(target_os = "linux"))]
pub(crate) fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(nix::unistd::getpeereid(stream)?.0.as_raw())
}

/// Makes `to` a copy that shares the blocks of a file, in a scratch folder. `to` is a new file.
#[cfg(target_os = "linux")]
pub(crate) fn share_blocks(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(&File::create(to)?, &File::open(from)?)?)
}

/// Makes `to` a copy that shares the blocks of a file, in a scratch folder (clonefile(2) of a Mac, which needs a
/// free name). `to` exists afterwards, also on failure.
#[cfg(target_vendor = "apple")]
pub(crate) fn share_blocks(from: &Path, to: &Path) -> io::Result<()> {
    let cloned =
        rustix::fs::fclonefileat(&File::open(from)?, rustix::fs::CWD, to, rustix::fs::CloneFlags::empty());
    if cloned.is_err() {
        File::create(to)?;
    }
    Ok(cloned?)
}

/// Fails: this system is not known to share blocks.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(crate) fn share_blocks(_: &Path, to: &Path) -> io::Result<()> {
    File::create(to)?;
    Err(io::ErrorKind::Unsupported.into())
}
