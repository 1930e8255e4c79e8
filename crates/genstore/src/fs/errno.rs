//! Classifies errors of failed calls: no entry, refused by the system, not empty.

use rustix::io::Errno;

use crate::error::Error;
use crate::fs::mount::is_mount;

/// Returns whether an error of the system has this errno.
pub(crate) fn is_errno(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
}

/// Returns whether the system protects an entry from change: it belongs to another user, is immutable,
/// or something is mounted there.
pub(crate) fn is_refused(error: &Error) -> bool {
    let refusals = [Errno::ACCESS, Errno::PERM, Errno::BUSY];
    matches!(error, Error::Left { .. })
        || is_mount(error)
        || refusals.into_iter().any(|errno| is_errno(error, errno))
}

/// Returns whether there is no entry, or one that is not a directory.
pub(crate) fn is_absence(error: &Error) -> bool {
    error.is_not_found() || is_errno(error, Errno::NOTDIR) || is_errno(error, Errno::LOOP)
}

/// POSIX allows both.
pub(crate) fn is_not_empty(error: &Error) -> bool {
    is_errno(error, Errno::NOTEMPTY) || is_errno(error, Errno::EXIST)
}
