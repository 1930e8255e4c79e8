//! Extended attributes of a file, by their names alone.

use std::fs::File;

/// Room for the names that the programs of a system set on a file.
const NAMES_LEN: usize = 4096;

/// The kinds of attributes that a file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Attributes {
    /// Capabilities of a program (`security.capability`).
    pub(crate) capabilities: bool,
    /// Access control lists.
    pub(crate) acl: bool,
    /// Attributes of users and programs (`user.*`).
    pub(crate) named: bool,
}

impl Attributes {
    /// Reads the names of an open file's attributes. The result is empty on a filesystem without
    /// attributes, and if they cannot be read.
    pub(crate) fn of(file: &File) -> Attributes {
        let mut names = [0_u8; NAMES_LEN];
        match rustix::fs::flistxattr(file, &mut names) {
            Ok(len) => Attributes::from_names(&names[..len]),
            // The names do not fit: there are some, of an unknown kind.
            Err(rustix::io::Errno::RANGE) => Attributes { named: true, ..Attributes::default() },
            Err(_) => Attributes::default(),
        }
    }

    /// Each name ends with a zero byte. Labels of the system (SELinux, IMA) are ignored: it adds and
    /// removes them by its own rules.
    fn from_names(names: &[u8]) -> Attributes {
        let mut found = Attributes::default();
        for name in names.split(|&byte| byte == 0) {
            found.capabilities |= name == b"security.capability";
            found.acl |= name.starts_with(b"system.") && name.ends_with(b"acl")
                || name == b"system.posix_acl_access";
            found.named |= name.starts_with(b"user.");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_kinds() {
        let check = |names: &[u8], capabilities, acl, named| {
            assert_eq!(Attributes::from_names(names), Attributes { capabilities, acl, named });
        };
        check(b"", false, false, false);
        check(b"security.selinux\0", false, false, false);
        check(b"security.capability\0user.x\0", true, false, true);
        check(b"system.posix_acl_access\0", false, true, false);
        check(b"system.nfs4_acl\0trusted.overlay.opaque\0", false, true, false);
    }
}
