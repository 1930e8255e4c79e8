//! Remotes: generations in an object store, in a directory or on a web server (`remote-layout.md`).
//!
//! A remote is a log of create-only records, and the files that they reference. The order of every change is
//! files first, record last, so the log alone decides what happened. All calls block. The library `genstore`
//! knows nothing of remotes: this crate reads its manifests and objects, and gives it objects.
//!
//! | module | what |
//! |---|---|
//! | [`codec`] | the format, as pure functions |
//! | [`transport`] | the requests that a remote must answer |
//! | `report` | reports of a transfer while it runs |
//! | `requests`, `log` | repeated requests; reading the log, and appending to it |
//! | `cache`, `load` | bundles with their manifests, and the copies of them on this machine |
//! | `nonce` | random numbers |
//! | `objects` | objects of the local store |
//! | `push`, `upload`, `pull`, `fetch`, `packs` | between a store and a remote |
//! | `check`, `signing`, `trust` | the names of checks; signatures, and the changes that a record may make |
//! | `address` | the transport of an address |
//! | `serve` | the other side of `ssh://` |
//! | `changes` | promote, pin, unpin |
//! | `verify` | comparison of every byte, and repair |
//! | `gc` | removal of what no generation needs |
//! | `probe` | checks of a server |

mod access;
mod address;
mod cache;
mod changes;
mod check;
pub mod codec;
mod download;
mod error;
mod fetch;
mod forget;
mod gc;
mod load;
mod log;
mod nonce;
mod objects;
mod packs;
mod probe;
mod pull;
mod push;
mod report;
mod requests;
mod serve;
mod signing;
pub mod transport;
mod trust;
mod upload;
mod verify;

pub use access::Access;
pub use address::open;
pub use cache::Cache;
pub use check::Check;
pub use download::download;
pub use error::{Error, Result};
pub use fetch::Fetched;
pub use forget::{ForgetOptions, ForgotRemotely};
pub use gc::{Collected, Stays};
pub use log::Entry;
pub use probe::Connect;
pub use pull::{PullOptions, Pulled, Waits, Wanted};
pub use push::{Prepared, PushOptions, Pushed};
pub use report::{Report, Way};
#[cfg(feature = "controls")]
pub use requests::Control;
pub use requests::{Options, Patience, Remote};
pub use serve::{Allowed, serve};
pub use signing::{Sign, Verify, namespace};
pub use verify::{Finding, Repair, Verified};
