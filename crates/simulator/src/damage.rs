//! Damage at rest, and what must hold until it is mended.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use genstore::verify::Depth;

use genstore_testkit::read_tree;

use crate::outcome::outcomes;
use crate::seen::{State, generations};
use crate::step::{Act, Damage, Moves, Publish, Way};
use crate::world::{Did, World, fail};

impl World {
    /// Breaks something, if there is something of that kind.
    pub(crate) fn damage(&mut self, damage: Damage, n: u8) -> Result<(), String> {
        let broken = self.break_it(damage, usize::from(n)).map_err(|e| format!("{damage:?}: {e}"))?;
        if !broken {
            return Ok(());
        }
        let differing = self.differing();
        let damaged = &mut self.model.damage;
        damaged.any = true;
        damaged.other |= damage != Damage::NoCurrent;
        damaged.touched.extend(differing);
        match damage {
            Damage::ObjectBitKeepingTime => damaged.unread = true,
            Damage::NoCurrent => damaged.no_current = true,
            Damage::Manifest => damaged.touched.extend(self.model.generations.keys()),
            _ => {}
        }
        // Where what is beside a tree is lost, its mtimes are read off it, as if the store had given them.
        self.model.seen.values_mut().for_each(|seen| seen.is_given = true);
        if matches!(damage, Damage::NoLog | Damage::NoCurrent | Damage::NoSequence) {
            self.model
                .generations
                .values_mut()
                .for_each(|one| one.lived = one.lived.filter(|lived| *lived));
            self.model.times_unknown = true;
        }
        if damage == Damage::NoShown {
            // The store has lost the record of mtimes at earlier paths.
            self.model.seen.clear();
        }
        Ok(())
    }

