//! The delta: a switch between neighbours has the same result with it, without it, and with a damaged
//! one.

use crate::prelude::*;

const OLD: &str = "d/a=one d/b=two empty= gone=gone kind>d/a keep=keep tool=tool";
const NEW: &str = "d/a=ONE d/b=two empty= kind=file keep=keep new=new tool!tool";
const NEWEST: &str = "d/a=ONE d/b=TWO keep=keep";

/// By path: the mtime, the number of links, and the paths that share the inode.
type Files = BTreeMap<String, (i64, i64, u64, Vec<String>)>;

/// A store in a folder that the test keeps, and the way of publishing.
struct Place(PathBuf, Way);

impl Place {
    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn open(&self, secs: u64) -> Store {
        Store::init(&self.store(), Options::new(Arc::new(move || at(secs)))).unwrap().store
    }

    fn publish(&self, secs: u64, tree: &str, options: &CommitOptions) {
        let source = self.0.join("source");
        write_tree(&source, &things(secs, &words(tree)));
        let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
        let staged = self.open(9_000).stage(&plan, self.1.staging()).unwrap().unaudited().commit(options);
        assert!(staged.unwrap().changed);
    }

    fn delta(&self, generation: u64) -> PathBuf {
        self.store().join(format!("generations/{generation}/delta"))
    }

    /// Returns everything in the generations that an activation changes: the published mtimes, and the
    /// files.
    fn state(&self) -> Vec<(Option<Vec<u8>>, Files)> {
        let mut inodes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut files = vec![];
        for generation in 1..=3 {
            let folder = self.store().join(format!("generations/{generation}"));
            let mut folders = vec![folder.join("tree")];
            while let Some(dir) = folders.pop() {
                for entry in fs::read_dir(dir).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    let meta = path.symlink_metadata().unwrap();
                    if meta.is_dir() {
                        folders.push(path);
                    } else {
                        let name = path.strip_prefix(self.store()).unwrap().display().to_string();
                        if meta.is_file() {
                            inodes.entry(meta.ino()).or_default().push(name.clone());
                        }
                        files.push((generation, name, meta));
                    }
                }
            }
        }
        inodes.values_mut().for_each(|names| names.sort());
        let mut all: Vec<(Option<Vec<u8>>, Files)> = (1..=3)
            .map(|n| (fs::read(self.store().join(format!("generations/{n}/shown"))).ok(), BTreeMap::new()))
            .collect();
        for (generation, name, meta) in files.into_iter().filter(|(_, _, meta)| meta.is_file()) {
            let shared = inodes[&meta.ino()].clone();
            all[generation - 1].1.insert(name, (meta.mtime(), meta.mtime_nsec(), meta.nlink(), shared));
        }
        all
    }
}

/// Makes three generations with similar mtimes, so that going back needs renewed ones.
fn three(dir: &Path, way: Way) -> Place {
    let place = Place(dir.to_owned(), way);
    place.publish(1_000, OLD, &CommitOptions::default());
    place.publish(1_000, NEW, &CommitOptions::default());
    place.publish(1_001, NEWEST, &CommitOptions::default());
    place
}

fn copy(place: &Place, to: &Path) -> Place {
    copy_exactly(&place.0, to);
    Place(to.to_owned(), place.1)
}

fn flip(path: &Path, at: u64) {
    let meta = path.metadata().unwrap();
    let bytes = fs::read(path).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at as usize] ^ 0x10], at).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
}

