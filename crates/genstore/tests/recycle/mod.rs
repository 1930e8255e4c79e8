//! Recycling: a tree made from another one is the same as an assembled one, inode by inode.

mod kept;
mod races;
mod same;

use crate::prelude::*;

const LAST: Retention = Retention::only_last(1);

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(scratch())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn tree(&self, generation: u64) -> PathBuf {
        self.store().join(format!("generations/{generation}/tree"))
    }

    fn publish(&self, things: &Things) -> Publication {
        self.publish_by(things, Some(LAST))
    }

    fn publish_by(&self, things: &Things, recycle: Option<Retention>) -> Publication {
        write_tree(&self.0.path().join("source"), things);
        publish(&self.store(), &self.0.path().join("source"), recycle)
    }

    fn open(&self) -> Store {
        open(&self.store(), Faults::default())
    }

    /// Publishes, also in a copy of the store without recycling. Returns the recycled generation. After
    /// gc in the copy, the two must be the same.
    fn publish_and_compare(&self, things: &Things) -> Option<u64> {
        let other = self.0.path().join("other");
        if self.store().exists() {
            copy_exactly(&self.store(), &other);
        }
        let done = self.publish(things);
        let fresh = publish(&other, &self.0.path().join("source"), None);
        assert_eq!((done.tree, done.diff, done.refreshed), (fresh.tree, fresh.diff, fresh.refreshed));
        assert_eq!((done.written, done.new_objects), (fresh.written, fresh.new_objects));
        for store in [&self.store(), &other] {
            let store = open(store, Faults::default());
            let rule = LAST.keep_last(2);
            let plan = store.plan_gc(&rule).unwrap();
            drop(store.collect(&plan).unwrap());
            assert_clean(&store);
            assert_eq!(debris(store.path()), [""; 0]);
        }
        let (mut recycled, mut assembled) = (inodes(&self.store()), inodes(&other));
        let same: Vec<String> = recycled
            .iter()
            .filter(|(path, what)| assembled.get(*path) == Some(what))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &same {
            recycled.remove(path);
            assembled.remove(path);
        }
        assert_eq!(recycled, assembled, "on the left what was recycled");
        fs::remove_dir_all(other).unwrap();
        done.recycled.map(GenerationId::get)
    }
}

fn publish(store: &Path, source: &Path, recycle: Option<Retention>) -> Publication {
    publish_with(&open(store, Faults::default()), source, recycle, || ()).unwrap()
}

/// Publishes the present content of a source.
fn publish_in(store: &Store, source: &Path, way: Way) -> Publication {
    genstore_testkit::publish(way, store, source).unwrap()
}

/// Publishes, and runs `act` when everything is staged.
fn publish_with(
    store: &Store,
    source: &Path,
    recycle: Option<Retention>,
    meanwhile: impl FnOnce(),
) -> Result<Publication, Error> {
    let plan = Plan::scan(source, &ScanRules::default())?;
    let mut options = StageOptions::default();
    options.recycle = recycle;
    let staged = store.stage(&plan, options)?;
    let judged = staged.audit_with(&AuditRules::default(), |_| {
        meanwhile();
        Ok::<_, Error>(vec![])
    })?;
    match judged {
        Judged::Accepted(audited) => audited.commit(&CommitOptions::default()),
        Judged::Rejected(_) => panic!("there are no rules"),
    }
}

/// Lists the inodes of a store's objects and trees: kind, mode, bytes, mtime, and all names.
fn inodes(store: &Path) -> BTreeMap<String, String> {
    let mut names: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut seen: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    let mut folders = vec![PathBuf::from("objects"), PathBuf::from("generations")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(store.join(&folder)).unwrap() {
            let below = folder.join(entry.unwrap().file_name());
            let name = below.to_string_lossy().into_owned();
            let path = store.join(&below);
            let meta = path.symlink_metadata().unwrap();
            let in_tree = name.starts_with("objects") || name.contains("/tree");
            if meta.is_dir() {
                folders.push(below);
                // The folders of objects depend on earlier publications, so they are left out.
                if name.contains("/tree") {
                    seen.insert(name, (0, 0, format!("{:o}", meta.mode())));
                }
            } else if meta.is_symlink() {
                seen.insert(name, (0, 0, fs::read_link(path).unwrap().display().to_string()));
            } else if in_tree {
                let bytes = fs::read(&path).unwrap();
                let what = format!("{:o} {}.{:09} {bytes:?}", meta.mode(), meta.mtime(), meta.mtime_nsec());
                names.entry(meta.ino()).or_default().insert(name.clone());
                seen.insert(name, (meta.ino(), meta.nlink(), what));
            }
        }
    }
    let line = |(ino, links, what): (u64, u64, String)| {
        let names = names.get(&ino).cloned().unwrap_or_default();
        assert_eq!(names.len() as u64, links, "links of {names:?}");
        format!("{what} {names:?}")
    };
    seen.into_iter().map(|(name, what)| (name, line(what))).collect()
}

fn tree_a() -> Things {
    things(
        1_000,
        &words(
            "a.txt=first bin/run!#!/bin/sh d/b.txt=second d/deep/er/x=x d/deep/er/y=y d/deep/z=z \
        d/same-1=same d/same-2=same d/twin!second e/empty= e/stays-empty= hollow/ link>d/b.txt \
        swap-1=file swap-2/file=folder swap-3>link swap-4/",
        ),
    )
}

/// Entries of other kinds and modes, with older files, so that some need a newer mtime.
fn tree_b() -> Things {
    things(
        900,
        &[
            ("a.txt", "=changed"),
            ("bin/run", "=#!/bin/sh"),
            ("d/b.txt", "=second"),
            ("d/deep/er/y", "=y"),
            ("d/same-1", "=same"),
            ("d/same-3", "=same"),
            ("d/twin", "!second"),
            ("e/empty", "=no more"),
            ("e/stays-empty", "="),
            ("hollow/no/more", "=full"),
            ("link", ">d/same-1"),
            ("new/c", "=third"),
            ("new/deep/hollow", "/"),
            ("swap-1/file", "=file"),
            ("swap-2", "=folder"),
            ("swap-3/link", ">../link"),
            ("swap-4", "=no folder"),
        ],
    )
}

/// Mostly the same as `tree_a`.
fn tree_c() -> Things {
    let mut tree = tree_a();
    tree.retain(|path, _| path != "d/same-2" && path != "swap-4");
    tree.extend(things(1_100, &[("a.txt", "=third"), ("d/deep/n", "=new"), ("d/deep/same", "=same")]));
    tree
}
