//! Verify: every byte that a generation on a remote needs is read and compared. Repair: a generation whose
//! tree a store has is pushed again, without the damaged files.

use std::collections::{BTreeMap, BTreeSet};

use genstore::Store;
use genstore::tree::Digest;

use crate::codec::Bad;
use crate::codec::bundle::Section;
use crate::codec::condemned::Kept;
use crate::codec::names;
use crate::codec::table::Place;
use crate::error::{Error, Result};
use crate::load::Bundle;
use crate::packs::{Job, Long, fetch};
use crate::push::PushOptions;
use crate::requests::Remote;

/// A file that is missing or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The key.
    pub key: String,
    /// The reason.
    pub why: String,
    /// The generations that need it.
    pub generations: Vec<Kept>,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of generations.
    pub generations: u64,
    /// The number of objects.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// The files that are missing or damaged.
    pub findings: Vec<Finding>,
}

/// A channel whose head was damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The channel.
    pub channel: String,
    /// The record that pushed the tree again. `None`: the store does not have it.
    pub record: Option<u64>,
}

/// Objects of a pack: where each begins, its size and digest.
type Objects = BTreeSet<(u64, u64, Digest)>;

/// Files and objects that generations need.
#[derive(Default)]
struct Needed {
    findings: BTreeMap<String, (String, BTreeSet<Kept>)>,
    packs: BTreeMap<String, (Job, Objects, BTreeSet<Kept>)>,
    bundle: Option<Bundle>,
}

impl Remote {
    /// Reads all that the generations of the remote need. Copies on this machine are not used if the cache
    /// says so.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Distrusted`]. Damage is no error.
    pub fn verify_all(&self) -> Result<Verified> {
        let mut done = Verified::default();
        let Some(newest) = self.newest()? else { return Ok(done) };
        let mut needed = Needed::default();
        for kept in self.existing(&newest)? {
            done.generations += 1;
            if let Err(error) = self.need(&kept, &mut needed) {
                let (key, why) = damage(error)?;
                needed.found(key, why, [kept]);
            }
        }
        let (packs, bundle) = (std::mem::take(&mut needed.packs), needed.bundle.take());
        for (key, (mut job, objects, generations)) in packs {
            job.objects = objects.into_iter().collect();
            let Some(own) = &bundle else { continue };
            let read = match job.pack.place {
                Place::Big(..) => self.check_long(&job).map(|bytes| {
                    done.objects += 1;
                    done.bytes += bytes;
                }),
                _ => fetch((self, own), &job, &mut |(_, bytes)| {
                    done.objects += 1;
                    done.bytes += bytes.len() as u64;
                    true
                }),
            };
            if let Err(error) = read {
                let (_, why) = damage(error)?;
                needed.found(key, why, generations);
            }
        }
        let finding = |(key, (why, generations)): (String, (String, BTreeSet<Kept>))| Finding {
            key,
            why,
            generations: generations.into_iter().collect(),
        };
        done.findings = needed.findings.into_iter().map(finding).collect();
        Ok(done)
    }

    /// Reads a large object. Returns its size.
    fn check_long(&self, job: &Job) -> Result<u64> {
        let mut long = Long::open(self, job)?;
        let mut hasher = blake3::Hasher::new();
        let read = std::io::copy(&mut long, &mut hasher);
        if let Some(failed) = long.failed {
            return Err(failed);
        }
        let size = read.map_err(Error::local("hash an object"))?;
        let digest = Digest::from(hasher.finalize());
        match job.objects.iter().all(|(_, len, wanted)| (*len, *wanted) == (size, digest)) {
            true => Ok(size),
            false => Err(Error::bad(&job.key, Bad::Malformed("the bytes of an object differ"))),
        }
    }

    /// Reads the bundle of a generation, and notes its objects.
    fn need(&self, kept: &Kept, needed: &mut Needed) -> Result<()> {
        let bundle = self.bundle(kept.bundle)?;
        let sections =
            [Section::FromParent, Section::Patch, Section::Table, Section::Manifest, Section::Pack];
        for section in sections {
            self.section(&bundle, section)?;
        }
        let remembered = self.remembered(kept.bundle)?;
        let locations = self.locations(&remembered)?;
        for (digest, size) in &remembered.objects {
            let location = locations.get(digest).ok_or_else(|| {
                Error::bad(&names::bundle(kept.bundle), Bad::Malformed("an object has no location"))
            })?;
            let key = location.pack.key(kept.bundle);
            let name = format!("{key} {}", location.pack.offset);
            let job =
                || (Job { pack: location.pack, key, objects: vec![] }, Objects::new(), BTreeSet::new());
            let (_, objects, generations) = needed.packs.entry(name).or_insert_with(job);
            objects.insert((location.start, *size, *digest));
            generations.insert(kept.clone());
        }
        needed.bundle.get_or_insert(bundle);
        Ok(())
    }

    /// Pushes the heads that need damaged files again, from a store that has their trees.
    ///
    /// # Errors
    /// As [`Remote::push`].
    pub fn repair(&self, store: &Store, findings: &[Finding]) -> Result<Vec<Repair>> {
        let Some(newest) = self.newest()? else { return Ok(vec![]) };
        let again: BTreeSet<String> = findings.iter().map(|finding| finding.key.clone()).collect();
        let listing = store.list()?;
        let mut done = vec![];
        for (channel, head) in &newest.record.heads {
            let is_its = |kept: &Kept| kept.bundle == head.bundle;
            if !findings.iter().any(|finding| finding.generations.iter().any(is_its)) {
                continue;
            }
            let key = names::record(head.number);
            let entry = self.record(head.number)?.ok_or(Error::Missing { key })?;
            let tree = entry.record.change.generation().map(|of| of.tree);
            let has = |listed: &&genstore::generation::Listed| Some(listed.head.tree.digest()) == tree;
            let mut record = None;
            if let Some(listed) = listing.generations.iter().find(has) {
                let generation = store.open_generation(&genstore::Rev::Number(listed.id))?;
                let mut options = PushOptions::default();
                options.again.clone_from(&again);
                record = Some(self.push(store, &generation, channel, &options)?.record);
            }
            done.push(Repair { channel: channel.clone(), record });
        }
        Ok(done)
    }
}

impl Needed {
    fn found(&mut self, name: String, why: String, generations: impl IntoIterator<Item = Kept>) {
        // The name of a pack in a bundle has its offset.
        let key = name.split(' ').next().unwrap_or_default().to_owned();
        self.findings.entry(key).or_insert_with(|| (why, BTreeSet::new())).1.extend(generations);
    }
}

/// Returns the damaged file of an error, or the error if it is another one.
fn damage(error: Error) -> Result<(String, String)> {
    match error {
        Error::Damaged { key, why } => Ok((key, why.to_string())),
        Error::Missing { key } => Ok((key, "it is missing".to_owned())),
        error => Err(error),
    }
}
