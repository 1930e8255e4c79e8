//! Damage at rest, and what must hold until it is mended.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use genstore::publish::Activate;
use genstore::verify::Depth;

use crate::outcome::outcomes;
use crate::seen::State;
use crate::step::{Act, Damage, Publish, Way};
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
        let beside = |name: &str| {
            let all = self.model.generations.keys().map(|id| self.at(&format!("generations/{id}/{name}")));
            choose(all.filter(|path| path.exists()).collect())
        };
        let (path, keeps_time) = match damage {
            Damage::ObjectBitKeepingTime => (objects(), true),
            Damage::ObjectBit => (objects(), false),
            Damage::NoObject => (objects(), false),
            Damage::NoName => (
                choose(
                    files(&self.at("generations")).into_iter().filter(|path| is_in_tree(path)).collect(),
                ),
                false,
            ),
            Damage::OwnBit => {
                let own = |path: &PathBuf| {
                    is_in_tree(path)
                        && path.metadata().is_ok_and(|meta| meta.nlink() == 1 && meta.len() > 0)
                };
                (choose(files(&self.at("generations")).into_iter().filter(own).collect()), false)
            }
            Damage::Stranger => (self.model.pick(n as u8).map(|id| self.tree(id).join("stranger")), false),
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
        let seen = match State::of_store(&self.store, self.place()) {
            Ok(seen) => seen,
            // Damage in what is listed.
            Err(_) => return Ok(()),
        };
        let new: Vec<u64> = seen.generations.difference(&before.generations).copied().collect();
        let may = outcomes(&self.model, act, new.first().copied().unwrap_or(self.model.high + 1));
        for id in before.generations.difference(&seen.generations) {
            let is_put_aside = matches!(act, Act::Repair) && self.model.damage.touched.contains(id);
            if !may.removable.contains(id) && !is_put_aside {
                fail!("INV-13: beside damage, {id} is gone: {did:?}");
            }
        }
        match &did {
            Err(error) if error.code() != "damaged" && !may.refused.contains(&error.code()) => {
                let is_history = matches!(
                    act,
                    Act::Rollback { .. }
                        | Act::Switch(_)
                        | Act::EndHold
                        | Act::Publish(_)
                        | Act::Collect(_)
                );
                if !is_history && !self.faulty {
                    fail!("beside damage: {}: {error}", error.code());
                }
            }
            _ => {}
        }
        let gone: Vec<u64> = before.generations.difference(&seen.generations).copied().collect();
        gone.into_iter().for_each(|id| self.model.forget(id));
        if let Some(id) = new.first() {
            self.model.add(*id);
        }
        if seen.current.is_some() {
            if seen.current != self.model.current
                && let Some(id) = seen.current
            {
                self.model.move_to(id);
            }
            self.model.damage.no_current = false;
        }
        for (id, one) in &mut self.model.generations {
            one.good = !seen.bad.contains(id);
            one.lived = one.lived.filter(|lived| *lived);
        }
        (self.model.held, self.model.pins, self.model.views) = (seen.held, seen.pins, seen.views);
        if matches!(act, Act::Publish(publish) if publish.activate == Activate::Always)
            && did.is_ok()
            && !self.model.damage.unread
            && let Some(id) = self.model.current.filter(|id| self.differing().contains(id))
        {
            fail!("published, and the current generation {id} is damaged");
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
        self.judge_damaged(&Act::Repair, Ok(()))?;
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
            if let Err(error) = &did {
                fail!("publish after repair: {error}");
            }
            self.judge_damaged(&act, did)?;
        }
        self.model.wanted = wanted;
        self.model.damage = Default::default();
        Ok(())
    }
}

fn is_in_tree(path: &Path) -> bool {
    path.iter().any(|part| part == "tree")
}

/// Lists the files and links below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
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
