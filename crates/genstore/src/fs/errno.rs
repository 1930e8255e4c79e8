//! What a failed call says of a path: that nothing is there, that the system keeps it, that it is full.

use rustix::io::Errno;

use crate::error::Error;
use crate::fs::mount::is_mount;

/// Returns whether an error is this one of the system's.
pub(crate) fn is_errno(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
}

/// Returns whether the system keeps something where it is: it is another user's, or is made immutable, or
/// something is mounted there.
pub(crate) fn is_refused(error: &Error) -> bool {
    let refusals = [Errno::ACCESS, Errno::PERM, Errno::BUSY];
    matches!(error, Error::Left { .. })
        || is_mount(error)
        || refusals.into_iter().any(|errno| is_errno(error, errno))
}

/// Returns whether nothing is there, or something that is no directory.
pub(crate) fn is_absence(error: &Error) -> bool {
    error.is_not_found() || is_errno(error, Errno::NOTDIR) || is_errno(error, Errno::LOOP)
}

/// POSIX allows both.
pub(crate) fn is_not_empty(error: &Error) -> bool {
    is_errno(error, Errno::NOTEMPTY) || is_errno(error, Errno::EXIST)
}
