//! Attributes of source files that a generation does not keep, recorded during ingest.
//!
//! Mode bits are part of the stat of each file. Extended attributes take a separate call, so they are
//! listed only for a file that is opened and read, or if they must be refused.

use std::collections::BTreeMap;
use std::fs::File;

use crate::error::{Error, RefusedKind, Result};
use crate::fs::Stat;
use crate::fs::attributes::Attributes;
use crate::model::relpath;
use crate::warning::Warning;

/// The handling of source files with attributes that a generation does not keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Lossy {
    /// Publish them, with a warning.
    #[default]
    Warn,
    /// Publish nothing, and fail.
    Refuse,
    /// Publish them.
    Allow,
}

/// The kinds of attributes that a file can lose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// Not everybody may read it.
    Private,
    SetId,
    Capabilities,
    Acl,
    Attributes,
}

impl Loss {
    /// Returns the end of the sentence that begins with a file.
    fn says(self, is_one: bool) -> &'static str {
        match (self, is_one) {
            (Loss::Private, true) => "with restricted read permission becomes readable to all",
            (Loss::Private, false) => "with restricted read permission become readable to all",
            (Loss::SetId, true) => "loses its set-user-id, set-group-id or sticky bit",
            (Loss::SetId, false) => "lose their set-user-id, set-group-id or sticky bits",
            (Loss::Capabilities, true) => "loses its capabilities",
            (Loss::Capabilities, false) => "lose their capabilities",
            (Loss::Acl, true) => "loses its access control list",
            (Loss::Acl, false) => "lose their access control lists",
            (Loss::Attributes, true) => "loses its extended attributes",
            (Loss::Attributes, false) => "lose their extended attributes",
        }
    }
}

/// The attributes that the files of a plan lose: a count per kind, and the first path.
#[derive(Default)]
pub(crate) struct Losses(BTreeMap<Loss, (u64, Vec<u8>)>);

impl Losses {
    /// Finds the losses of one file. Its extended attributes are read if it is open. In a private store
    /// a private file stays private.
    pub(crate) fn of(stat: &Stat, file: Option<&File>, is_private: bool) -> Losses {
        let attributes = file.map(Attributes::of).unwrap_or_default();
        let all = [
            (Loss::Private, stat.mode & 0o004 == 0 && !is_private),
            (Loss::SetId, stat.mode & 0o7000 != 0),
            (Loss::Capabilities, attributes.capabilities),
            (Loss::Acl, attributes.acl),
            (Loss::Attributes, attributes.named),
        ];
        let lost = all.into_iter().filter(|(_, is_lost)| *is_lost);
        Losses(lost.map(|(loss, _)| (loss, (1, Vec::new()))).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the losses of the file at a path.
    pub(crate) fn add(&mut self, other: Losses, path: &[u8]) {
        for (loss, (count, _)) in other.0 {
            let counted = self.0.entry(loss).or_insert_with(|| (0, path.to_vec()));
            counted.0 += count;
            if relpath::compare(path, &counted.1).is_lt() {
                counted.1 = path.to_vec();
            }
        }
    }

    fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(loss, (count, first))| {
            let first = relpath::show(first);
            match count {
                1 => format!("1 file {}: {first}", loss.says(true)),
                count => format!("{count} files {}, the first is {first}", loss.says(false)),
            }
        })
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        self.sentences().map(|message| Warning { message, not_durable: false }).collect()
    }

    /// Fails if there are any.
    ///
    /// # Errors
    /// Code `lossy`.
    pub(crate) fn refuse(&self) -> Result<()> {
        match self.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::refused(RefusedKind::Lossy, self.sentences().collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_path_is_that_of_the_order_and_not_of_the_time() {
        let mut losses = Losses::default();
        for path in ["b", "a/x", "c"] {
            losses.add(Losses(BTreeMap::from([(Loss::SetId, (1, vec![]))])), path.as_bytes());
        }
        let told: Vec<String> = losses.sentences().collect();
        assert_eq!(told, ["3 files lose their set-user-id, set-group-id or sticky bits, the first is a/x"]);
    }
}
