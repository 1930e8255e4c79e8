//! The names that most tests use.

pub(crate) use std::collections::{BTreeMap, BTreeSet};
pub(crate) use std::fs;
pub(crate) use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::process::Command;
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::time::{Duration, SystemTime};

pub(crate) use genstore::audit::{AuditRules, Judged, KeepFailed};
pub(crate) use genstore::error::{Damaged, RefusedKind};
pub(crate) use genstore::faults::{FaultKind, FaultPlan, Faults};
pub(crate) use genstore::generation::Mark;
pub(crate) use genstore::plan::ScanRules;
pub(crate) use genstore::publish::{Activate, Expect, MarkLeft, Owner};
pub(crate) use genstore::tree::{Digest, RelPath};
pub(crate) use genstore::verify::{Depth, Repaired};
pub(crate) use genstore::view::{ViewOptions, ViewState};
pub(crate) use genstore::{
    CommitOptions, Durability, Error, GenerationId, Options, Plan, Publication, Retention, Rev, Source,
    StageOptions, Store,
};
pub(crate) use genstore_testkit::*;
pub(crate) use tempfile::TempDir;