fn walk(place: &Place, check: &mut dyn FnMut(&str, u64, &Place)) {
    // Neighbours in both directions, and others.
    for (step, to) in [2, 1, 2, 3, 2, 1, 3, 1, 2, 3].into_iter().enumerate() {
        let secs = 9_000 + step as u64;
        let done = place.open(secs).activate(&to.to_string().parse().unwrap(), Expect::Any).unwrap();
        assert!(done.warnings.is_empty());
        check(&format!("step {step}, to {to}"), done.refreshed, place);
    }
    let report = place.open(9_999).verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn with_it_and_without_it_the_same_is_done() {
    // Recycling is left out: it would remove the oldest of the three.
    for way in Way::ALL.into_iter().filter(|way| !way.recycle) {
        check_with_and_without(way);
    }
}

fn check_with_and_without(way: Way) {
    let dir = scratch();
    let place = three(&dir.path().join("place"), way);
    assert!(!place.delta(1).exists() && place.delta(2).exists() && place.delta(3).exists());
    // A delta of another store, with the same numbers and trees, but with other mtimes.
    let other = Place(dir.path().join("other"), way);
    other.publish(2_000, OLD, &CommitOptions::default());
    other.publish(3_000, NEW, &CommitOptions::default());
    let foreign = fs::read(other.delta(2)).unwrap();
    let good = fs::read(place.delta(2)).unwrap();

    let kept = copy(&place, &dir.path().join("kept"));
    let mut states = vec![];
    walk(&kept, &mut |_, refreshed, place| states.push((refreshed, place.state())));
    let refreshed: Vec<u64> = states.iter().map(|(refreshed, _)| *refreshed).collect();
    assert!(refreshed.iter().filter(|n| **n > 0).count() > 5, "{refreshed:?}: there was something to do");

    let newest = fs::read(place.delta(3)).unwrap();
    let cut = &good[..good.len() / 2];
    let harms: [(&str, [Option<&[u8]>; 2]); 5] = [
        ("absent", [None, None]),
        ("empty", [Some(b""), Some(b"")]),
        ("cut", [Some(cut), Some(cut)]),
        ("foreign", [Some(&foreign), Some(&foreign)]),
        ("exchanged", [Some(&newest), Some(&good)]),
    ];
    for (what, contents) in harms {
        let harmed = copy(&place, &dir.path().join(what));
        for (generation, bytes) in [2, 3].into_iter().zip(contents) {
            fs::remove_file(harmed.delta(generation)).unwrap();
            if let Some(bytes) = bytes {
                fs::write(harmed.delta(generation), bytes).unwrap();
            }
        }
        let mut expected = states.iter();
        walk(&harmed, &mut |step, refreshed, place| {
            assert!(expected.next() == Some(&(refreshed, place.state())), "{what}: {step}");
        });
    }
    // One wrong bit, at any position.
    for byte in (0..good.len() as u64).step_by(61) {
        let harmed = copy(&place, &dir.path().join(format!("byte {byte}")));
        flip(&harmed.delta(2), byte);
        for (to, (refreshed, state)) in [2, 1].into_iter().zip(&states) {
            let secs = 9_002 - to;
            let done = harmed.open(secs).activate(&to.to_string().parse().unwrap(), Expect::Any).unwrap();
            assert!((done.refreshed, &harmed.state()) == (*refreshed, state), "byte {byte}, to {to}");
        }
        fs::remove_dir_all(&harmed.0).unwrap();
    }
}

/// Publishes this number of files, some of them changed.
fn publish_many(place: &Place, files: u32, changed: u32, activate: bool) {
    let mut plan = Plan::builder();
    for n in 0..files {
        let text = if n < changed { "changed" } else { "" };
        plan = plan.file(format!("{n:05}").as_str(), Source::Bytes(text.into()));
    }
    let mut options = Options::new(Arc::new(move || at(8_000 + u64::from(changed))));
    options.durability = Durability::None;
    let store = Store::init(&place.store(), options).unwrap().store;
    let staged = store.stage(&plan.build().unwrap(), StageOptions::default()).unwrap();
    let activate = if activate { Activate::Always } else { Activate::Never };
    let options = CommitOptions::default().activate(activate);
    drop(staged.unaudited().commit(&options).unwrap());
}

#[test]
fn neighbours_need_no_entries_of_manifests() {
    // Generation 3 is only kept: it is compared with the generation that was current meanwhile. Each
    // walk ends with two that are not neighbours.
    for walk in [[1, 2, 1, 3], [3, 2, 3, 1]] {
        let dir = scratch();
        let place = Place(dir.path().to_owned(), Way::PLAIN);
        publish_many(&place, 4_000, 0, true);
        publish_many(&place, 4_000, 5, true);
        publish_many(&place, 4_000, 9, false);
        let manifest = place.store().join("generations/2/manifest").metadata().unwrap().len() as usize;
        let activate = |to: u64| {
            bytes_read(|| {
                drop(place.open(9_001).activate(&to.to_string().parse().unwrap(), Expect::Any).unwrap());
            })
        };
        // The manifest of the next generation is hashed, the other one is not even read.
        let both = manifest * 19 / 10;
        for to in &walk[..3] {
            let read = activate(*to);
            assert!(read < both, "{walk:?}, to {to}: {read} bytes, and a manifest has {manifest}");
        }
        assert!(activate(walk[3]) > both, "{walk:?}");
    }
}

#[test]
fn what_is_suspect_is_read_whole_and_what_differs_much_is_not_kept() {
    let dir = scratch();
    let place = Place(dir.path().to_owned(), Way::PLAIN);
    publish_many(&place, 4_000, 0, true);
    publish_many(&place, 4_000, 5, true);
    let manifest = place.store().join("generations/2/manifest").metadata().unwrap().len() as usize;
    for (suspect, to) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let marker = place.store().join(format!("suspects/generation-{suspect}"));
        fs::write(&marker, "").unwrap();
        let read = bytes_read(|| {
            drop(place.open(9_001).activate(&to.to_string().parse().unwrap(), Expect::Any).unwrap());
        });
        assert!(read > manifest * 19 / 10, "suspect {suspect}, to {to}: {read} bytes");
        fs::remove_file(&marker).unwrap();
    }
    publish_many(&place, 80_000, 0, true);
    assert!(place.delta(2).exists() && !place.delta(3).exists());
}

