//! How far long work has got: told to whoever listens, and decided by nobody here.

/// A part of long work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Finding out what is in a source; counted in entries.
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

/// Is told about progress, from any thread.
pub trait Progress: Send + Sync {
    /// A part begins; `total` steps, where that is known.
    fn begin(&self, phase: Phase, total: Option<u64>);
    /// So many steps more are done.
    fn advance(&self, steps: u64);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _phase: Phase, _total: Option<u64>) {}
    fn advance(&self, _steps: u64) {}
}
