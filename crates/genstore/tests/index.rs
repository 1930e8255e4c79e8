//! The index: unchanged files are not read again, and no change is missed.

use crate::prelude::*;

const BIG: usize = 4 << 20;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(scratch());
        write_tree(
            &place.source(),
            &things(1_000, &[("d/a", "=one"), ("d/b", "=two"), ("empty", "="), ("x", "!x")]),
        );
        fs::write(place.source().join("big"), vec![7; BIG]).unwrap();
        place.settle();
        place
    }

    fn source(&self) -> PathBuf {
        self.0.path().join("source")
    }

    fn index(&self, generation: u64) -> PathBuf {
        self.0.path().join(format!("store/generations/{generation}/index"))
    }

    fn open(&self) -> Store {
        Store::init(&self.0.path().join("store"), Options::new(Arc::new(|| at(2_000_000)))).unwrap().store
    }

    fn publish(&self) -> Publication {
        self.publish_with(StageOptions::default())
    }

    fn publish_with(&self, options: StageOptions) -> Publication {
        let store = self.open();
        let plan = Plan::scan(&self.source(), &ScanRules::default()).unwrap();
        let done =
            store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap();
        let shown = read_tree(&self.0.path().join("store/current")).unwrap();
        assert!(same_content(&shown, &read_tree(&self.source()).unwrap()), "current is not the source");
        done
    }

    fn settle(&self) {
        settle(self.0.path());
    }
}

fn write(path: &Path, text: &str, mtime: SystemTime) {
    fs::write(path, text).unwrap();
    fs::File::options().append(true).open(path).unwrap().set_modified(mtime).unwrap();
}

#[test]
fn what_did_not_change_is_not_read() {
    let place = Place::new();
    assert!(place.publish().changed);
    let plan = || Plan::scan(&place.source(), &ScanRules::default()).unwrap();
    let stage = |options| drop(place.open().stage(&plan(), options).unwrap());
    assert!(bytes_read(|| stage(StageOptions::default())) < BIG / 2, "the big file was read");
    assert!(!place.publish().changed);
    let all = StageOptions::default().rehash();
    assert!(bytes_read(|| stage(all)) >= BIG, "with `rehash` all is read");
    // The next generation has an index, too, which includes the files that it did not read.
    fs::write(place.source().join("d/a"), "changed").unwrap();
    place.settle();
    assert_eq!(place.publish().diff.modified, 1);
    assert!(bytes_read(|| stage(StageOptions::default())) < BIG / 2);
    // After a rollback, the old index is valid for files that are as they were then.
    drop(place.open().rollback(1, MarkLeft::Unchanged).unwrap());
    assert!(bytes_read(|| stage(StageOptions::default())) < BIG / 2);
    assert_eq!(place.publish().generation.get(), 3);
    // Without it, everything is read again.
    fs::remove_file(place.index(3)).unwrap();
    assert!(bytes_read(|| stage(StageOptions::default())) >= BIG);
    assert_clean(&place.open());
}

#[test]
fn what_an_incremental_builder_links_is_not_read() {
    let place = Place::new();
    assert!(place.publish().changed);
    let store = place.open();
    let build = || {
        let stage = store.begin().unwrap();
        for name in ["big", "x"] {
            fs::hard_link(place.0.path().join("store/current").join(name), stage.path().join(name))
                .unwrap();
        }
        stage
    };
    let (stage, all) = (build(), build());
    let seal = |stage: genstore::publish::Stage<'_>, options| {
        drop(stage.seal(&ScanRules::default(), options).unwrap())
    };
    assert!(bytes_read(|| seal(stage, StageOptions::default())) < BIG / 2, "the linked file was read");
    assert!(bytes_read(|| seal(all, StageOptions::default().rehash())) >= BIG);
    // If it was written through, it is read.
    let stage = build();
    fs::write(stage.path().join("big"), vec![8; BIG]).unwrap();
    let staged = stage.seal(&ScanRules::default(), StageOptions::default()).unwrap();
    let Some(genstore::tree::Node::File(file)) = staged.tree().find(b"big") else { panic!("it is a file") };
    assert_eq!(file.digest, Digest::of(&vec![8; BIG]));
}

#[test]
fn no_change_is_missed() {
    let place = Place::new();
    let file = place.source().join("d/a");
    let mtime = fs::metadata(&file).unwrap().modified().unwrap();
    assert!(place.publish().changed);
    let check = |what: &str, modified: u64| {
        let done = place.publish();
        assert_eq!((done.changed, done.diff.modified), (true, modified), "{what}");
        place.settle();
    };
    write(&file, "ONE", mtime);
    check("as many bytes, and the mtime set back", 1);
    write(&place.0.path().join("other"), "eno", mtime);
    fs::rename(place.0.path().join("other"), &file).unwrap();
    check("another inode of this size and mtime", 1);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    check("the executable bit", 1);
    fs::remove_file(place.source().join("x")).unwrap();
    fs::rename(place.source().join("d/b"), place.source().join("x")).unwrap();
    fs::write(place.source().join("d/b"), "two").unwrap();
    check("a file at another's path", 1);
    // Written within one tick of the file clock: it is read again whatever its stat values are.
    let mut unknown = 0;
    for round in 0..50 {
        write(&file, &format!("{round:03}"), mtime);
        let done = place.publish();
        assert!(done.changed, "{round}");
        // After the frame, the tree and the filesystem: 32 bytes per file, inode first.
        let index = fs::read(place.index(done.generation.get())).unwrap();
        unknown += index[88 + 48..].chunks(32).filter(|stat| stat[..8] == [0; 8]).count();
    }
    assert!(unknown > 10, "files written within one tick are not indexed: {unknown}");
    assert!(!place.publish().changed);
}

#[test]
fn a_damaged_index_is_not_believed() {
    let place = Place::new();
    assert!(place.publish().changed);
    let good = fs::read(place.index(1)).unwrap();
    assert!(good.len() > 88 + 5 * 32);
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        fs::write(place.index(1), &bytes).unwrap();
        assert!(!place.publish().changed, "byte {at}");
        fs::write(place.index(1), &good[..at]).unwrap();
        assert!(!place.publish().changed, "cut at {at}");
    }
    // An index of another tree is ignored.
    fs::write(place.source().join("new"), "new").unwrap();
    assert!(place.publish().changed);
    fs::write(place.index(2), &good).unwrap();
    assert!(!place.publish().changed);
    assert_clean(&place.open());
}

#[test]
fn what_the_store_lost_is_read_again() {
    let place = Place::new();
    assert!(place.publish().changed);
    let hex = Digest::of(b"two").to_string();
    let object = place.0.path().join("store/objects").join(&hex[..2]).join(&hex[2..]);
    fs::remove_file(&object).unwrap();
    let mended = place.publish();
    assert_eq!((mended.changed, mended.healed), (false, 1));
    assert!(object.exists());
    // If root writes through an object, its metadata differ from the record, whatever the index says.
    fs::write(&object, "TWO").unwrap();
    assert_eq!(place.publish().healed, 1);
    assert_clean(&place.open());
}
