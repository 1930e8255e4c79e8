//! The only code of this crate that differs between systems.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{RecvFlags, SendFlags};

#[cfg(target_os = "linux")]
pub(crate) use crate::namespace::enter as enter_mount;

/// A dead receiver is an error, not a signal. Other systems do not have the flag: the runtime of Rust
/// ignores the signal there.
#[cfg(target_os = "linux")]
pub(crate) const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
pub(crate) const SEND: SendFlags = SendFlags::empty();

/// No child inherits a received descriptor.
#[cfg(target_os = "linux")]
pub(crate) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
pub(crate) const RECEIVE: RecvFlags = RecvFlags::empty();

/// Keeps a received descriptor from children, if [`RECEIVE`] did not. A child that another thread
/// starts in between inherits it.
pub(crate) fn keep_from_children(received: &OwnedFd) -> io::Result<()> {
    if cfg!(not(target_os = "linux")) {
        rustix::io::fcntl_setfd(received, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// Makes this process the parent of its orphaned descendants. Other systems give them to process 1.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Mounts a folder for this process alone, which only Linux can do.
///
/// # Errors
/// `ENOSYS`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enter_mount(_: &crate::job::Mount) -> io::Result<()> {
    Err(rustix::io::Errno::NOSYS.into())
}
