//! The clock of tests, and the clock of files.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Returns a time, in whole seconds since 1970.
pub fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

/// Waits until the clock of files is far enough beyond the last write that stat results of that file can be
/// trusted. Leaves nothing in `dir`.
///
/// The clock is the one that the store reads. Newer kernels stamp files with a finer clock, which is ahead
/// of it by a tick or more (multigrain timestamps).
pub fn settle(dir: &Path) {
    let probe = dir.join("settle-probe");
    fs::write(&probe, "").expect("write");
    let stamp = fs::metadata(&probe).and_then(|meta| meta.modified()).expect("an mtime");
    fs::remove_file(&probe).expect("remove");
    let last = stamp.max(SystemTime::now());
    loop {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let settled = (SystemTime::UNIX_EPOCH + now).duration_since(last).unwrap_or_default();
        if settled > Duration::from_millis(25) {
            break;
        }
        // Until the next tick there is nothing to see.
        std::thread::yield_now();
    }
}