#[test]
fn a_damaged_manifest_does_not_become_current() {
    for way in Way::ALL {
        let dir = scratch();
        let place = three(&dir.path().join("place"), way);
        let manifest = place.store().join("generations/2/manifest");
        // One way is enough to try all bytes: the position of the byte does not depend on the way.
        let stride = if way == Way::PLAIN { 1 } else { 9 };
        for byte in (0..manifest.metadata().unwrap().len()).step_by(stride) {
            flip(&manifest, byte);
            let error = place.open(9_000).rollback(1, MarkLeft::Unchanged).unwrap_err();
            let id = GenerationId::new(2).unwrap();
            assert!(
                matches!(error, Error::Damaged { what: Damaged::Generation(found), .. } if found == id),
                "{way}, byte {byte}: {error}"
            );
            flip(&manifest, byte);
        }
        assert_eq!(
            place.open(9_000).rollback(1, MarkLeft::Unchanged).unwrap().generation.get(),
            2,
            "{way}"
        );
    }
}

#[test]
fn it_is_that_to_what_was_current_at_the_commit() {
    let dir = scratch();
    let place = Place(dir.path().join("place"), Way::PLAIN);
    place.publish(1_000, OLD, &CommitOptions::default());
    let store = place.open(9_000);
    let plan = |text: &str| Plan::builder().file("d/a", Source::Bytes(text.into())).build().unwrap();
    let late = store.stage(&plan("late"), StageOptions::default()).unwrap().unaudited();
    place.publish(1_000, NEW, &CommitOptions::default());
    assert_eq!(late.commit(&CommitOptions::default()).unwrap().generation.get(), 3);
    let base = |generation: u64| {
        let bytes = fs::read(place.delta(generation)).unwrap();
        u64::from_le_bytes(bytes[88..96].try_into().unwrap())
    };
    assert_eq!((base(2), base(3)), (1, 2));
    let without = copy(&place, &dir.path().join("without"));
    fs::remove_file(without.delta(3)).unwrap();
    for place in [&place, &without] {
        drop(place.open(9_001).rollback(1, MarkLeft::Unchanged).unwrap());
    }
    assert!(place.state() == without.state());
}
