//! `current` and the notice: the moment of a commit, and the file that tells of it. Floor 2.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::fs::{Kind, TEMP_PREFIX};
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::tree::TreeId;
use crate::parts::layout::{CURRENT, GENERATIONS, Home, NOTICE, STAGING, TREE};
use crate::parts::locks::CommitLock;

/// The notice is always so long, in bytes.
pub(crate) const NOTICE_LEN: u64 = 86;

/// Names a generation's directory of files, as `current` does.
pub(crate) fn tree_path(id: GenerationId) -> Vec<u8> {
    [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", TREE].concat()
}

/// What the notice holds: always as many bytes, so that it is replaced by one write in place.
pub(crate) fn notice(commit: Option<(GenerationId, TreeId)>) -> Vec<u8> {
    let (number, tree) = match commit {
        Some((id, tree)) => (id.get(), tree),
        None => (0, Digest::from_bytes([0; 32])),
    };
    format!("{number:<20} {tree}\n").into_bytes()
}

impl Home {
    /// Tells which generation is current: one readlink.
    pub(crate) fn current(&self) -> Result<Option<GenerationId>> {
        let target = match self.dir.read_link(CURRENT) {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(None),
            // EINVAL: something that is no symlink took its place.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidInput => {
                return Err(Error::damaged_file(&self.dir.join(CURRENT), "it is not a symlink"));
            }
            Err(e) => return Err(e),
        };
        let number = target.strip_prefix(b"generations/").and_then(|rest| rest.strip_suffix(b"/tree"));
        let id = number.and_then(|number| std::str::from_utf8(number).ok()).and_then(GenerationId::parse);
        match id {
            Some(id) => Ok(Some(id)),
            None => Err(Error::damaged_file(&self.dir.join(CURRENT), "it names no generation")),
        }
    }

    /// Tells when `current` was last moved.
    pub(crate) fn current_since(&self) -> Result<Option<SystemTime>> {
        Ok(self.dir.stat(CURRENT)?.map(|stat| stat.mtime.into()))
    }

    /// Moves `current`: the commit.
    ///
    /// # Errors
    /// On an error `current` is as before.
    ///
    /// # Durability
    /// Not yet durable on return: [`Home::seal_current`] is.
    pub(crate) fn set_current(&self, _: &CommitLock, id: GenerationId) -> Result<()> {
        let staging = self.sub(STAGING)?;
        let target = tree_path(id);
        let (temp, ()) =
            self.fs.unique(&staging, TEMP_PREFIX, "", |name| self.fs.symlink(&target, &staging, name))?;
        self.fs.rename((&staging, &temp), (&self.dir, CURRENT))
    }

    /// Makes the move of `current` durable.
    pub(crate) fn seal_current(&self, _: &CommitLock) -> Result<()> {
        self.fs.sync_dir(&self.dir)
    }

    /// Gives the directory that `current` resolves to.
    pub(crate) fn tree_dir_path(&self, id: GenerationId) -> PathBuf {
        self.dir.path().join(std::ffi::OsStr::from_bytes(&tree_path(id)))
    }

    /// Tells watchers: writes the notice in place. It keeps its inode for ever.
    pub(crate) fn write_notice(&self, _: &CommitLock, id: GenerationId, tree: TreeId) -> Result<()> {
        let file = self.fs.open_or_create(&self.dir, NOTICE)?;
        self.fs.write_at(&file, &self.dir.join(NOTICE), &notice(Some((id, tree))), 0)
    }

    /// Reads the number in the notice.
    pub(crate) fn noticed(&self) -> Result<Option<GenerationId>> {
        let bytes = match self.dir.read(NOTICE) {
            Err(Error::Damaged { .. }) => None,
            bytes => bytes?,
        };
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        Ok(text.split_whitespace().next().and_then(GenerationId::parse))
    }

    /// Writes the notice of a store whose notice was lost. A power loss may leave it empty.
    pub(crate) fn restore_notice(&self, lock: &CommitLock) -> Result<()> {
        if self.dir.stat(NOTICE)?.is_some_and(|stat| stat.size > 0) {
            return Ok(());
        }
        // What cannot be read is for others to report.
        let Ok(Some(id)) = self.current() else { return Ok(()) };
        match self.find_generation(id).and_then(|found| found.map(|g| g.head()).transpose()) {
            Ok(Some(head)) => self.write_notice(lock, id, head.tree),
            _ => Ok(()),
        }
    }

    /// Removes records and symlinks that a dead process left on their way.
    pub(crate) fn remove_temps(&self, _: &CommitLock) -> Result<()> {
        let staging = self.sub(STAGING)?;
        for (name, kind) in staging.list()? {
            if name.starts_with(TEMP_PREFIX.as_bytes()) && kind != Kind::Dir {
                self.fs.unlink(&staging, &name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_has_the_same_length() {
        let tree = Digest::of(b"tree");
        let length = notice(None).len();
        assert_eq!(length as u64, NOTICE_LEN);
        for number in [1, 42, u64::MAX] {
            let bytes = notice(Some((GenerationId::new(number).unwrap(), tree)));
            assert_eq!(bytes.len(), length);
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.split_whitespace().collect::<Vec<_>>(), [number.to_string(), tree.to_string()]);
        }
    }
}
