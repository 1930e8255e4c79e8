//! Claims: who a stage belongs to while no process holds its lock.
//!
//! Owns `staging/s-<id>.claim`, a record. A stage that was begun by one process and is committed by
//! another has no lock in between; its claim says until when nobody else may take it for debris:
//! as long as a process lives, or until a moment. A claim ends with the boot: after a power loss
//! what was written to the stage may be torn, and whoever wrote it is gone. So it is never flushed.
//!
//! A claim is written in the stage, whose lock its writer holds, and renamed to its place from there.
//! The files `staging/tmp-*` are for holders of the commit lock alone: recovery removes them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, RefusedKind, Result};
use crate::fs::Dir;
use crate::fs::process::{Liveness, ProcessMark, boot};
use crate::model::records::Moment;
use crate::parts::layout::StoreDir;
use crate::parts::record::{unwrap, wrap};

pub(crate) const CLAIM_SUFFIX: &str = ".claim";

/// A claim before it gets its name, in its stage.
const ON_ITS_WAY: &[u8] = b"claim";

/// Who a stage belongs to once its maker has let go of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A living process, by its number: the stage is debris when that process has ended.
    Process(u32),
    /// Nobody in particular: the stage is debris from this moment on.
    Until(SystemTime),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) owner: OwnerRecord,
    pub(crate) boot: String,
    pub(crate) made: Moment,
    pub(crate) by: String,
    /// The directory that was made for others to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) out: Option<FolderMark>,
}

/// What tells a directory from any other that takes its name, as long as the system runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FolderMark {
    dev: u64,
    ino: u64,
    /// When it was made, where the filesystem tells: the number of an inode is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<Moment>,
}

impl FolderMark {
    pub(crate) fn of(dir: &Dir) -> Result<FolderMark> {
        let stat = dir.stat_self()?;
        Ok(FolderMark { dev: stat.dev, ino: stat.ino, born: dir.born().map(Moment::from_mtime) })
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OwnerRecord {
    Process(ProcessMark),
    Until(Moment),
}

/// Whether a claim still holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Holds,
    /// Its time is over.
    Expired(SystemTime),
    /// Its owner has ended.
    OwnerGone(u32),
    /// The system was started anew.
    Rebooted,
}

impl Claim {
    /// Makes a claim of a stage for `owner`.
    ///
    /// # Errors
    /// Code `no-such-process`.
    pub(crate) fn new(store: &StoreDir, owner: Owner) -> Result<Claim> {
        let owner = match owner {
            Owner::Until(time) => OwnerRecord::Until(time.into()),
            Owner::Process(pid) => {
                let mark = ProcessMark::of(pid)?.ok_or_else(|| {
                    Error::refused(
                        RefusedKind::NoSuchProcess,
                        format!("there is no process {pid} to own a stage"),
                    )
                })?;
                OwnerRecord::Process(mark)
            }
        };
        Ok(Claim {
            owner,
            boot: boot(),
            made: store.now().into(),
            by: store.options.actor.clone(),
            out: None,
        })
    }

    /// Returns whether it still holds. A process of another pid namespace cannot be looked at, so
    /// its claim does.
    pub(crate) fn standing(&self, now: SystemTime) -> Result<Standing> {
        if self.boot != boot() {
            return Ok(Standing::Rebooted);
        }
        Ok(match &self.owner {
            OwnerRecord::Until(until) if SystemTime::from(*until) <= now => {
                Standing::Expired((*until).into())
            }
            OwnerRecord::Until(_) => Standing::Holds,
            OwnerRecord::Process(mark) => match mark.liveness()? {
                Liveness::Dead => Standing::OwnerGone(mark.pid),
                Liveness::Alive | Liveness::Unknown => Standing::Holds,
            },
        })
    }
}

/// The claims on stages of a store.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'s> {
    store: &'s StoreDir,
}

impl<'s> Claims<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Claims<'s> {
        Claims { store }
    }

    /// Returns whether the claim of a stage holds, and which directory it was begun with; `None` where it
    /// has none.
    ///
    /// # Errors
    /// [`Error::Damaged`] where that cannot be told.
    pub(crate) fn claimed(
        &self,
        staging: &Dir,
        stage: &[u8],
    ) -> Result<Option<(Standing, Option<FolderMark>)>> {
        let name = [stage, CLAIM_SUFFIX.as_bytes()].concat();
        let Some(bytes) = staging.read(&name)? else {
            return Ok(None);
        };
        // A claim is whole before it gets its name. It is not flushed, so this is what a power loss
        // leaves of it.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Some((Standing::Rebooted, None)));
        }
        let claim: Claim = unwrap(&bytes).map_err(|why| Error::damaged_file(&staging.join(&name), why))?;
        Ok(Some((claim.standing(self.store.now())?, claim.out)))
    }

    /// Writes the claim of the stage `name`, whose directory is `stage` and whose lock the caller holds.
    pub(crate) fn write(&self, staging: &Dir, (name, stage): (&[u8], &Dir), claim: &Claim) -> Result<()> {
        let path = stage.join(ON_ITS_WAY);
        self.store.fs.unlink(stage, ON_ITS_WAY)?;
        let file = self.store.fs.create_with(stage, ON_ITS_WAY, 0o644)?;
        self.store.fs.write(&file, &path, &wrap(claim))?;
        self.store.fs.set_mode(&file, &path, 0o644)?;
        let place = [name, CLAIM_SUFFIX.as_bytes()].concat();
        self.store.fs.rename((stage, ON_ITS_WAY), (staging, &place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_claim_ends_with_its_time_its_owner_or_the_boot() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let until = now + Duration::from_secs(5);
        let claim = Claim {
            owner: OwnerRecord::Until(until.into()),
            boot: boot(),
            made: now.into(),
            by: "test".to_owned(),
            out: None,
        };
        assert_eq!(claim.standing(now).unwrap(), Standing::Holds);
        assert_eq!(claim.standing(until).unwrap(), Standing::Expired(until));
        let earlier = Claim { boot: "another".to_owned(), ..claim.clone() };
        assert_eq!(earlier.standing(now).unwrap(), Standing::Rebooted);
        let mark = ProcessMark::of(std::process::id()).unwrap().unwrap();
        let owned = Claim { owner: OwnerRecord::Process(mark.clone()), ..claim.clone() };
        assert_eq!(owned.standing(until).unwrap(), Standing::Holds);
        let reused = ProcessMark { start: mark.start + 1, ..mark.clone() };
        let dead = Claim { owner: OwnerRecord::Process(reused), ..claim.clone() };
        assert_eq!(dead.standing(now).unwrap(), Standing::OwnerGone(mark.pid));
        // A process that cannot be looked at is none that has ended.
        let hidden = ProcessMark { namespace: mark.namespace ^ 1, start: mark.start + 1, ..mark };
        let hidden = Claim { owner: OwnerRecord::Process(hidden), ..claim };
        assert_eq!(hidden.standing(now).unwrap(), Standing::Holds);
        let bytes = wrap(&owned);
        assert_eq!(unwrap::<Claim>(&bytes).unwrap(), owned);
    }
}
