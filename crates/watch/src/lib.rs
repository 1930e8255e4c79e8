//! The parts of a development loop.
//!
//! - [`Sources`] decides which files count and scans them; two [`Scan`]s are compared.
//! - [`Wake`] receives events that something may have changed, and where ([`Touched`]), so that only these
//!   folders are rescanned. The next scan finds the changes. If there are no events, time triggers scans.
//! - [`Witness`] finds the folders of an output in which nothing happened.
//! - [`Debounce`] waits until events stop.
//! - [`Children`] runs programs that restart after each commit, and leaves no process of them behind.
//!
//! The loop itself, which builds and publishes, is in the program (`crates/cli/watching`). This crate does
//! not know stores: a child's lease is passed as a value that is dropped with the child.
//! Events show only when and where to scan. A scan finds the changes: a full scan, or a rescan of the
//! folders with events. Both have the same result, which random changes test. Everything is rescanned if
//! events were lost, if the rules of a folder changed, and every ten minutes. The remembered state of an
//! output is trusted only if a watch existed before the folder was read, and has reported nothing since.

mod again;
mod child;
mod children;
mod debounce;
mod echo;
mod git;
mod lines;
mod queue;
mod ready;
mod rules;
mod scan;
mod sources;
mod stamp;
mod threads;
mod touched;
mod wake;
mod walk;
mod witness;

pub use child::{Announce, Child, ChildNews, ChildReport, News, Restart, Target, Variables};
pub use children::Children;
pub use debounce::Debounce;
pub use lines::Lines;
pub use ready::{HttpUrl, Ready};
pub use scan::Scan;
pub use sources::{BadSources, SourceRules, Sources};
pub use threads::can_start_threads;
pub use touched::Touched;
pub use wake::{NoEvents, Wake, poll_interval};
pub use witness::Witness;
