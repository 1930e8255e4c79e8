//! The pieces of a development loop.
//!
//! - [`Sources`] says which files count and reads what they are; two [`Scan`]s are compared.
//! - [`Wake`] hears that something may have changed, and where ([`Touched`]): so only these folders are
//!   looked at again. What changed, the next scan tells. Where events are not to be had, time wakes.
//! - [`Witness`] says in which folders of an output nothing happened.
//! - [`Debounce`] waits until it is quiet.
//! - [`Children`] runs programs that are started anew after each commit, and no process of which is
//!   left behind.
//!
//! The loop itself, which builds and publishes, is the program's (`crates/cli/watching`). Nothing here
//! knows of stores: what a child needs to be kept is handed over as a value that lives as long as it.
//! Events say when and where to look, and nothing else. What changed, a scan says: one of everything, or one
//! that looks again at the folders that events named and is what the other would be, which random changes test.
//! Where events were lost, and where what a folder's rules are read from changed, everything is looked at; and so
//! it is every ten minutes. What is remembered of an output is believed only where a watch was there before the
//! folder was read, and heard nothing since.

mod again;
mod children;
mod debounce;
mod echo;
mod git;
mod lines;
mod queue;
mod rules;
mod scan;
mod sources;
mod stamp;
mod threads;
mod touched;
mod wake;
mod walk;
mod witness;

pub use children::{Child, ChildEnded, ChildNews, Children, News, Restart, Target, Variables};
pub use debounce::Debounce;
pub use lines::Lines;
pub use scan::Scan;
pub use sources::{BadSources, SourceRules, Sources};
pub use threads::can_start_threads;
pub use touched::Touched;
pub use wake::{NoEvents, Wake, poll_interval};
pub use witness::Witness;
