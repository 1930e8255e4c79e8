//! Decides which files count as the caller's own, and which folders others may write to.
//!
//! A file is the caller's own if its owner is the caller or root, or, for root under sudo, the user who ran
//! sudo. Others may change it if it, or a folder above it, is writable for everybody or for a group with
//! other members. Folders with the sticky bit (`/tmp`) are an exception: nobody can replace another user's
//! file in them.
//!
//! A group whose only members are the accepted users is private: distributions give each user one, and make
//! folders writable for it (umask 002). Members are looked up in `/etc/group` and `/etc/passwd`. A group
//! that is in neither is private if its number is that of an accepted user.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::regular;

/// The access list beside the mode: it may admit others where the mode names a group.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The users whose files are trusted.
#[derive(Debug)]
pub(crate) struct Owners {
    uids: Vec<u32>,
    /// Groups whose members are trusted, too.
    shared_groups: Vec<u32>,
    any_group: bool,
    /// Folders above this one are not checked: see [`crate::Seams::ground`].
    ground: Option<PathBuf>,
    accounts: OnceCell<Accounts>,
}

/// The reason why a path is not the caller's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Concern {
    pub(crate) path: PathBuf,
    pub(crate) kind: ConcernKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConcernKind {
    /// This user owns it.
    Owner(u32),
    /// Everybody may write to it.
    Everybody,
    /// This group may write to it.
    Group(u32),
    /// It has an access list.
    AccessList,
}

impl Concern {
    /// Describes the reason, as the end of a sentence.
    pub(crate) fn text(&self) -> String {
        let path = crate::text::escape::show(&self.path);
        match self.kind {
            ConcernKind::Owner(uid) => format!("{path} belongs to user {uid}"),
            ConcernKind::Everybody => format!("everybody may write to {path}"),
            ConcernKind::Group(gid) => format!("group {gid} may write to {path}"),
            ConcernKind::AccessList => format!("others may write to {path} (it has an access list)"),
        }
    }
}

impl Owners {
    /// Accepts root, this user, and for root the user who ran sudo.
    pub(crate) fn new(euid: u32, sudo_uid: Option<u32>, ground: Option<&Path>) -> Owners {
        let mut uids = vec![0, euid];
        uids.extend(sudo_uid.filter(|_| euid == 0));
        Owners {
            uids,
            shared_groups: vec![],
            any_group: false,
            ground: ground.map(Path::to_owned),
            accounts: OnceCell::new(),
        }
    }

    /// Also accepts this user.
    pub(crate) fn and_user(mut self, uid: u32) -> Owners {
        self.uids.push(uid);
        self
    }

    /// Accepts folders that these groups may write to; for root, those of every group.
    pub(crate) fn and_groups(mut self, gids: Vec<u32>) -> Owners {
        self.any_group = self.uids.get(1) == Some(&0);
        self.shared_groups = gids;
        self
    }

    pub(crate) fn accepts(&self, uid: u32) -> bool {
        self.uids.contains(&uid)
    }

    /// Returns whether somebody else owns the path or may write to it. `path` is its name.
    pub(crate) fn concern(&self, path: &Path, stat: &Stat) -> Option<Concern> {
        if self.ground.as_ref().is_some_and(|ground| ground.starts_with(path) && ground != path) {
            return None;
        }
        let concern = |kind| Some(Concern { path: path.to_owned(), kind });
        // The owner of the system's root means nothing in a user namespace.
        if !self.accepts(stat.st_uid) && path != Path::new("/") {
            return concern(ConcernKind::Owner(stat.st_uid));
        }
        self.writer(path, stat).and_then(concern)
    }

