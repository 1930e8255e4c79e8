//! The links of shared paths: whether each leads to a place. The content of a place is not read.

use std::collections::BTreeMap;

use crate::check::report::{DamagedFile, SharedFault};
use crate::check::tree::LoadedGeneration;
use crate::error::{Damaged, Error, Result, show_path};
use crate::model::ids::GenerationId;
use crate::model::shared;
use crate::parts::layout::StoreDir;
use crate::parts::places::{Places, standing};

/// Finds the shared paths of these generations that lead to nothing.
pub(crate) fn look(store: &StoreDir, all: &[LoadedGeneration]) -> Result<Vec<SharedFault>> {
    let mut paths: BTreeMap<&[u8], Vec<GenerationId>> = BTreeMap::new();
    for known in all {
        for path in shared::paths_of(&known.tree) {
            paths.entry(path).or_default().push(known.id);
        }
    }
    let mut found = Vec::new();
    for (path, generations) in paths {
        let cause = match Places::of(store).find(path) {
            // `damaged` reports it.
            Err(Error::Damaged { .. }) => continue,
            Err(e) => return Err(e),
            Ok(None) => Some("the store has no place for it".to_owned()),
            Ok(Some(place)) => match standing(&place.at) {
                Ok(Some(kind)) if kind == place.kind => None,
                Ok(Some(kind)) => {
                    Some(format!("{} is a {kind}, not a {}", show_path(&place.at), place.kind))
                }
                Ok(None) => Some(format!("there is no {}", show_path(&place.at))),
                Err(e) if e.is_not_found() => {
                    Some(format!("{} is a symlink that leads to nothing", show_path(&place.at)))
                }
                Err(error) => Some(crate::error::chain(&error)),
            },
        };
        found.extend(cause.map(|cause| SharedFault { path: path.to_vec(), cause, generations }));
    }
    Ok(found)
}

/// Lists the entries of `places/` that are no links of shared paths.
pub(crate) fn damaged(store: &StoreDir) -> Result<Vec<DamagedFile>> {
    let listed = match Places::of(store).list() {
        Err(error) => vec![Err(error)],
        listed => listed?,
    };
    let mut found = Vec::new();
    for entry in listed {
        match entry {
            Ok(_) => {}
            Err(Error::Damaged { what: Damaged::File(path), cause, .. }) => {
                found.push(DamagedFile::new(path, cause));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}
