//! The names that most tests use.

pub use std::collections::{BTreeMap, BTreeSet};
pub use std::ffi::{OsStr, OsString};
pub use std::fs;
pub use std::io::{BufRead, BufReader, Read, Write};
pub use std::net::{TcpListener, TcpStream};
pub use std::os::unix::ffi::{OsStrExt, OsStringExt};
pub use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
pub use std::os::unix::process::{CommandExt, ExitStatusExt};
pub use std::path::{Path, PathBuf};
pub use std::process::{Child, Command, Stdio};
pub use std::sync::Arc;
pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use std::time::{Duration, Instant, SystemTime};

pub use genstore_testkit::{
    LoopFs, Way, has_node_modules, has_program, in_own_mounts, is_root, needs, read_tree, same_content,
    skip_on_this_machine, skip_without_package, things,
};
pub use serde_json::{Value, json};
pub use tempfile::TempDir;

pub use crate::harness::{Run, Running, Site, eventually};
pub use crate::output::{Output, has};
