//! Refused publications, kept for inspection.
//!
//! Owns `failed/<number>/`: `report.json`, `tree/` of a tree refused by an audit, `build.log` of a
//! build. No decision depends on it, and nothing in it is flushed: it may be removed at any time. Only
//! the newest ones are kept.

use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Leftover, Result};
use crate::fs::errno::{is_errno, is_refused};
use crate::model::audit::{Finding, Severity};
use crate::model::ids::StageId;
use crate::model::records::Moment;
use crate::model::relpath;
use crate::model::tree::TreeId;
use crate::parts::layout::{BUILD_LOG, FAILED, STAGING, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::stage_debris::tolerate;
use crate::parts::stage_dir::{NEXT, StageDir, failed_grave};

const REPORT: &[u8] = b"report.json";

/// The limits for refused publications that are kept for inspection. The newest one is always kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KeepFailed {
    /// The largest number of them.
    pub count: usize,
    /// The largest sum of their sizes in bytes, without the bytes that they share with the store.
    pub bytes: u64,
}

impl Default for KeepFailed {
    /// Five, and one GiB.
    fn default() -> KeepFailed {
        KeepFailed { count: 5, bytes: 1 << 30 }
    }
}

impl KeepFailed {
    /// Sets the largest number of them.
    pub fn count(mut self, count: usize) -> KeepFailed {
        self.count = count;
        self
    }

    /// Sets the largest sum of their sizes in bytes.
    pub fn bytes(mut self, bytes: u64) -> KeepFailed {
        self.bytes = bytes;
        self
    }
}

/// A refused publication that was kept for inspection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Failed {
    /// Its number: one more than the highest number that still existed when it was kept.
    pub number: u64,
    /// Its directory: `tree/` or `build.log`, and `report.json`.
    pub path: PathBuf,
    /// Parts of the stage or of earlier refused publications that could not be removed. Later commands
    /// that write try again.
    pub left: Vec<Leftover>,
}

/// The reason for a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    Audit { tree: TreeId, bytes: u64, findings: Vec<Finding> },
    Build { why: String },
}

#[derive(Serialize, Deserialize)]
struct Report {
    schema: String,
    cause: String,
    time: Moment,
    by: String,
    stage: String,
    /// The bytes on the disk that it does not share.
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingRecord>,
}

#[derive(Serialize, Deserialize)]
struct FindingRecord {
    rule: String,
    severity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    message: String,
}

/// The refused publications that a store keeps: `failed/`.
#[derive(Clone, Copy)]
pub(crate) struct FailedBuilds<'s> {
    store: &'s StoreDir,
}

impl<'s> FailedBuilds<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> FailedBuilds<'s> {
        FailedBuilds { store }
    }

    /// Moves the assembled generation of a stage to `failed/`, and removes the oldest ones there.
    pub(crate) fn keep(
        &self,
        lock: &CommitLock,
        stage: &StageDir,
        cause: Cause,
        keep: KeepFailed,
    ) -> Result<Failed> {
        let report = self.report(stage, cause);
        let path = stage.next().join(REPORT);
        let bytes = serde_json::to_vec_pretty(&report).map_err(|e| Error::io("encode", &path, e))?;
        let file = self.store.fs.create(stage.next(), REPORT)?;
        self.store.fs.write(&file, &path, &bytes)?;
        self.store.fs.set_mode(&file, &path, 0o644)?;
        self.store.fs.make_dir(&self.store.dir, FAILED)?;
        let failed = self.store.sub(FAILED)?;
        let number = self.numbers()?.last().map_or(1, |last| last + 1);
        let name = number.to_string().into_bytes();
        self.store.fs.rename_to_free((stage.dir(), NEXT), (&failed, &name))?;
        let left = self.prune(lock, keep)?;
        Ok(Failed { number, path: failed.join(&name), left })
    }

    fn report(&self, stage: &StageDir, cause: Cause) -> Report {
        let report = Report {
            schema: "genstore.failed/1".to_owned(),
            cause: "audit".to_owned(),
            time: self.store.now().into(),
            by: self.store.options.actor.clone(),
            stage: stage.id().to_string(),
            bytes: 0,
            why: None,
            tree: None,
            findings: vec![],
        };
        match cause {
            Cause::Build { why } => Report { cause: "build".to_owned(), why: Some(why), ..report },
            Cause::Audit { tree, bytes, findings } => {
                let record = |finding: Finding| FindingRecord {
                    rule: finding.rule,
                    severity: match finding.severity {
                        Severity::Warning => "warning".to_owned(),
                        Severity::Error => "error".to_owned(),
                    },
                    path: finding.path.as_deref().map(relpath::show),
                    message: finding.message,
                };
                let findings = findings.into_iter().map(record).collect();
                Report { tree: Some(tree.to_string()), bytes, findings, ..report }
            }
        }
    }

    /// Lists the numbers of those that are kept, oldest first.
    fn numbers(&self) -> Result<Vec<u64>> {
        let number = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<u64>().ok();
        let mut numbers: Vec<u64> =
            self.store.list(FAILED)?.iter().filter_map(|(name, _)| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the sum of the bytes on the disk that they do not share. Unreadable ones are left out.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0_u64;
        for number in self.numbers()? {
            bytes = bytes.saturating_add(self.read_report(number)?.map_or(0, |report| report.bytes));
            for name in [REPORT, BUILD_LOG] {
                let path = [FAILED, b"/", number.to_string().as_bytes(), b"/", name].concat();
                bytes = bytes
                    .saturating_add(self.store.dir.stat(&path).ok().flatten().map_or(0, |stat| stat.size));
            }
        }
        Ok(bytes)
    }

    fn read_report(&self, number: u64) -> Result<Option<Report>> {
        let path = [FAILED, b"/", number.to_string().as_bytes(), b"/", REPORT].concat();
        let bytes = match self.store.dir.read(&path) {
            Err(Error::Damaged { .. }) => None,
            // Something is mounted on it, or it belongs to another user.
            Err(e) if is_refused(&e) => None,
            read => read?,
        };
        // A report that cannot be parsed counts as missing.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn prune(&self, _: &CommitLock, keep: KeepFailed) -> Result<Vec<Leftover>> {
        let (failed, staging) = (self.store.sub(FAILED)?, self.store.sub(STAGING)?);
        let (mut count, mut bytes, mut left) = (0, 0_u64, Vec::new());
        for number in self.numbers()?.into_iter().rev() {
            count += 1;
            bytes = bytes.saturating_add(self.read_report(number)?.map_or(0, |report| report.bytes));
            if count == 1 || (count <= keep.count && bytes <= keep.bytes) {
                continue;
            }
            // Parts of an earlier one with the same number may be left there.
            let number = number.to_string().into_bytes();
            let prefix = failed_grave(&number);
            let moved = self.store.fs.unique(&staging, &prefix, "", |free| {
                self.store.fs.rename_to_free((&failed, &number), (&staging, free))
            });
            let removed = match moved {
                // It cannot be renamed: it is in a lower layer of overlayfs, something is mounted
                // there, or it belongs to another user.
                Err(e) if is_errno(&e, Errno::XDEV) || is_refused(&e) => {
                    self.store.fs.remove_all(&failed, &number)
                }
                moved => self.store.fs.remove_all(&staging, &moved?.0),
            };
            left.extend(tolerate(removed)?);
        }
        Ok(left)
    }

    /// Finds the refused publication that was made from a stage.
    pub(crate) fn find_stage(&self, id: &StageId) -> Result<Option<u64>> {
        for number in self.numbers()?.into_iter().rev() {
            if self.read_report(number)?.is_some_and(|report| report.stage == id.as_str()) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}