    /// Returns whether somebody else may write to it.
    fn writer(&self, path: &Path, stat: &Stat) -> Option<ConcernKind> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_sticky = kind == FileType::Directory && stat.st_mode & 0o1000 != 0;
        if kind == FileType::Symlink || is_sticky {
            return None;
        }
        if stat.st_mode & 0o002 != 0 {
            return Some(ConcernKind::Everybody);
        }
        if stat.st_mode & 0o020 == 0 {
            return None;
        }
        if has_access_list(path) {
            return Some(ConcernKind::AccessList);
        }
        let is_shared = self.any_group || self.shared_groups.contains(&stat.st_gid);
        let is_private = || self.accounts.get_or_init(Accounts::read).is_private(stat.st_gid, &self.uids);
        if is_shared || is_private() { None } else { Some(ConcernKind::Group(stat.st_gid)) }
    }
}

fn has_access_list(path: &Path) -> bool {
    use rustix::io::Errno;
    let mut value = [0u8; 256];
    match rustix::fs::lgetxattr(path, ACCESS_LIST, &mut value) {
        // If the check fails, the list counts as present.
        Ok(_) => true,
        Err(error) => !matches!(error, Errno::NODATA | Errno::NOTSUP),
    }
}

/// Users and groups in the system's files.
#[derive(Default, Debug)]
struct Accounts {
    /// Name, uid, first group.
    users: Vec<(String, u32, u32)>,
    /// Number, members.
    groups: Vec<(u32, Vec<String>)>,
}

impl Accounts {
    fn read() -> Accounts {
        let text = |path: &str| regular::read_text(Path::new(path)).unwrap_or_default();
        Accounts::parse(&text("/etc/passwd"), &text("/etc/group"))
    }

    fn parse(passwd: &str, group: &str) -> Accounts {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<String>>();
        let user = |line: &str| match &fields(line)[..] {
            [name, _, uid, gid, ..] => Some((name.clone(), uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        };
        let group_of = |line: &str| match &fields(line)[..] {
            [_, _, gid, members, ..] => {
                let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
                Some((gid.parse().ok()?, members.collect()))
            }
            _ => None,
        };
        Accounts {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_of).collect(),
        }
    }

    /// Returns whether a group has only these users.
    fn is_private(&self, gid: u32, uids: &[u32]) -> bool {
        let mut lines = self.groups.iter().filter(|(number, _)| *number == gid).peekable();
        let is_known = lines.peek().is_some();
        let named = |name: &String| self.users.iter().find(|(user, ..)| user == name);
        let all_ours = lines
            .flat_map(|(_, members)| members)
            .all(|name| named(name).is_some_and(|(_, uid, _)| uids.contains(uid)));
        let first_of_others = self.users.iter().any(|(_, uid, first)| *first == gid && !uids.contains(uid));
        all_ours && !first_of_others && (is_known || uids.contains(&gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_groups_have_no_other_members() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\n\
                      cyd:x:1002:100::/:\nbroken\n";
        let group = "root:x:0:\nann:x:1000:\nbob:x:1001:ann\nusers:x:100:\nweb:x:33:ann,bob\nmine:x:34:ann\n\
                     gone:x:35:stranger\n";
        let accounts = Accounts::parse(passwd, group);
        let check = |gid: u32, uids: &[u32], expected: bool| {
            assert_eq!(accounts.is_private(gid, uids), expected, "{gid} of {uids:?}");
        };
        check(1000, &[0, 1000], true);
        check(0, &[0, 1000], true);
        check(34, &[0, 1000], true);
        check(1001, &[0, 1000], false); // bob's own
        check(1001, &[0, 1001], false); // ann is in it
        check(100, &[0, 1000], false); // cyd's first group
        check(33, &[0, 1000], false);
        check(35, &[0, 1000], false); // an unknown member
        check(777, &[0, 1000], false); // an unknown group
        check(5000, &[0, 5000], true); // but its number is the user's
    }

    #[test]
    fn sudo_counts_for_root_alone() {
        assert!(Owners::new(0, Some(1000), None).accepts(1000));
        assert!(!Owners::new(1001, Some(1000), None).accepts(1000));
        assert!(Owners::new(1001, None, None).accepts(0));
    }
}
