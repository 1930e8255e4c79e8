//! A store with entries of every kind, and its expected content.

use crate::prelude::*;

/// The store, its source, every generation's tree as it was published, and a folder beside everything.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
    pub(crate) trees: BTreeMap<u64, Things>,
    pub(crate) outside: Bystanders,
}

pub(crate) fn options() -> Options {
    let ticks = AtomicU64::new(1_000_000);
    let mut options = Options::new(Arc::new(move || at(ticks.fetch_add(1, Ordering::Relaxed))));
    options.durability = Durability::None;
    options
}

impl Place {
    /// Makes the store: generations 1 to 4, of which 4 is current and 3 was never current; with own
    /// inodes, twins, links, empty files and folders; and with a pin, a mark and a view.
    pub(crate) fn make(dir: &Path) -> Place {
        let store = Store::init(&dir.join("store"), options()).unwrap().store;
        let outside = Bystanders::make(&dir.join("outside"));
        let mut place = Place { dir: dir.to_owned(), store, trees: BTreeMap::new(), outside };
        let first = things(
            1_000,
            &[
                ("a", "=first bytes"),
                ("d/same", "=the same in all of them"),
                ("d/tool", "!the same in all of them"),
                ("d/l", ">same"),
                ("e", "="),
                ("own", "=one"),
                ("own2", "=some first bytes"),
                ("v", "/"),
            ],
        );
        let mut second = first.clone();
        second.extend(things(1_000, &[("own", "=two"), ("own2", "=other bytes now"), ("w/x", "=deep")]));
        let mut third = second.clone();
        third.extend(things(2_000, &[("a", "=third bytes"), ("kept", "=kept alone")]));
        let mut fourth = second.clone();
        fourth.extend(things(3_000, &[("more", "=more of it"), ("a", "=fourth")]));
        drop(place.publish(&first, StageOptions::default(), true).unwrap());
        drop(place.publish(&second, StageOptions::default(), true).unwrap());
        drop(place.publish(&third, StageOptions::default(), false).unwrap());
        // So that there is an index, too.
        write_tree(&place.source(), &fourth);
        settle(dir);
        drop(place.publish_source(&fourth, StageOptions::default(), true).unwrap());
        let pin = "keep".parse().unwrap();
        place.store.pin(&"1".parse().unwrap(), &pin, Some("why".into()), None).unwrap();
        place.store.mark(&"3".parse().unwrap(), Mark::Bad, Some("never shown".into())).unwrap();
        drop(place.store.add_view(&dir.join("view"), &ViewOptions::default()).unwrap());
        place
    }

    /// Publishes a tree and records its content.
    pub(crate) fn publish(
        &mut self,
        tree: &Things,
        options: StageOptions,
        activate: bool,
    ) -> genstore::Result<Publication> {
        write_tree(&self.source(), tree);
        self.publish_source(tree, options, activate)
    }

    /// Publishes the source, which contains this tree.
    fn publish_source(
        &mut self,
        tree: &Things,
        options: StageOptions,
        activate: bool,
    ) -> genstore::Result<Publication> {
        let plan = Plan::scan(&self.source(), &ScanRules::default())?;
        let activate = if activate { Activate::Always } else { Activate::Never };
        let commit = CommitOptions::default().activate(activate);
        let done = self.store.stage(&plan, options)?.unaudited().commit(&commit)?;
        if let Some(gone) = done.recycled {
            self.trees.remove(&gone.get());
        }
        self.trees.insert(done.generation.get(), tree.clone());
        Ok(done)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// A path in the store.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.store.path().join(path)
    }

    pub(crate) fn tree(&self, generation: u64) -> PathBuf {
        self.at(&format!("generations/{generation}/tree"))
    }

    /// Lists the objects, in the order of their names.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        objects(&self.at(""))
    }

    /// Returns the generations whose trees have other names, bytes, bits or targets than were
    /// published.
    pub(crate) fn differing(&self) -> Vec<u64> {
        let is_there = |number: &u64| self.at(&format!("generations/{number}")).symlink_metadata().is_ok();
        let differs = |number: &u64| {
            !read_tree(&self.tree(*number)).is_ok_and(|found| same_content(&found, &self.trees[number]))
        };
        self.trees.keys().copied().filter(is_there).filter(differs).collect()
    }

    pub(crate) fn switch(&self, generation: u64) -> genstore::Result<genstore::publish::Activation> {
        self.store.activate(&generation.to_string().parse().unwrap(), Expect::Any)
    }
}
