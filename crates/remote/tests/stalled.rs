//! The schedule of the stalled writer: a writer has put its files there, and stops before its record. Meanwhile the
//! heads that it relies on move, and gc removes what they had. Then it goes on (RMT-4, RMT-5).

use std::sync::Mutex;

use genstore_remote::transport::file::FileTransport;
use genstore_remote::transport::{Created, Failure, Got, Listed, Transport};
use genstore_remote::{Control, Error, Options, Patience, PushOptions, Remote};
use genstore_testkit::at;

use crate::place::Place;

/// Does something once, just before the first record is created.
type Meanwhile<'a> = Box<dyn FnOnce() + Send + 'a>;

struct Stalled {
    files: FileTransport,
    meanwhile: Mutex<Option<Meanwhile<'static>>>,
}

impl Transport for Stalled {
    fn get(&self, key: &str, limit: u64) -> Got {
        self.files.get(key, limit)
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Got {
        self.files.get_range(key, start, len)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        if key.starts_with("log/")
            && let Some(meanwhile) = self.meanwhile.lock().unwrap().take()
        {
            meanwhile();
        }
        self.files.create(key, bytes)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.files.put(key, bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        self.files.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.files.delete(key)
    }
}

/// Runs the schedule. Returns the files that the writer's head lacks.
fn missing(control: Option<Control>) -> Vec<String> {
    let place = std::sync::Arc::new(Place::new());
    place.publish("a", &[("shared", "=these bytes are on the remote already"), ("a", "=1")]);
    place.push("a", "main");
    let generation =
        place.publish("w", &[("shared", "=these bytes are on the remote already"), ("w", "=2")]);
    let other = std::sync::Arc::clone(&place);
    let meanwhile = move || {
        other.publish("a", &[("a", "=3")]);
        other.push("a", "main");
        let collected = other.remote("gc").collect(1, false).unwrap();
        assert!(collected.barrier.is_some() && collected.files > 0, "{collected:?}");
    };
    let files = FileTransport::new(&place.path("remote"));
    let stalled = Stalled { files, meanwhile: Mutex::new(Some(Box::new(meanwhile))) };
    let mut options = Options::new(std::sync::Arc::new(|| at(5_000)), "test")
        .patience(Patience { attempts: 3, pause: std::time::Duration::ZERO });
    options.control = control;
    let remote = Remote::new(Box::new(stalled), options);
    let pushed = remote.push(&place.store("w"), &generation, "other", &PushOptions::default()).unwrap();
    assert_eq!(pushed.record, 4, "a push, a push, a barrier, and this one");
    let newest = place.remote("reader").newest().unwrap().unwrap();
    let missing = match place.remote("reader").missing_of(newest.record.heads["other"].bundle) {
        Err(Error::Missing { key }) => vec![key],
        missing => missing.unwrap(),
    };
    if missing.is_empty() {
        place.pull("b", "other");
        assert_eq!(place.tree("b"), place.tree("w"));
    }
    missing
}

#[test]
fn a_stalled_writer_finds_the_barrier_and_begins_again() {
    assert_eq!(missing(None), Vec::<String>::new());
}

#[test]
fn without_its_look_at_the_barrier_it_would_lose_data() {
    assert_ne!(missing(Some(Control::NoWriterCheck)), Vec::<String>::new());
}
