//! A folder with a remote, stores and caches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genstore::faults::Faults;
use genstore::tree::TreeId;
use genstore::{Generation, Store};
use genstore_remote::transport::file::FileTransport;
use genstore_remote::transport::{Traffic, Transport};
use genstore_remote::{Cache, Options, Patience, PullOptions, Pulled, PushOptions, Pushed, Remote, Wanted};
use genstore_testkit::{at, commit, open, plan_of, scratch};
use tempfile::TempDir;

/// The folder of one test.
pub struct Place {
    dir: TempDir,
}

/// Files as path and bytes: a tree in the notation of the testkit.
pub type Files<'a> = &'a [(&'a str, &'a str)];

impl Place {
    pub fn new() -> Place {
        Place { dir: scratch() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self, name: &str) -> Store {
        open(&self.path(name), Faults::default())
    }

    /// Publishes files in a store, and returns the generation.
    pub fn publish(&self, store: &str, files: Files<'_>) -> Generation {
        let store = self.store(store);
        drop(commit(&store, &plan_of(files)).unwrap());
        store.open_generation(&"@".parse().unwrap()).unwrap()
    }

    /// Uses the remote in the folder `remote`, with the cache of a machine.
    pub fn remote(&self, machine: &str) -> Remote {
        self.over(machine, Box::new(FileTransport::new(&self.path("remote"))))
    }

    pub fn over(&self, machine: &str, transport: Box<dyn Transport>) -> Remote {
        let options = Options::new(Arc::new(|| at(5_000)), "test")
            .patience(Patience { attempts: 4, pause: Duration::ZERO })
            .cache(Cache::new(&self.path(&format!("cache-{machine}"))));
        Remote::new(transport, options).logged()
    }

    /// Pushes what is current in a store.
    pub fn push(&self, store: &str, channel: &str) -> (Pushed, Traffic) {
        let opened = self.store(store);
        let generation = opened.open_generation(&"@".parse().unwrap()).unwrap();
        let remote = self.remote(store);
        let pushed = remote.push(&opened, &generation, channel, &PushOptions::default()).unwrap();
        (pushed, remote.traffic())
    }

    /// Pulls a channel into a store, and makes it current.
    pub fn pull(&self, store: &str, wanted: &str) -> (Pulled, Traffic) {
        let remote = self.remote(store);
        let options = PullOptions::default().activate(true);
        let pulled = remote.pull(&self.store(store), &Wanted(wanted.to_owned()), &options).unwrap();
        (pulled, remote.traffic())
    }

    pub fn tree(&self, store: &str) -> TreeId {
        self.store(store).open_generation(&"@".parse().unwrap()).unwrap().head().unwrap().tree
    }
}
