//! Mounts inside the store while a verb is interrupted or fails at every step, and generations that
//! cannot be renamed.

use std::ffi::OsStr;

use super::{child, keep_one, open};
use crate::prelude::*;

/// The verb that runs beside a mount, and fails at each of its steps.
pub(super) fn act(verb: &str, dir: &Path, faults: Faults) -> genstore::Result<()> {
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults;
    let store = Store::init(&dir.join("store"), options)?.store;
    let recycle = StageOptions::default().recycle(keep_one());
    match verb {
        "publish kept" => {
            let plan = Plan::scan(&dir.join("dist"), &ScanRules::default())?;
            let staged = store.stage(&plan, StageOptions::default())?;
            staged.unaudited().commit(&CommitOptions::default()).map(drop)
        }
        "gc" => store.collect(&store.plan_gc(&keep_one())?).map(drop),
        "rollback" => store.rollback(1, MarkLeft::Unchanged).map(drop),
        _ => {
            let plan = Plan::scan(&dir.join("dist"), &ScanRules::default())?;
            store.stage(&plan, recycle)?.unaudited().commit(&CommitOptions::default()).map(drop)
        }
    }
}

/// Prepares a place with three generations and a stage whose claim is over, with mounts in all except
/// the current one; and the tree of a fourth.
fn prepare_mounts(dir: &Path, outside: &Path) {
    let publish = |content: &str| {
        let content = format!("={content}");
        write_tree(&dir.join("dist"), &things(1_000, &[("a", &content), ("b/c", "=c"), ("b/same", "=c")]));
        act("publish", dir, Faults::default()).unwrap();
    };
    fs::create_dir(dir).unwrap();
    let store = genstore_testkit::open(&dir.join("store"), Faults::default());
    publish("1");
    // No two of them are ever recycled: each contains a mount.
    bind(outside, &dir.join("store/generations/1/tree/b"));
    publish("2");
    let uploads = dir.join("store/generations/2/tree/uploads");
    fs::create_dir(&uploads).unwrap();
    bind(outside, &uploads);
    publish("3");
    let stage = store.begin().unwrap();
    let deep = stage.path().join("deep");
    fs::create_dir(&deep).unwrap();
    drop(stage.leave_to(Owner::Until(at(4_000))).unwrap());
    bind(outside, &deep);
    write_tree(&dir.join("dist"), &things(900, &[("a", "=4"), ("b/c", "=other")]));
}

