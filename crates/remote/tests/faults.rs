//! Each request of a push, a pull and a collection fails in each way. The same command again completes it, and
//! nothing is lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use genstore::tree::Digest;
use genstore_remote::transport::file::FileTransport;
use genstore_remote::transport::{Created, Failure, Got, Listed, Transport};
use genstore_remote::{Error, ForgetOptions, PullOptions, PushOptions, Remote, Wanted};

use crate::place::Place;

/// The kind of fault at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The request does not arrive.
    LostBefore,
    /// The request arrives, and its answer does not.
    LostAfter,
    /// It is refused for a moment: 409, 500 or 503.
    Refused(&'static str),
    /// A creation arrives, is repeated on the way, and the answer to the second one comes: 412.
    Twice,
    /// Half of the bytes arrive.
    Truncated,
    /// One byte is another.
    Wrong,
    /// A file that is there is denied.
    Stale,
    /// This request and all later ones fail: the process is dead.
    Dead,
}

const FAULTS: [Fault; 10] = [
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Refused("409"),
    Fault::Refused("500"),
    Fault::Refused("503"),
    Fault::Twice,
    Fault::Truncated,
    Fault::Wrong,
    Fault::Stale,
    Fault::Dead,
];

/// The number of requests so far, the one that fails, and whether it did.
#[derive(Default)]
struct Script {
    count: AtomicU64,
    at: u64,
    struck: AtomicBool,
}

struct Faulty {
    files: FileTransport,
    fault: Fault,
    /// Whether all requests after the one that fails are refused too.
    then_refuses: bool,
    script: Arc<Script>,
}

impl Faulty {
    /// Returns whether this request fails.
    fn strikes(&self) -> bool {
        let number = self.script.count.fetch_add(1, SeqCst);
        let strikes = number == self.script.at || (self.fault == Fault::Dead && number > self.script.at);
        if strikes {
            self.script.struck.store(true, SeqCst);
        }
        strikes
    }

    fn read(&self, read: impl FnOnce() -> Got) -> Got {
        if !self.strikes() {
            return match self.then_refuses && self.script.struck.load(SeqCst) {
                true => Err(Failure::ambiguous("503")),
                false => read(),
            };
        }
        match self.fault {
            Fault::Truncated => read().map(|bytes| bytes.map(|bytes| bytes[..bytes.len() / 2].to_vec())),
            Fault::Wrong => read().map(|bytes| {
                bytes.map(|mut bytes| {
                    let middle = bytes.len() / 2;
                    bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
                    bytes
                })
            }),
            Fault::Stale => Ok(None),
            Fault::Dead => Err(Failure::final_one("dead")),
            Fault::Refused(why) => Err(Failure::ambiguous(why)),
            Fault::LostBefore | Fault::LostAfter | Fault::Twice => Err(Failure::ambiguous("timed out")),
        }
    }

    fn write<T>(&self, twice: Option<T>, write: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        if !self.strikes() {
            return write();
        }
        match (self.fault, twice) {
            (Fault::LostAfter, _) => {
                write()?;
                Err(Failure::ambiguous("timed out"))
            }
            (Fault::Twice, Some(answer)) => write().map(|_| answer),
            (Fault::Dead, _) => Err(Failure::final_one("dead")),
            (Fault::Refused(why), _) => Err(Failure::ambiguous(why)),
            _ => Err(Failure::ambiguous("timed out")),
        }
    }
}

impl Transport for Faulty {
    fn get(&self, key: &str, limit: u64) -> Got {
        self.read(|| self.files.get(key, limit))
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Got {
        self.read(|| self.files.get_range(key, start, len))
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        self.write(Some(Created::Taken), || self.files.create(key, bytes))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.write(Some(()), || self.files.put(key, bytes))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        self.write(None, || self.files.list(prefix))
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.write(Some(()), || self.files.delete(key))
    }
}

/// A verb, on a place that is ready for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    FirstPush,
    Push,
    Pull,
    Collect,
    /// The first generation has a file that the second one lacks.
    Forget,
}

/// Prepares a place: two generations on the remote, of which a follower has the first, and a third one in the
/// store.
fn prepare(place: &Place, verb: Verb) {
    if verb == Verb::FirstPush {
        place.publish("a", &[("a", "=one")]);
        return;
    }
    for text in ["=one", "=one and two", "=one and two and three"] {
        let env = if text == "=one" { "=the secret" } else { "=none" };
        place.publish("a", &[("a", text), ("d/b", "=same"), ("env", env), ("l", ">a")]);
        place.push("a", "main");
        if text == "=one" {
            place.pull("b", "main");
        }
    }
    place.publish("a", &[("a", "=four"), ("d/b", "=same")]);
}

