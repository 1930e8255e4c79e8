//! A step in a process of its own, which is killed.

use std::fs;

use genstore_testkit::{Task, child_task, kill_at, read_tree, write_tree};

use crate::model::Generation;
use crate::seen::generations;
use crate::step::Act;
use crate::tree::undated;
use crate::world::World;

/// The folder with the wanted tree, for the child.
const WANTED: &str = "wanted";

impl World {
    /// Takes an action in a child that is killed at a call that changes the disk. Returns whether it got
    /// that far.
    pub(crate) fn perform_killed(&mut self, act: &Act, call: u64) -> Result<bool, String> {
        let wanted = self.place().join(WANTED);
        write_tree(&wanted, &self.model.wanted);
        let act = serde_json::to_string(act).map_err(|e| e.to_string())?;
        let task = Task::new(child, self.place(), &[&self.model.now.to_string(), &act]);
        let is_killed = kill_at(call, &task);
        fs::remove_dir_all(&wanted).map_err(|e| format!("remove the wanted tree: {e}"))?;
        self.source = read_tree(&self.place().join("source")).unwrap_or_default();
        Ok(is_killed)
    }

    /// Finds out from the disk what an action needs to know of the model.
    fn look_around(&mut self) {
        self.model.wanted = read_tree(&self.place().join(WANTED)).expect("read the wanted tree");
        self.source = read_tree(&self.place().join("source")).unwrap_or_default();
        let tree = undated(&self.model.wanted);
        let (created, lived, last_current) = (self.model.now, None, None);
        for id in generations(&self.store).expect("list the generations") {
            let one = Generation { tree: tree.clone(), created, lived, last_current, good: true };
            self.model.generations.insert(id, one);
        }
        self.model.current = self.store.current().unwrap_or_default().map(|id| id.get());
    }
}

/// Takes the action of a child, and is killed in it. Does nothing if this process is no child. The test that
/// calls it is `kill::child`, as this function is.
///
/// # Panics
/// If the task is not one of a plan.
pub fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    let [now, act] = &words[..] else { panic!("not a task of a plan: {words:?}") };
    let mut world = World::join(&place, now.parse().expect("a time"));
    world.look_around();
    let act: Act = serde_json::from_str(act).expect("an action");
    if let Ok(store) = world.open(faults) {
        // Its end is judged by what is on the disk.
        drop(world.perform(&store, &act).expect("an action that was not killed"));
    }
}
