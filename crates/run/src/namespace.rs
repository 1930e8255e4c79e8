//! A mount that only the guard and the command see.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

use crate::job::Mount;

/// The same mount, and no other argument of its call.
const NONE: Option<&str> = None;

/// Mounts a folder for this process and its descendants. This process must have one thread.
///
/// # Errors
/// If the system does not allow it. This process may be in namespaces of its own then, in which nothing has
/// its usual owner: it must not start a command.
pub(crate) fn enter(wanted: &Mount) -> io::Result<()> {
    enter_namespace()?;
    // Mounts that are made elsewhere still arrive here, and no mount here arrives elsewhere.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    mount(Some(&wanted.folder), &wanted.at, NONE, MsFlags::MS_BIND, NONE)?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "these files are settings of this process")]
fn enter_namespace() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWNS) {
        // A user namespace would take root's rights to the files of others away from it.
        Err(Errno::EPERM) if !user.is_root() => {}
        done => return Ok(done?),
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // The kernel allows a map of one's own group only if the others cannot be dropped.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{0} {0} 1", user.as_raw())),
        ("gid_map", format!("{0} {0} 1", group.as_raw())),
    ] {
        fs::write(format!("/proc/self/{file}"), text)?;
    }
    Ok(())
}