/// INV-17.
#[test]
fn nothing_outside_changes_wherever_it_is_cut_or_fails() {
    needs!(in_own_mounts(nothing_outside_changes_wherever_it_is_cut_or_fails));
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("outside"));
    // Staging is tried at every step without mounts, by `crash`.
    let kinds = |verb| if verb == "gc" { &KINDS[..2] } else { &KINDS[1..2] };
    for verb in ["gc", "publish", "rollback"] {
        let points = count_down(&format!("{verb} beside mounts"), kinds(verb), 1, |fault, what| {
            let place = dir.path().join("broken");
            prepare_mounts(&place, outside.path());
            let task = Task::new(child, &place, &[verb]);
            let end = fault.meet(&task, |faults| act(verb, &place, faults));
            outside.check(what);
            // No user is kept out, and nothing is lost once it is unmounted.
            act("publish", &place, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
            act("gc", &place, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
            outside.check(what);
            assert_eq!(names(&place.join("store/generations")).len(), 1, "{what}");
            unmount_below(&place);
            act("gc", &place, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
            let store = genstore_testkit::open(&place.join("store"), Faults::default());
            assert_clean_for(&store, what);
            assert_eq!(debris(store.path()), [""; 0], "{what}");
            assert_eq!(fs::read(place.join("store/current/a")).unwrap(), b"4", "{what}");
            fs::remove_dir_all(&place).unwrap();
            end
        });
        assert!(points.iter().all(|&count| count > 5), "{verb}: {points:?}");
    }
}

#[test]
fn a_generation_that_cannot_be_renamed_is_whole_or_off_the_list() {
    needs!(in_own_mounts(a_generation_that_cannot_be_renamed_is_whole_or_off_the_list));
    let dir = scratch();
    let lower = dir.path().join("lower");
    fs::create_dir(&lower).unwrap();
    for content in ["=1", "=2", "=3"] {
        write_tree(&lower.join("dist"), &things(1_000, &[("a", content), ("b/c", "=c"), ("v", "/")]));
        act("publish kept", &lower, Faults::default()).unwrap();
    }
    let points = count_down("gc on overlayfs", &KINDS[..3], 1, |fault, what| {
        let (upper, place) = (dir.path().join("upper"), dir.path().join("merged"));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&place).unwrap();
        overlay(&lower, &upper, &place);
        let end = fault.meet(&Task::new(child, &place, &["gc"]), |faults| act("gc", &place, faults));
        // Every listed generation is complete, before the next writer and after it.
        let store = genstore_testkit::open(&place.join("store"), Faults::default());
        for listed in store.list().unwrap().generations {
            let generation = store.open_generation(&genstore::Rev::Number(listed.id)).unwrap();
            assert!(read_tree(&generation.path()).unwrap().contains_key("b/c"), "{what}: {}", listed.id);
        }
        assert_eq!(store.list().unwrap().damaged, [], "{what}");
        act("gc", &place, Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(names(&place.join("store/generations")), ["3"], "{what}");
        assert_eq!(debris(store.path()), [""; 0], "{what}");
        assert_clean_for(&store, what);
        drop(store);
        unmount(&place);
        fs::remove_dir_all(&upper).unwrap();
        fs::remove_dir(&place).unwrap();
        end
    });
    assert!(points.iter().all(|&count| count > 10), "{points:?}");
}

/// Mounts an overlay in which directories of the lower layer cannot be renamed.
fn overlay(lower: &Path, upper: &Path, at: &Path) {
    let (up, work) = (upper.join("up"), upper.join("work"));
    fs::create_dir(&up).unwrap();
    fs::create_dir(&work).unwrap();
    let [lower, up, work] = [lower, &up, &work].map(|path| path.display());
    let layers = format!("lowerdir={lower},upperdir={up},workdir={work},redirect_dir=off");
    mount(
        &["-t", "overlay", "none", "-o", &layers]
            .map(OsStr::new)
            .into_iter()
            .chain([at.as_os_str()])
            .collect::<Vec<_>>(),
    );
}
#[test]
fn a_store_in_a_lower_layer_of_overlayfs_is_collected_and_recycled() {
    needs!(in_own_mounts(a_store_in_a_lower_layer_of_overlayfs_is_collected_and_recycled));
    let recycle = StageOptions::default().recycle(keep_one());
    for way in [StageOptions::default(), recycle] {
        let dir = scratch();
        for name in ["lower", "upper", "merged"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let publish = |place: &Path, content: &str, options: StageOptions| {
            let store = open(place);
            write_tree(
                &place.join("dist"),
                &things(1_000, &[("a", &format!("={content}")), ("b/c", "=c")]),
            );
            let plan = Plan::scan(&place.join("dist"), &ScanRules::default()).unwrap();
            store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap()
        };
        let lower = dir.path().join("lower");
        for content in ["1", "2", "3"] {
            drop(publish(&lower, content, StageOptions::default()));
        }
        let store = open(&lower);
        let failed = store.begin().unwrap().fail("exit status 1", KeepFailed::default()).unwrap();
        drop((store, failed));
        let merged = dir.path().join("merged");
        overlay(&lower, &dir.path().join("upper"), &merged);
        let done = publish(&merged, "4", way);
        assert_eq!((done.generation.get(), done.recycled), (4, None), "{done:?}");
        let store = open(&merged);
        let keep = KeepFailed::default().count(1).bytes(1 << 30);
        assert_eq!(store.begin().unwrap().fail("exit status 1", keep).unwrap().left, []);
        assert_eq!(names(&merged.join("store/failed")), ["2"]);
        let plan = store.plan_gc(&keep_one()).unwrap();
        let done = store.collect(&plan).unwrap();
        assert_eq!((done.generations.len(), &*done.left), (3, &[][..]));
        assert_eq!(names(&merged.join("store/generations")), ["4"]);
        assert_eq!(debris(store.path()), [""; 0]);
        assert_clean(&store);
    }
}