    fn break_it(&self, damage: Damage, n: usize) -> std::io::Result<bool> {
        let choose = |mut from: Vec<PathBuf>| {
            from.sort();
            let count = from.len().max(1);
            from.into_iter().nth(n % count)
        };
        let objects = || choose(files(&self.at("objects")));
        let current = self.model.current.filter(|id| n % 2 == 1 && self.model.generations.contains_key(id));
        let chosen: Vec<u64> =
            current.map_or_else(|| self.model.generations.keys().copied().collect(), |id| vec![id]);
        let beside = |name: &str| {
            let all = chosen.iter().map(|id| self.at(&format!("generations/{id}/{name}")));
            choose(all.filter(|path| path.exists()).collect())
        };
        let in_trees = |fits: &dyn Fn(&PathBuf) -> bool| {
            choose(chosen.iter().flat_map(|id| files(&self.tree(*id))).filter(fits).collect())
        };
        let (path, keeps_time) = match damage {
            Damage::ObjectBitKeepingTime => (objects(), true),
            Damage::ObjectBit => (objects(), false),
            Damage::NoObject => (objects(), false),
            Damage::NoName => (in_trees(&|_| true), false),
            Damage::OwnBit => {
                let is_own =
                    |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.nlink() == 1 && meta.len() > 0);
                (in_trees(&is_own), false)
            }
            Damage::Stranger => {
                (chosen.get(n % chosen.len().max(1)).map(|id| self.tree(*id).join("stranger")), false)
            }
            Damage::Manifest => (beside("manifest"), true),
            Damage::NoShown => (beside("shown"), false),
            Damage::NoCurrent => (Some(self.at("current")), false),
            Damage::NoLog => (Some(self.at("log")), false),
            Damage::NoSequence => (Some(self.at("sequence")), false),
        };
        let Some(path) = path.filter(|path| damage == Damage::Stranger || path.symlink_metadata().is_ok())
        else {
            return Ok(false);
        };
        match damage {
            Damage::Stranger => fs::write(path, "strange")?,
            Damage::ObjectBitKeepingTime | Damage::ObjectBit | Damage::OwnBit | Damage::Manifest => {
                flip(&path, n, keeps_time)?;
            }
            _ => fs::remove_file(path)?,
        }
        Ok(true)
    }

    /// Verifies, which must see damage.
    pub(crate) fn verify(&mut self) -> Result<(), String> {
        let is_clean = match self.store.verify(None, Depth::Full) {
            Ok(report) => report.is_clean(),
            Err(error) if error.code() == "damaged" => false,
            Err(error) => fail!("verify: {error}"),
        };
        self.model.damage.unread = false;
        let differing = self.differing();
        if is_clean && !differing.is_empty() {
            fail!("generations {differing:?} differ, and verify says nothing");
        }
        Ok(())
    }

    /// Judges a step beside damage: what is kept stays, what is refused changed nothing, and what is
    /// made new is right.
    pub(crate) fn judge_damaged(&mut self, act: &Act, did: Did) -> Result<(), String> {
        let before = State::of_model(&self.model);
        let on_disk = generations(&self.store)?;
        let new = on_disk.difference(&before.generations).next().copied();
        let may = outcomes(&self.model, act, new.unwrap_or(self.model.high + 1));
        let is_repair = matches!(act, Act::Repair);
        let gone: Vec<u64> = before.generations.difference(&on_disk).copied().collect();
        for id in &gone {
            let is_put_aside = is_repair && self.model.damage.touched.contains(id);
            if !may.removable.contains(id) && !is_put_aside {
                fail!("INV-13: beside damage, {id} is gone: {did:?}");
            }
            if self.model.damage.no_current && !is_repair {
                fail!("`current` is lost, and {id} is gone: {did:?}");
            }
        }
        if let Did::Failed(error) = &did {
            let is_history = matches!(
                act,
                Act::Rollback { .. }
                    | Act::Switch(_)
                    | Act::EndHold
                    | Act::Publish(_)
                    | Act::Collect { .. }
            );
            let is_expected = error.code() == "damaged" || may.refused.contains(&error.code());
            if !is_expected && !is_history && !self.faulty {
                fail!("beside damage: {}: {error}", error.code());
            }
        }
        gone.into_iter().for_each(|id| self.model.forget(id));
        if let Some(id) = new {
            self.model.add(id);
        }
        let current = fs::read_link(self.at("current")).ok();
        let number = current.as_ref().and_then(|to| to.iter().nth(1)?.to_str()?.parse().ok());
        if let Some(id) = number {
            if self.model.current != number {
                self.model.move_to(id);
            }
            self.model.damage.no_current = false;
        }
        // Damage in what is listed.
        let Ok(seen) = State::of_store(&self.store, self.place()) else { return Ok(()) };
        for (id, one) in &mut self.model.generations {
            one.good = !seen.bad.contains(id);
            one.lived = one.lived.filter(|lived| *lived);
        }
        (self.model.held, self.model.pins, self.model.views) = (seen.held, seen.pins, seen.views);
        if matches!(act, Act::Publish(publish) if publish.moves == Moves::Always)
            && did.is_done()
            && !self.model.damage.unread
            && let Some(id) = self.model.current.filter(|id| self.differing().contains(id))
        {
            let found = read_tree(&self.tree(id));
            fail!("published, and the current generation {id} is damaged: it has {found:?}");
        }
        Ok(())
    }

    /// Fails if a generation differs that was not damaged.
    pub(crate) fn check_damaged(&mut self) -> Result<(), String> {
        let differing = self.differing();
        let spread: Vec<_> = differing.difference(&self.model.damage.touched).collect();
        if !spread.is_empty() && !self.model.damage.unread {
            fail!("damage is carried on: generations {spread:?} do not hold what was published");
        }
        self.model.damage.touched.extend(differing);
        Ok(())
    }

    /// Repairs, publishes every tree again, and expects the store to be whole.
    pub(crate) fn repair(&mut self) -> Result<(), String> {
        let before = State::of_model(&self.model);
        self.store.repair().map(drop).map_err(|e| format!("repair: {e}"))?;
        self.judge_damaged(&Act::Repair, Did::Done)?;
        let now =
            self.store.current().map_err(|e| format!("current after repair: {e}"))?.map(|id| id.get());
        if now != before.current {
            fail!("repair makes {now:?} current, and {:?} was", before.current);
        }
        if !self.model.damage.any {
            return Ok(());
        }
        let wanted = self.model.wanted.clone();
        let trees: Vec<_> = self.model.generations.values().map(|one| one.tree.clone()).collect();
        for tree in trees {
            self.model.wanted = tree;
            if self.model.would_empty() {
                continue;
            }
            let publish = Publish { way: Way::Memory, ..Publish::plain(vec![]) };
            let store = self.store.clone();
            let act = Act::Publish(publish);
            let did = self.perform(&store, &act)?;
            if let Did::Failed(error) = &did {
                fail!("publish after repair: {error}");
            }
            self.judge_damaged(&act, did)?;
        }
        self.model.wanted = wanted;
        // Where a manifest cannot be made anew, its generation stays as long as it is current.
        self.store.repair().map(drop).map_err(|e| format!("repair once more: {e}"))?;
        self.judge_damaged(&Act::Repair, Did::Done)?;
        self.model.damage = Default::default();
        Ok(())
    }
}

/// Lists the files and links below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

/// Flips one bit of a file that has any.
fn flip(path: &Path, n: usize, keeps_time: bool) -> std::io::Result<()> {
    let meta = path.metadata()?;
    if meta.len() == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    let file = fs::File::options().read(true).write(true).open(path)?;
    let (mut byte, place) = ([0], n as u64 % meta.len());
    file.read_exact_at(&mut byte, place)?;
    file.write_all_at(&[byte[0] ^ 1], place)?;
    if keeps_time {
        file.set_modified(meta.modified()?)?;
    }
    fs::set_permissions(path, meta.permissions())
}
