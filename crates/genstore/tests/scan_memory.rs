//! The cached scan: if the caller reports all changes, the result of a publication is the same as after
//! a full scan, with the same index.

use std::os::unix::ffi::OsStrExt;

use genstore::Result;
use genstore::audit::Patterns;
use genstore::plan::ScanMemory;
use genstore::publish::Emptying;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::prelude::*;

/// The stat values of a folder itself, and of its entries.
type Look = (Vec<i64>, BTreeMap<Vec<u8>, Vec<i64>>);

/// A source, and two stores that must be the same.
struct Place {
    temp: TempDir,
    with: Store,
    without: Store,
    memory: ScanMemory,
    looked: BTreeMap<Vec<u8>, Look>,
}

fn rules() -> ScanRules {
    ScanRules::default().exclude(Patterns::new(["**/no"]).unwrap())
}

impl Place {
    fn new() -> Place {
        let temp = scratch();
        let open = |name: &str| {
            let options = Options::new(Arc::new(|| at(2_000_000)));
            Store::init(&temp.path().join(name), options).unwrap().store
        };
        let (with, without) = (open("with"), open("without"));
        fs::create_dir_all(temp.path().join("source/a/b")).unwrap();
        for file in ["source/top", "source/a/one", "source/a/b/two"] {
            fs::write(temp.path().join(file), file).unwrap();
        }
        let memory = ScanMemory::new(&temp.path().join("source"), rules());
        Place { temp, with, without, memory, looked: BTreeMap::new() }
    }

    fn source(&self) -> PathBuf {
        self.temp.path().join("source")
    }

    /// Makes the plan twice. The changes are found by a full comparison.
    fn plans(&mut self) -> (Result<Plan>, Result<Plan>) {
        settle(self.temp.path());
        let mut now = BTreeMap::new();
        look(&self.source(), &mut vec![], &mut now);
        let before = std::mem::replace(&mut self.looked, now);
        // Only inode and mode: changes in the folders around it are reported for those folders.
        let itself =
            |map: &BTreeMap<Vec<u8>, Look>, path: &[u8]| map.get(path).map(|look| look.0[..2].to_vec());
        let same = |path: &[u8]| {
            let ends = (0..=path.len()).filter(|end| [0, path.len()].contains(end) || path[*end] == b'/');
            let mut around = ends.map(|end| &path[..end]);
            before.get(path) == self.looked.get(path)
                && around.all(|path| itself(&before, path) == itself(&self.looked, path))
        };
        (self.memory.scan(same), Plan::scan(&self.source(), &rules()))
    }

    /// Publishes both ways, and checks that the results are the same.
    fn publish(&mut self, options: &StageOptions, commit: bool) -> Result<Option<Publication>> {
        let (with, without) = self.plans();
        let (with, without) = match (with, without) {
            (Ok(with), Ok(without)) => (with, without),
            (with, without) => {
                assert_eq!(with.is_ok(), without.is_ok());
                return with.map(|_| None);
            }
        };
        assert_eq!(with.files(), without.files());
        let with_files = with.files();
        let with = self.with.stage(&with, options.clone())?;
        let without = self.without.stage(&without, options.clone())?;
        assert_eq!(with.tree().id(), without.tree().id());
        if !commit {
            return Ok(None);
        }
        let empty_or_not = CommitOptions::default().emptying(Emptying::Allow);
        let done = with.unaudited().commit(&empty_or_not)?;
        let other = without.unaudited().commit(&empty_or_not)?;
        assert_eq!(
            (done.generation, done.changed, done.tree),
            (other.generation, other.changed, other.tree)
        );
        let index = |store: &str| {
            fs::read(self.temp.path().join(format!("{store}/generations/{}/index", done.generation)))
        };
        // An empty tree has no index.
        assert!(index("with").ok() == index("without").ok(), "the indexes differ");
        assert_eq!(index("with").is_ok(), with_files > 0, "an index for each tree with files");
        self.memory.published(&done);
        Ok(Some(done))
    }
}

