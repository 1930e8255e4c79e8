//! The state of a real store, read by its public methods and from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use genstore::Store;
use genstore::generation::Mark;

use crate::model::Model;

/// The contents of a store, without the trees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) current: Option<u64>,
    pub(crate) generations: BTreeSet<u64>,
    pub(crate) bad: BTreeSet<u64>,
    pub(crate) held: bool,
    pub(crate) pins: BTreeMap<u8, (u64, Option<u64>)>,
    pub(crate) views: BTreeSet<u8>,
}

/// The names of the three pins, and the paths of the three views.
pub(crate) const PINS: [&str; 3] = ["one", "two", "three"];
pub(crate) const VIEWS: [&str; 3] = ["site", "mirror", "copies"];

impl State {
    /// Returns what the model says.
    pub(crate) fn of_model(model: &Model) -> State {
        let bad = model.generations.iter().filter(|(_, one)| !one.good).map(|(id, _)| *id);
        State {
            current: model.current,
            generations: model.generations.keys().copied().collect(),
            bad: bad.collect(),
            held: model.held,
            pins: model.pins.clone(),
            views: model.views.clone(),
        }
    }

    /// Looks at a store.
    pub(crate) fn of_store(store: &Store, place: &Path) -> Result<State, String> {
        let told = |what: &'static str| move |error: genstore::Error| format!("{what}: {error}");
        let generations = generations(store)?;
        let listing = store.list().map_err(told("list"))?;
        let bad = listing.generations.iter().filter(|one| one.mark.mark == Mark::Bad);
        let pin_number = |name: &str| PINS.iter().position(|pin| *pin == name).unwrap_or(9) as u8;
        let secs = |time: std::time::SystemTime| {
            time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let pins = store.pins().map_err(told("pins"))?;
        let view_paths = store.view_paths().map_err(told("view_paths"))?;
        let view = |name: &&str| view_paths.contains(&place.join(name));
        Ok(State {
            current: store.current().map_err(told("current"))?.map(|id| id.get()),
            generations,
            bad: bad.map(|one| one.id.get()).collect(),
            held: store.hold().map_err(told("hold"))?.is_some(),
            pins: pins
                .iter()
                .map(|pin| (pin_number(&pin.name), (pin.generation.get(), pin.until.map(secs))))
                .collect(),
            views: (0..VIEWS.len() as u8).filter(|n| view(&VIEWS[usize::from(*n)])).collect(),
        })
    }
}

/// Lists the generations on the disk.
pub(crate) fn generations(store: &Store) -> Result<BTreeSet<u64>, String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(store.path().join("generations")).map_err(|e| e.to_string())? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        let name = name.to_string_lossy().into_owned();
        found.insert(name.parse().map_err(|_| format!("generations/{name}"))?);
    }
    Ok(found)
}
