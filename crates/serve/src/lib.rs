//! HTTP over the generations of a store.
//!
//! Each request resolves `current` once, under a lease, and everything of its response comes from that
//! generation. So no response is a mixture, and none is refused during a publication, a rollback or a
//! collection. A strong `ETag` is the digest of the content, so it is right across generations and hosts.
//!
//! | module | what |
//! |---|---|
//! | `server`, `connection` | sockets, limits for slow clients, the end |
//! | `handle`, `target` | from a request to a generation and a path: hosts, permalinks |
//! | `site`, `netlify` | from a path to a file: indexes, redirects, error pages |
//! | `files`, `conditions`, `range`, `encoding`, `squeeze` | from a file to a response |
//! | `live` | events for open pages, and the script that they load |
//! | `page`, `api` | the pages and documents under `/@genstore/`, for people and programs that look at generations |
//! | `asker`, `form`, `desk`, `verbs`, `harmless` | actions: who may act, what is asked, the verb that does it, its messages |
//! | `generations`, `held`, `window`, `hashed` | the generations that are served, and their names |
//!
//! The crate knows stores by their public methods alone. It has an async runtime of its own, and reads no
//! environment.

mod answers;
mod api;
mod asker;
mod body;
mod conditions;
mod connection;
mod desk;
mod encoding;
mod error;
mod events;
mod files;
mod form;
mod generations;
mod handle;
mod harmless;
mod hashed;
mod held;
mod kind;
mod live;
mod netlify;
mod options;
mod page;
mod range;
mod server;
mod site;
mod squeeze;
mod target;
mod verbs;
mod window;

pub use error::Error;
pub use events::{Answered, Event, Sink};
pub use options::{Limits, Opener, Options};
pub use server::{Handle, run};
pub use target::Hosts;
pub use verbs::{Ran, Verbs};
