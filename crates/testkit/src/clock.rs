//! The clock of tests, and the clock of files.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Returns a time, in whole seconds since 1970.
pub fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

/// Waits until the store believes the stat values of files that were just written. Leaves nothing in `dir`.
pub fn settle(dir: &Path) {
    genstore_torture::trees::settle(dir).expect("settle");
}
