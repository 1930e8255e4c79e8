//! The limit of open files: raised for this program, and given back to the commands that it starts.
//!
//! Many systems start programs with a low soft limit (256 on a Mac, 1,024 on Linux), for the sake of
//! programs that use `select`. Others may raise it up to the hard limit, but should not pass that on.

use std::sync::Mutex;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any work here needs. Some systems refuse an unlimited number.
const ENOUGH: u64 = 65_536;

/// The limit with which this program was started, if it was raised.
static INHERITED: Mutex<Option<Rlimit>> = Mutex::new(None);

/// Raises the soft limit of open files as far as the hard limit allows. Commands get the former one.
pub fn raise_open_files() {
    let inherited = getrlimit(Resource::Nofile);
    let most = inherited.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    let raised = Rlimit { current: Some(most), maximum: inherited.maximum };
    if inherited.current.is_some_and(|soft| soft < most) && setrlimit(Resource::Nofile, raised).is_ok() {
        *lock() = Some(inherited);
    }
}

/// Runs something with the limit that this program was started with. Fewer files than that must be open
/// at that moment, or the system refuses to open more.
pub fn with_inherited_open_files<T>(run: impl FnOnce() -> T) -> T {
    let inherited = lock();
    let Some(limit) = inherited.as_ref() else { return run() };
    let raised = getrlimit(Resource::Nofile);
    // A lower soft limit is always allowed, and so is the way back: the hard limit stays.
    let is_lowered = setrlimit(Resource::Nofile, *limit).is_ok();
    let result = run();
    if is_lowered {
        setrlimit(Resource::Nofile, raised).ok();
    }
    result
}

fn lock() -> std::sync::MutexGuard<'static, Option<Rlimit>> {
    INHERITED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