fn stamp(path: &Path) -> Vec<i64> {
    let meta = fs::symlink_metadata(path).unwrap();
    vec![
        meta.ino() as i64,
        meta.mode().into(),
        meta.ctime(),
        meta.ctime_nsec(),
        meta.mtime(),
        meta.mtime_nsec(),
    ]
}

fn look(folder: &Path, path: &mut Vec<u8>, all: &mut BTreeMap<Vec<u8>, Look>) {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        let inner = folder.join(&name);
        let mut stamp = stamp(&inner);
        if fs::symlink_metadata(&inner).unwrap().is_dir() {
            // It is not called for its entries.
            stamp.truncate(2);
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name.as_bytes());
            look(&inner, path, all);
            path.truncate(length);
        }
        names.insert(name.as_bytes().to_vec(), stamp);
    }
    all.insert(path.clone(), (stamp(folder), names));
}

#[derive(Clone, Debug)]
enum Step {
    Write(String, u8),
    Append(String),
    Touch(String, u32),
    Mode(String, bool),
    Link(String, &'static str),
    Remove(String),
    Rename(String, String),
    Folder(String),
    Anew(String),
    Root,
}

fn take(step: &Step, source: &Path) {
    let write = |path: PathBuf, text: String| {
        fs::create_dir_all(path.parent().unwrap()).ok();
        fs::write(path, text).ok();
    };
    let remove = |path: &Path| drop(fs::remove_file(path).or_else(|_| fs::remove_dir_all(path)));
    match step {
        Step::Write(path, text) => write(source.join(path), format!("{text}")),
        Step::Append(path) => {
            let old = fs::read_to_string(source.join(path)).unwrap_or_default();
            write(source.join(path), old + "more");
        }
        Step::Touch(path, secs) => {
            filetime::set_file_mtime(
                source.join(path),
                filetime::FileTime::from_unix_time((*secs).into(), 0),
            )
            .ok();
        }
        Step::Mode(path, executable) => {
            let mode = if *executable { 0o755 } else { 0o644 };
            if source.join(path).is_file() {
                fs::set_permissions(source.join(path), fs::Permissions::from_mode(mode)).ok();
            }
        }
        Step::Link(path, target) => drop(symlink(target, source.join(path))),
        Step::Remove(path) => remove(&source.join(path)),
        Step::Rename(from, to) => drop(fs::rename(source.join(from), source.join(to))),
        Step::Folder(path) => drop(fs::create_dir_all(source.join(path))),
        Step::Anew(path) => {
            remove(&source.join(path));
            write(source.join(path).join("one"), "1".to_owned());
        }
        Step::Root => {
            remove(source);
            write(source.join("a/one"), "source/a/one".to_owned());
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a", "b", "a-b", "one", "two", "no"]);
    let path = move || prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    prop_oneof![
        8 => (path(), 0..4u8).prop_map(|(path, text)| Step::Write(path, text)),
        3 => path().prop_map(Step::Append),
        2 => (path(), 1..4u32).prop_map(|(path, secs)| Step::Touch(path, secs)),
        2 => (path(), any::<bool>()).prop_map(|(path, executable)| Step::Mode(path, executable)),
        2 => (path(), prop::sample::select(vec!["one", "b", "../../.."])).prop_map(|(p, t)| Step::Link(p, t)),
        3 => path().prop_map(Step::Remove),
        4 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => path().prop_map(Step::Folder),
        3 => path().prop_map(Step::Anew),
        1 => Just(Step::Root),
    ]
}

/// The action after some steps.
#[derive(Clone, Debug)]
enum Then {
    Publish,
    Rehash,
    GiveUp,
    RollBack,
    Other(u8),
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        6 => Just(Then::Publish),
        1 => Just(Then::Rehash),
        2 => Just(Then::GiveUp),
        1 => Just(Then::RollBack),
        1 => any::<u8>().prop_map(Then::Other),
    ]
}

/// Accepts problems of a plan as well as a tree.
fn bearable<T>(done: Result<T>) -> std::result::Result<(), TestCaseError> {
    match done {
        Ok(_) | Err(Error::BadPlan { .. }) => Ok(()),
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_remembered_is_what_is_there(
        rounds in prop::collection::vec((prop::collection::vec(step(), 0..5), then()), 1..12)
    ) {
        let mut place = Place::new();
        bearable(place.publish(&StageOptions::default(), true))?;
        for (steps, then) in rounds {
            steps.iter().for_each(|step| take(step, &place.source()));
            let rehash = StageOptions::default().rehash();
            bearable(match then {
                Then::Publish => place.publish(&StageOptions::default(), true),
                Then::Rehash => place.publish(&rehash, true),
                Then::GiveUp => place.publish(&StageOptions::default(), false),
                Then::RollBack => {
                    // There may be no older generation.
                    let done = [&place.with, &place.without].map(|store| store.rollback(1, MarkLeft::Unchanged).is_ok());
                    prop_assert_eq!(done[0], done[1]);
                    place.publish(&StageOptions::default(), true)
                }
                Then::Other(text) => {
                    for store in [&place.with, &place.without] {
                        let source = Source::Bytes(vec![text]);
                        let plan = Plan::builder().file("a/one", source).build().unwrap();
                        let staged = store.stage(&plan, StageOptions::default()).unwrap();
                        drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
                    }
                    place.publish(&StageOptions::default(), true)
                }
            })?;
        }
    }
}

/// Returns the tree of a scan for which no change is reported.
fn told_nothing(place: &mut Place) -> genstore::tree::TreeId {
    let plan = place.memory.scan(|_| true).unwrap();
    place.with.stage(&plan, StageOptions::default()).unwrap().tree().id()
}

#[test]
fn what_is_not_told_is_not_looked_at() {
    let mut place = Place::new();
    let first = place.publish(&StageOptions::default(), true).unwrap().unwrap();
    fs::write(place.source().join("a/one"), "source/a/ONE").unwrap();
    assert_eq!(told_nothing(&mut place), first.tree, "not even its times");
    let second = place.publish(&StageOptions::default(), true).unwrap().unwrap();
    assert_ne!(second.tree, first.tree);
    fs::write(place.source().join("a/new"), "1").unwrap();
    assert_eq!(told_nothing(&mut place), second.tree);
    // Another generation has no index of these files, so each is checked.
    fs::remove_file(place.source().join("a/new")).unwrap();
    fs::write(place.source().join("a/one"), "source/a/one").unwrap();
    drop(place.with.rollback(1, MarkLeft::Unchanged).unwrap());
    assert_eq!(told_nothing(&mut place), first.tree);
}

#[test]
fn what_was_refused_is_looked_at_as_long_as_it_is_not_published() {
    let mut place = Place::new();
    let first = place.publish(&StageOptions::default(), true).unwrap().unwrap();
    fs::write(place.source().join("a/one"), "source/a/ONE").unwrap();
    place.publish(&StageOptions::default(), false).unwrap();
    // Reported once, and then not published.
    let second = told_nothing(&mut place);
    assert_ne!(second, first.tree);
    symlink("/", place.source().join("bad")).unwrap();
    let error = place.publish(&StageOptions::default(), true).unwrap_err();
    assert!(matches!(error, Error::BadPlan { .. }), "{error}");
    assert!(matches!(place.memory.scan(|_| true), Err(Error::BadPlan { .. })), "it is there still");
    fs::remove_file(place.source().join("bad")).unwrap();
    assert_eq!(place.publish(&StageOptions::default(), true).unwrap().unwrap().tree, second);
}

#[test]
fn the_index_speaks_of_files_that_were_written_anew_with_the_same_bytes() {
    let mut place = Place::new();
    let mut publish = |path: &str, text: &str| {
        fs::write(place.source().join(path), text).unwrap();
        place.publish(&StageOptions::default(), true).unwrap().unwrap().changed
    };
    assert!(publish("a/one", "1"));
    // Nothing is committed, so no index describes the present file.
    assert!(!publish("a/one", "1"));
    assert!(publish("top", "2"));
    assert!(publish("top", "3"));
}