fn run(place: &Place, remote: &Remote, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::FirstPush | Verb::Push => {
            let store = place.store("a");
            let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
            remote.push(&store, &generation, "main", &PushOptions::default()).map(drop)
        }
        Verb::Pull => {
            let options = PullOptions::default().activate(true);
            remote.pull(&place.store("b"), &Wanted("main".to_owned()), &options).map(drop)
        }
        Verb::Collect => remote.collect(1, false).map(drop),
        Verb::Forget => {
            let contents = [Digest::of(b"the secret")].into();
            remote.forget(&place.store("a"), &contents, &ForgetOptions::default()).map(drop)
        }
    }
}

fn files(root: &Path) -> FileTransport {
    FileTransport::new(&root.join("remote"))
}

/// Checks that the head is whole, and is the tree that it must be.
fn check(place: &Place, verb: Verb, what: &str) {
    let verified = place.remote("checker").verify_all().unwrap();
    assert!(verified.findings.is_empty(), "{what}: {verified:?}");
    place.pull("fresh", "main");
    let records = std::fs::read_dir(place.path("remote/log")).unwrap().count();
    let expected = match verb {
        Verb::FirstPush => 1,
        Verb::Push | Verb::Collect => 4,
        Verb::Pull => 3,
        // The push of the head, the list, and the barrier.
        Verb::Forget => 6,
    };
    // A collection that died after its barrier writes a second one.
    let has_barrier = matches!(verb, Verb::Collect | Verb::Forget);
    let is_double = records != expected && !(has_barrier && records <= expected + 1);
    assert!(!is_double, "{what}: {records} records");
    match verb {
        Verb::FirstPush | Verb::Push => assert_eq!(place.tree("a"), place.tree("fresh"), "{what}"),
        Verb::Pull => assert_eq!(place.tree("b"), place.tree("fresh"), "{what}"),
        Verb::Collect => {}
        Verb::Forget => {
            let newest = place.remote("reader").newest().unwrap().unwrap();
            let existing = place.remote("reader").existing(&newest).unwrap();
            assert_eq!(existing.len(), 1, "{what}: {existing:?}");
        }
    }
}

/// Runs a verb with one fault at each of its requests.
fn each(verb: Verb) {
    let mut struck = 0;
    for fault in FAULTS {
        for at in 0.. {
            let place = Place::new();
            prepare(&place, verb);
            let script = Arc::new(Script { at, ..Script::default() });
            let machine = if verb == Verb::Pull { "b" } else { "a" };
            let faulty = Faulty {
                files: files(&place.path("")),
                fault,
                then_refuses: false,
                script: Arc::clone(&script),
            };
            let done = run(&place, &place.over(machine, Box::new(faulty)), verb);
            if !script.struck.load(SeqCst) {
                done.unwrap();
                break;
            }
            struck += 1;
            let what = format!("{verb:?}, {fault:?} at request {at}");
            let may_fail = matches!(fault, Fault::Dead | Fault::Stale);
            assert!(may_fail || done.is_ok(), "{what}: {done:?}");
            // The same command again, as after a crash.
            run(&place, &place.remote(machine), verb).unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&place, verb, &what);
        }
    }
    assert!(struck >= 10 * 3, "{struck} faults");
}

#[test]
fn each_request_of_a_first_push_fails_in_each_way() {
    each(Verb::FirstPush);
}

#[test]
fn each_request_of_a_push_fails_in_each_way() {
    each(Verb::Push);
}

#[test]
fn each_request_of_a_pull_fails_in_each_way() {
    each(Verb::Pull);
}

#[test]
fn each_request_of_a_collection_fails_in_each_way() {
    each(Verb::Collect);
}

#[test]
fn each_request_of_forgetting_fails_in_each_way() {
    each(Verb::Forget);
}

/// A server that denies a file once, or sends it damaged, and then answers nothing: the file is neither missing
/// nor damaged, as far as anybody knows.
#[test]
fn only_the_last_answer_counts() {
    let mut struck = 0;
    for fault in [Fault::Stale, Fault::Truncated, Fault::Wrong] {
        for at in 0.. {
            let place = Place::new();
            prepare(&place, Verb::Pull);
            let script = Arc::new(Script { at, ..Script::default() });
            let files = files(&place.path(""));
            let faulty = Faulty { files, fault, then_refuses: true, script: Arc::clone(&script) };
            let done = run(&place, &place.over("b", Box::new(faulty)), Verb::Pull);
            if !script.struck.load(SeqCst) {
                done.unwrap();
                break;
            }
            struck += 1;
            // Where a pull ends with that request, it succeeds: the log's end is an answer that denies a file.
            let what = format!("{fault:?} at request {at}: {done:?}");
            assert!(done.is_ok() || matches!(done, Err(Error::Request { .. })), "{what}");
        }
    }
    assert!(struck >= 6, "{struck} faults");
}
