//! Mirrors that show removed files for some time (`ViewOptions::keep_removed`).

use genstore::view::ViewChange;

use super::*;

const START: u64 = 1_000_000;
const HOUR: u64 = 3600;

/// A store with a mirror `site` beside it.
struct Carrying {
    dir: TempDir,
    store: Store,
    now: Arc<AtomicU64>,
}

impl Carrying {
    fn new(copy: bool, first: &str) -> Carrying {
        let dir = scratch();
        let (store, now) = with_clock(dir.path(), START);
        let carrying = Carrying { dir, store, now };
        carrying.publish(0, first);
        let mut options = ViewOptions::mirror().keep_removed(Duration::from_secs(HOUR));
        options.copy = copy;
        drop(carrying.store.add_view(&carrying.site(), &options).unwrap());
        carrying
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// Publishes some seconds after the start, and checks that nothing was warned of.
    fn publish(&self, after: u64, files: &str) {
        self.now.store(START + after, Ordering::Relaxed);
        let done = commit(&self.store, &plan_of(&words(files))).unwrap();
        assert_eq!(done.warnings, [], "{files}");
    }

    /// Checks the files of the mirror.
    #[track_caller]
    fn shows(&self, expected: &str) {
        let found = without_mtimes(&read_tree(&self.site()).unwrap());
        assert_eq!(found, without_mtimes(&things(0, &words(expected))));
        let view = &self.store.views().unwrap()[0];
        assert_eq!(view.state, ViewState::Ok);
    }
}

#[test]
fn removed_files_stay_for_their_time_and_pages_do_not() {
    for copy in [false, true] {
        let it = Carrying::new(copy, "a.html=1 app-1.js=one deep/er/chunk-1.js=one index.html=1 same=same");
        it.publish(60, "app-2.js=two index.html=2 same=same");
        it.shows("app-1.js=one app-2.js=two deep/er/chunk-1.js=one index.html=2 same=same");
        // 59 minutes and 59 seconds after generation 1 ceased to be current, and one second later.
        it.publish(60 + HOUR - 1, "app-3.js=three index.html=3 same=same");
        it.shows("app-1.js=one app-2.js=two app-3.js=three deep/er/chunk-1.js=one index.html=3 same=same");
        it.publish(60 + HOUR, "app-4.js=four index.html=4 same=same");
        it.shows("app-2.js=two app-3.js=three app-4.js=four index.html=4 same=same");
        assert!(!it.site().join("deep").exists(), "folders without files are removed");
    }
}

#[test]
fn the_newest_content_of_a_removed_file_stays() {
    let it = Carrying::new(false, "chunk=1 n=1");
    it.publish(1, "chunk=2 n=2");
    it.publish(2, "n=3");
    it.shows("chunk=2 n=3");
    // It comes back with other content, and is removed again.
    it.publish(3, "chunk=4 n=4");
    it.shows("chunk=4 n=4");
    it.publish(4, "n=5");
    it.shows("chunk=4 n=5");
}

#[test]
fn current_wins_where_files_and_folders_collide() {
    let it = Carrying::new(false, "a/x=1 b=1 c/d=1 n=1");
    it.publish(1, "a=2 b/y=2 c/e=2 n=2");
    it.shows("a=2 b/y=2 c/d=1 c/e=2 n=2");
    // Of two that are gone, the newer one.
    it.publish(2, "n=3");
    it.shows("a=2 b/y=2 c/d=1 c/e=2 n=3");
}

#[test]
fn a_rollback_keeps_the_files_of_what_it_leaves() {
    let it = Carrying::new(false, "app-1.js=one");
    it.publish(1, "app-2.js=two");
    let done = it.store.rollback(1, MarkLeft::Bad).unwrap();
    assert_eq!(done.warnings, []);
    it.shows("app-1.js=one app-2.js=two");
}

#[test]
fn what_gc_removed_is_not_shown_any_more() {
    let it = Carrying::new(false, "app-1.js=one");
    it.publish(1, "app-2.js=two");
    it.publish(2, "app-3.js=three");
    it.shows("app-1.js=one app-2.js=two app-3.js=three");
    // The last two generations, and nothing of the grace.
    it.now.store(START + HOUR / 2, Ordering::Relaxed);
    drop(collect(&it.store, 2));
    it.publish(HOUR / 2, "app-4.js=four");
    it.shows("app-2.js=two app-3.js=three app-4.js=four");
}

/// Damage to an earlier generation costs its removed files, and not the update.
#[test]
fn a_damaged_earlier_generation_stops_no_update() {
    let it = Carrying::new(false, "app-1.js=one b-1.js=one");
    it.publish(1, "app-2.js=two");
    it.shows("app-1.js=one app-2.js=two b-1.js=one");
    fs::remove_file(it.store.path().join("generations/1/tree/b-1.js")).unwrap();
    it.publish(2, "app-3.js=three");
    it.shows("app-1.js=one app-2.js=two app-3.js=three");
    fs::write(it.store.path().join("generations/1/manifest"), "damage").unwrap();
    it.publish(3, "app-4.js=four");
    it.shows("app-2.js=two app-3.js=three app-4.js=four");
}

/// Neither of an earlier generation nor of the current one, which is then an earlier one for the mirror.
#[test]
fn a_forgotten_file_is_not_shown() {
    let it = Carrying::new(false, "app-1.js=one leak-1=leak");
    let forget = |text: &str| {
        let done = it.store.forget(&BTreeSet::from([Digest::of(text.as_bytes())])).unwrap();
        assert_eq!((done.warnings, done.left), (vec![], vec![]));
    };
    it.publish(1, "app-2.js=two");
    it.shows("app-1.js=one app-2.js=two leak-1=leak");
    // Generation 1 is removed with it.
    forget("leak");
    it.shows("app-2.js=two");
    it.publish(2, "app-3.js=three leak-3=more");
    forget("more");
    it.shows("app-2.js=two app-3.js=three");
}

#[test]
fn another_time_is_another_view() {
    let it = Carrying::new(false, "app-1.js=one");
    it.publish(1, "app-2.js=two");
    let add = |options: &ViewOptions| it.store.add_view(&it.site(), options).unwrap();
    let added = add(&ViewOptions::mirror().keep_removed(Duration::from_secs(HOUR)));
    assert_eq!(added.change, ViewChange::Unchanged);
    assert_eq!(added.view.keep_removed, Some(Duration::from_secs(HOUR)));
    assert!(added.view.command().ends_with("/site --as mirror --keep-removed 3600s"));
    let added = add(&ViewOptions::mirror());
    assert_eq!((added.change, added.view.keep_removed), (ViewChange::Retargeted, None));
    it.shows("app-2.js=two");
}
