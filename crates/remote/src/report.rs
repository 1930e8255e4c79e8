//! Reports of a transfer while it runs.

use crate::transport::Traffic;

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the remote.
    Push,
    /// From the remote.
    Pull,
}

/// Hears of a transfer while it runs.
pub trait Report: Send + Sync {
    /// A transfer of objects with this sum of sizes begins.
    fn begin(&self, way: Way, bytes: u64);

    /// Objects with this sum of sizes are done.
    fn advance(&self, bytes: u64);

    /// The numbers of requests and bytes so far.
    fn traffic(&self, traffic: Traffic);
}
