//! Progress of long work, for display only: no decision depends on it.

/// A part of long work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Reading a source; counted in entries.
    Scan,
    /// Hashing sources and writing new objects; counted in files.
    Store,
    /// Linking a generation's tree; counted in entries.
    Assemble,
    /// Waiting for the disk; not counted.
    Flush,
    /// Hashing objects again; counted in objects.
    Verify,
    /// Removing generations and objects; counted in names.
    Sweep,
    /// Copying a tree out; counted in files.
    Export,
}

/// Receives the progress, from any thread.
pub trait Progress: Send + Sync {
    /// A part begins. `total` is its number of steps, if known.
    fn begin(&self, phase: Phase, total: Option<u64>);
    /// This number of further steps is done.
    fn advance(&self, steps: u64);
}

/// Ignores all progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _phase: Phase, _total: Option<u64>) {}
    fn advance(&self, _steps: u64) {}
}
