//! Root in a store of another user: everything that root creates belongs to the store's owner, who can
//! continue afterwards, even if root was killed. Needs root, except the test of set-group-id folders.

mod shared;
mod told;

use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;

use genstore::Audience;
use genstore::plan::PlanBuilder;

use crate::prelude::*;

/// Ids that no system assigns by itself.
const USER: u32 = 61_001;
const GROUP: u32 = 61_000;

/// The environment variable for a child of this program: a folder to work in, as the user.
const AS_USER: &str = "GENSTORE_OWNERS_AS_USER";

fn open(place: &Path, faults: Faults) -> Store {
    let mut options = options(faults);
    options.lock_timeout = Duration::from_secs(5);
    Store::init(&place.join("store"), options).unwrap().store
}

fn plan(text: &str) -> PlanBuilder {
    let bytes = |text: &str| Source::Bytes(text.as_bytes().to_vec());
    let plan = Plan::builder().file("a", bytes(text)).file("empty", bytes("")).dir("hollow");
    let plan = plan.symlink("link", "a");
    (0..8).fold(plan, |plan, n| {
        let path = format!("d{}/{n}", n % 3);
        let source = bytes(&if n < 6 { format!("same {n}") } else { format!("{text} {n}") });
        if n == 0 { plan.executable(path, source) } else { plan.file(path, source) }
    })
}

/// Publishes, and recycles a generation beyond the newest `keep`, if there is one.
fn publish(store: &Store, text: &str, keep: usize) -> Publication {
    let retention = Retention::only_last(keep);
    let options = StageOptions::default().recycle(retention);
    let plan = plan(text).build().unwrap();
    store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap()
}

fn collect(store: &Store) {
    drop(genstore_testkit::collect(store, 1).unwrap());
}

/// All acts that create files, by name.
fn act(name: &str, store: &Store, place: &Path) {
    match name {
        "publish" => drop(publish(store, "new", 9)),
        "recycle" => {
            let published = publish(store, "new", 1);
            assert!(published.recycled.is_some(), "there is one to recycle");
        }
        "rollback" => drop(store.rollback(1, MarkLeft::Bad).unwrap()),
        "gc" => collect(store),
        "notes" => {
            store.pin(&"1".parse().unwrap(), &"p".parse().unwrap(), None, None).unwrap();
            store.mark(&"1".parse().unwrap(), Mark::Bad, None).unwrap();
        }
        "stage" => {
            let stage = store.begin().unwrap();
            fs::write(stage.path().join("new"), "bytes that are moved in").unwrap();
            fs::create_dir(stage.path().join("folder")).unwrap();
            fs::write(stage.path().join("folder/f"), "and more of them").unwrap();
            drop(stage.log().unwrap());
            let staged = stage.seal(&ScanRules::default(), StageOptions::default()).unwrap();
            drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
        }
        "failed" => {
            let stage = store.begin().unwrap();
            fs::write(stage.path().join("new"), "1").unwrap();
            drop(stage.log().unwrap());
            drop(stage.fail("exit status 1", Default::default()).unwrap());
        }
        "left" => drop(store.begin().unwrap().leave_to(Owner::Until(at(9_000))).unwrap()),
        "views" => {
            let link = ViewOptions::default();
            let mirror = ViewOptions::mirror();
            let copy = mirror.clone().copy();
            drop(store.add_view(&place.join("made/for/link"), &link.parents()).unwrap());
            drop(store.add_view(&place.join("mirror"), &mirror).unwrap());
            drop(store.add_view(&place.join("copy"), &copy).unwrap());
            drop(publish(store, "for the mirrors", 9));
        }
        "export" => {
            let generation = store.open_generation(&"1".parse().unwrap()).unwrap();
            store.export(&generation, &place.join("exported")).unwrap();
        }
        "repair" => {
            let object = &objects(store.path())[0];
            fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(object, "damage").unwrap();
            drop(store.repair().unwrap());
        }
        _ => panic!("{name}"),
    }
}

const ACTS: [&str; 11] = [
    "publish", "recycle", "rollback", "gc", "notes", "stage", "failed", "left", "views", "export", "repair",
];

