//! Claims: the owner of a stage while no process holds its lock.
//!
//! Owns `staging/s-<id>.claim`, a record. A stage that one process begins and another commits has no
//! lock in between. Its claim says until when the stage is not debris: as long as a process lives, or
//! until a time. A claim ends with the boot: after a power loss the files of the stage may be torn, and
//! their writer is gone. So it is never flushed.
//!
//! A claim is written in the stage, whose lock its writer holds, and renamed from there to its place.
//! The files `staging/tmp-*` are only for holders of the commit lock: recovery removes them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, RefusedKind, Result};
use crate::fs::process::{Liveness, ProcessMark, boot};
use crate::fs::{Dir, Kind};
use crate::model::ids::StageId;
use crate::model::records::Moment;
use crate::parts::layout::{STAGING, StoreDir};
use crate::parts::record::{unwrap, wrap};

pub(crate) const CLAIM_SUFFIX: &str = ".claim";

/// The name of a claim in its stage, before its rename.
const ON_ITS_WAY: &[u8] = b"claim";

/// The owner of a stage after its creator has released it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Owner {
    /// A living process, by its pid: the stage is debris when that process has ended.
    Process(u32),
    /// No process: the stage is debris from this time on.
    Until(SystemTime),
}

/// A stage that was begun and waits for its commit.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OpenStage {
    /// The id for [`Store::resume`](crate::Store::resume).
    pub id: StageId,
    /// The owner with which it ends.
    pub owner: Owner,
    /// The time at which it was begun.
    pub since: SystemTime,
    /// The actor who began it.
    pub by: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) owner: OwnerRecord,
    pub(crate) boot: String,
    pub(crate) made: Moment,
    pub(crate) by: String,
    /// The directory that was created for other programs to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) out: Option<FolderMark>,
}

/// The identity of a directory, which distinguishes it from any other that takes its name, as long as
/// the system runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FolderMark {
    dev: u64,
    ino: u64,
    /// The time of its creation, if the filesystem reports it: inode numbers are reused.
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

/// The state of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClaimState {
    Holds,
    /// Its time is over.
    Expired(SystemTime),
    /// Its owner has ended.
    OwnerGone(u32),
    /// The system was rebooted.
    Rebooted,
}

impl Claim {
    /// Creates a claim of a stage for `owner`.
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
                        format!("process {pid} does not exist, so it cannot own a stage"),
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

    /// Returns whether it still holds. The state of a process in another pid namespace is unknown, so
    /// its claim holds.
    pub(crate) fn standing(&self, now: SystemTime) -> Result<ClaimState> {
        if self.boot != boot() {
            return Ok(ClaimState::Rebooted);
        }
        Ok(match &self.owner {
            OwnerRecord::Until(until) if SystemTime::from(*until) <= now => {
                ClaimState::Expired((*until).into())
            }
            OwnerRecord::Until(_) => ClaimState::Holds,
            OwnerRecord::Process(mark) => match mark.liveness()? {
                Liveness::Dead => ClaimState::OwnerGone(mark.pid),
                Liveness::Alive | Liveness::Unknown => ClaimState::Holds,
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

    /// Returns the state of a stage's claim, and the directory that was created for other programs.
    /// `None` if it has no claim.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the claim cannot be read.
    pub(crate) fn claimed(
        &self,
        staging: &Dir,
        stage: &[u8],
    ) -> Result<Option<(ClaimState, Option<FolderMark>)>> {
        let name = [stage, CLAIM_SUFFIX.as_bytes()].concat();
        let Some(bytes) = staging.read(&name)? else {
            return Ok(None);
        };
        // A claim is complete before its rename, but it is not flushed: after a power loss it may be
        // all zeros.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Some((ClaimState::Rebooted, None)));
        }
        let claim: Claim = unwrap(&bytes).map_err(|why| Error::damaged_file(&staging.join(&name), why))?;
        Ok(Some((claim.standing(self.store.now())?, claim.out)))
    }

    /// Lists the stages whose claims hold. Unreadable claims are not among them: recovery removes them.
    pub(crate) fn open(&self) -> Result<Vec<OpenStage>> {
        let staging = self.store.sub(STAGING)?;
        let mut open = Vec::new();
        for (name, kind) in staging.list()? {
            let id = name.strip_suffix(CLAIM_SUFFIX.as_bytes()).and_then(|name| name.strip_prefix(b"s-"));
            let Some(id) = id.and_then(|id| std::str::from_utf8(id).ok()?.parse::<StageId>().ok()) else {
                continue;
            };
            if kind != Kind::File {
                continue;
            }
            let Some(bytes) = staging.read(&name)? else { continue };
            let Ok(claim) = unwrap::<Claim>(&bytes) else { continue };
            if claim.standing(self.store.now())? != ClaimState::Holds {
                continue;
            }
            let owner = match claim.owner {
                OwnerRecord::Process(mark) => Owner::Process(mark.pid),
                OwnerRecord::Until(until) => Owner::Until(until.into()),
            };
            open.push(OpenStage { id, owner, since: claim.made.into(), by: claim.by });
        }
        open.sort_by_key(|stage| stage.since);
        Ok(open)
    }

    /// Writes the claim of the stage `name`, whose directory is `stage` and whose lock the caller
    /// holds.
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
        assert_eq!(claim.standing(now).unwrap(), ClaimState::Holds);
        assert_eq!(claim.standing(until).unwrap(), ClaimState::Expired(until));
        let earlier = Claim { boot: "another".to_owned(), ..claim.clone() };
        assert_eq!(earlier.standing(now).unwrap(), ClaimState::Rebooted);
        let mark = ProcessMark::of(std::process::id()).unwrap().unwrap();
        let owned = Claim { owner: OwnerRecord::Process(mark.clone()), ..claim.clone() };
        assert_eq!(owned.standing(until).unwrap(), ClaimState::Holds);
        let reused = ProcessMark { start: mark.start + 1, ..mark.clone() };
        let dead = Claim { owner: OwnerRecord::Process(reused), ..claim.clone() };
        assert_eq!(dead.standing(now).unwrap(), ClaimState::OwnerGone(mark.pid));
        // A process whose state is unknown has not ended.
        let hidden = ProcessMark { namespace: mark.namespace ^ 1, start: mark.start + 1, ..mark };
        let hidden = Claim { owner: OwnerRecord::Process(hidden), ..claim };
        assert_eq!(hidden.standing(now).unwrap(), ClaimState::Holds);
        let bytes = wrap(&owned);
        assert_eq!(unwrap::<Claim>(&bytes).unwrap(), owned);
    }
}