/// Makes a folder of the user's with a store of the user's, with two generations.
fn user_place() -> TempDir {
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(dir.path(), Faults::default());
    for text in ["one", "two", "three"] {
        drop(publish(&store, text, 9));
    }
    give_all(dir.path());
    dir
}

/// Changes the owner of a folder with everything below it to the user.
fn give_all(dir: &Path) {
    for path in all(dir) {
        lchown(path, Some(USER), Some(GROUP)).unwrap();
    }
}

/// Lists a folder and everything below it, through no symlink.
fn all(dir: &Path) -> Vec<PathBuf> {
    std::iter::once(dir.to_owned()).chain(below(dir)).collect()
}

/// Lists the paths that do not belong to the user.
fn foreign(dir: &Path) -> Vec<PathBuf> {
    let is_foreign = |path: &PathBuf| {
        let meta = path.symlink_metadata().unwrap();
        (meta.uid(), meta.gid()) != (USER, GROUP)
    };
    all(dir).into_iter().filter(is_foreign).collect()
}

/// Runs the user's next commands in a place: publish, recycle, roll back, collect, verify.
fn user_goes_on(place: &Path, what: &str) {
    as_user(place, what, None);
}

fn as_user(place: &Path, what: &str, also: Option<&str>) {
    let words = itself(child);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env(AS_USER, place)
        .envs(also.map(|name| (name, "1")))
        .current_dir("/")
        .uid(USER)
        .gid(GROUP)
        .output();
    let output = output.unwrap_or_else(|e| panic!("cannot run this program as another user: {e}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("the user went on"), "{what}: {text}");
}

/// Not a test: the code of the children.
#[test]
fn child() {
    if let Some(words) = std::env::var_os(shared::AS_MEMBER) {
        shared::member_acts(&words.into_string().unwrap());
    } else if let Some((place, words, faults)) = child_task() {
        act(&words[0], &open(&place, faults), &place);
    } else if let Some(place) = std::env::var_os(AS_USER).filter(|_| std::env::var_os(STUCK).is_some()) {
        user_collects(&open(Path::new(&place), Faults::default()));
    } else if let Some(place) = std::env::var_os(AS_USER).filter(|_| std::env::var_os(LOCKED).is_some()) {
        user_goes_past_what_is_locked(&open(Path::new(&place), Faults::default()));
    } else if let Some(place) = std::env::var_os(AS_USER) {
        assert_eq!(rustix::process::geteuid().as_raw(), USER);
        let store = open(Path::new(&place), Faults::default());
        // The same bytes first: root's unfinished files are in the way, or are used.
        assert_eq!(other_warnings(publish(&store, "new", 9).warnings), []);
        for text in ["four", "five", "six"] {
            let published = publish(&store, text, 1);
            assert_eq!((published.changed, other_warnings(published.warnings)), (true, vec![]), "{text}");
        }
        drop(store.rollback(1, MarkLeft::Bad).unwrap());
        let current = store.current().unwrap().unwrap();
        store.pin(&current.to_string().parse().unwrap(), &"user".parse().unwrap(), None, None).unwrap();
        collect(&store);
        assert_clean(&store);
        println!("the user went on");
    }
}

/// Leaves out the warning about foreign names: a folder that root had created, and whose owner it had
/// not changed yet when it was killed.
fn other_warnings(mut warnings: Vec<genstore::Warning>) -> Vec<genstore::Warning> {
    warnings.retain(|warning| !warning.message.contains("do not belong to the owner of the store"));
    warnings
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_store() {
    needs!(is_root());
    for name in ACTS {
        let place = user_place();
        act(name, &open(place.path(), Faults::default()), place.path());
        assert_eq!(foreign(place.path()), [""; 0].map(PathBuf::from), "{name}");
        user_goes_on(place.path(), name);
    }
}

#[test]
fn a_store_that_root_makes_belongs_to_the_owner_of_the_folder() {
    needs!(is_root());
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    lchown(dir.path(), Some(USER), Some(GROUP)).unwrap();
    let store = open(dir.path(), Faults::default());
    drop(publish(&store, "one", 9));
    assert_eq!(foreign(dir.path()), [""; 0].map(PathBuf::from));
    user_goes_on(dir.path(), "a new store");
}

/// Root in its own store makes no additional calls, and no owner changes.
#[test]
fn roots_own_store_stays_roots() {
    needs!(is_root());
    let dir = scratch();
    let faults = Faults::record();
    let store = open(dir.path(), faults.clone());
    drop(publish(&store, "one", 9));
    let seen = faults.seen();
    assert!(!seen.is_empty() && !seen.iter().any(|call| call.starts_with("chown")), "{seen:#?}");
}

#[test]
fn the_user_goes_on_wherever_root_was_killed() {
    needs!(is_root());
    for name in ["publish", "failed"] {
        let original = user_place();
        // The first file of this kind, so that the creation of the log is interrupted, too.
        fs::remove_file(original.path().join("store/log")).unwrap();
        let mut steps = 0;
        for step in 1.. {
            let dir = scratch();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let place = dir.path().join("place");
            copy_exactly(original.path(), &place);
            let task = Task::new(child, &place, &[name]);
            if !kill_at(step, &task) {
                break;
            }
            steps = step;
            user_goes_on(&place, &format!("{name}, root killed at step {step}"));
        }
        println!("{name}: {steps} steps");
        assert!(steps > 10, "{name}: {steps}");
    }
}

/// The next command of root changes the owner of the files that an earlier one left.
#[test]
fn root_gives_back_what_it_finds_as_its_own() {
    needs!(is_root());
    let place = user_place();
    let log = place.path().join("store/log");
    lchown(&log, Some(0), Some(0)).unwrap();
    act("publish", &open(place.path(), Faults::default()), place.path());
    assert_eq!(log.metadata().unwrap().uid(), USER);
}

/// A file with a second name may be any file: it keeps its owner.
#[test]
fn root_gives_away_nothing_that_has_a_second_name() {
    needs!(is_root());
    let place = user_place();
    let (log, other) = (place.path().join("store/log"), place.path().join("other"));
    lchown(&log, Some(0), Some(0)).unwrap();
    fs::hard_link(&log, &other).unwrap();
    act("publish", &open(place.path(), Faults::default()), place.path());
    assert_eq!(other.metadata().unwrap().uid(), 0);
}

/// Set for a user who meets files that only root can remove.
const STUCK: &str = "GENSTORE_OWNERS_STUCK";

/// Generation 2, which would be recycled, cannot be moved. 1 and 3 are not affected.
fn user_collects(store: &Store) {
    let retention = Retention::only_last(1);
    let published = publish(store, "four", 1);
    assert!(published.changed && published.recycled.is_none() && published.warnings.is_empty());
    let id = |n: u64| GenerationId::new(n).unwrap();
    for _ in 0..2 {
        let done = store.collect(&store.plan_gc(&retention).unwrap()).unwrap();
        assert_eq!((done.stuck, done.spared), (vec![id(2)], vec![]));
        let left: Vec<_> = done.left.iter().map(|left| (left.path.clone(), left.why.as_str())).collect();
        let denied = "Permission denied (os error 13)";
        assert_eq!(left[0], (store.path().join("generations/2"), denied));
        assert_eq!(left.len(), 1, "{left:?}");
        let listed: Vec<u64> = store.list().unwrap().generations.iter().map(|g| g.id.get()).collect();
        assert_eq!(listed, [4, 2]);
        assert_clean(store);
    }
    println!("the user went on");
}

#[test]
fn a_generation_that_cannot_be_removed_is_named_and_keeps_nothing_else() {
    needs!(is_root());
    let place = user_place();
    lchown(place.path().join("store/generations/2"), Some(0), Some(0)).unwrap();
    as_user(place.path(), "a generation of root's", Some(STUCK));
    // With the necessary rights all of it is removed.
    let store = open(place.path(), Faults::default());
    let done = genstore_testkit::collect(&store, 1).unwrap();
    assert_eq!((done.generations.len(), done.left), (1, vec![]));
}

/// Set for a user who meets files that only root can read.
const LOCKED: &str = "GENSTORE_OWNERS_LOCKED";

/// Neither generation 2 nor two of the refused publications can be read.
fn user_goes_past_what_is_locked(store: &Store) {
    let denied = "Permission denied (os error 13)";
    let told = |left: &[genstore::error::Leftover]| -> Vec<(PathBuf, String)> {
        left.iter().map(|left| (left.path.clone(), left.why.clone())).collect()
    };
    let locked = |name: &str| (store.path().join(name), denied.to_owned());
    assert!(publish(store, "four", 1).changed);
    let objects = object_inodes(store.path());
    let retention = Retention::only_last(1);
    let id = |n: u64| GenerationId::new(n).unwrap();
    for _ in 0..2 {
        let plan = store.plan_gc(&retention).unwrap();
        assert_eq!(plan.objects(), 0, "its objects are unknown");
        let done = store.collect(&plan).unwrap();
        assert_eq!((done.stuck, done.objects), (vec![id(2)], 0));
        assert_eq!(told(&done.left), [locked("generations/2")]);
        let list = store.list().unwrap();
        assert_eq!(list.generations.iter().map(|one| one.id.get()).collect::<Vec<_>>(), [4]);
        assert_eq!(list.damaged.iter().map(|damaged| damaged.id.get()).collect::<Vec<_>>(), [2]);
    }
    assert_eq!(object_inodes(store.path()), objects);
    // Refused publications: the newest one is kept, and all others except those two are removed.
    for number in 3..6 {
        let keep = KeepFailed::default().count(1).bytes(1 << 30);
        let failed = store.begin().unwrap().fail("exit status 1", keep).unwrap();
        assert_eq!(failed.number, number);
        let left = told(&failed.left);
        assert!(left.contains(&locked("failed/1")), "{left:?}");
        assert!(
            left.iter().all(|(path, why)| why == denied && !path.starts_with(&failed.path)),
            "{left:?}"
        );
        assert_eq!(
            names(&store.path().join("failed")),
            ["1".to_owned(), "2".to_owned(), number.to_string()]
        );
    }
    println!("the user went on");
}

#[test]
fn what_cannot_be_read_is_named_and_keeps_its_objects() {
    needs!(is_root());
    let place = user_place();
    let store = open(place.path(), Faults::default());
    // A folder that may not be listed, and one whose files belong to another user.
    for mode in [0o700, 0o755] {
        let failed = store.begin().unwrap().fail("exit status 1", Default::default()).unwrap();
        fs::set_permissions(&failed.path, fs::Permissions::from_mode(mode)).unwrap();
        lchown(&failed.path, Some(0), Some(0)).unwrap();
    }
    let generation = place.path().join("store/generations/2");
    fs::set_permissions(&generation, fs::Permissions::from_mode(0o700)).unwrap();
    lchown(&generation, Some(0), Some(0)).unwrap();
    as_user(place.path(), "files that only root can read", Some(LOCKED));
    // It is complete, and with the necessary rights all of it is removed.
    fs::set_permissions(&generation, fs::Permissions::from_mode(0o755)).unwrap();
    assert_clean(&store);
    let done = genstore_testkit::collect(&store, 1).unwrap();
    assert_eq!((done.generations.len(), done.left), (1, vec![]));
    assert!(done.objects > 0);
}

/// If a tree to be recycled cannot be changed, the publish assembles its own instead.
#[test]
fn a_tree_that_cannot_be_changed_is_given_up_for_a_fresh_one() {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let chattr = |flag: &str, path: &Path| {
        Command::new("chattr").args(["-R", flag]).arg(path).stderr(std::process::Stdio::null()).status()
    };
    let store = open(dir.path(), Faults::default());
    for text in ["one", "two"] {
        drop(publish(&store, text, 9));
    }
    let folder = store.path().join("generations/1/tree/d1");
    if !chattr("+i", &folder).is_ok_and(|status| status.success()) {
        skip_on_this_machine("nothing can be made immutable here");
        return;
    }
    let published = publish(&store, "three", 1);
    let report = store.verify(None, Depth::Full).unwrap();
    drop(chattr("-i", dir.path()));
    assert_eq!((published.generation.get(), published.recycled.map(|id| id.get())), (3, Some(1)));
    assert!(report.is_clean(), "{report:#?}");
    // The next writer removes the rest of it.
    drop(publish(&store, "four", 9));
    assert_eq!(debris(store.path()), [""; 0]);
}
