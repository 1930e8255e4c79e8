//! Claims: decide which entry of a plan writes an object that the store does not have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard};

use crate::model::tree::{Mtime, ObjectId};
use crate::threads::{into_inner, lock};

/// Number of locks that share the claims, so that threads seldom wait for each other.
const SHARDS: usize = 64;

/// The entry that writes an object, and the mtime that the object gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    pub(crate) entry: u32,
    pub(crate) mtime: Mtime,
}

/// The claims of all threads: an object has one, however many entries have its bytes.
pub(crate) struct Claims {
    shards: Vec<Mutex<HashMap<ObjectId, Claim>>>,
}

impl Claims {
    pub(crate) fn new() -> Claims {
        Claims { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Claims an object. If another entry has claimed it, returns that claim and changes nothing.
    pub(crate) fn claim(&self, id: ObjectId, claim: Claim) -> Option<Claim> {
        match self.shard(id).entry(id) {
            Entry::Occupied(other) => Some(*other.get()),
            Entry::Vacant(free) => {
                free.insert(claim);
                None
            }
        }
    }

    /// Returns the mtime that a claimed object gets.
    pub(crate) fn mtime(&self, id: ObjectId) -> Option<Mtime> {
        self.shard(id).get(&id).map(|claim| claim.mtime)
    }

    /// Records the mtime that the filesystem stored.
    pub(crate) fn set_mtime(&self, id: ObjectId, mtime: Mtime) {
        if let Some(claim) = self.shard(id).get_mut(&id) {
            claim.mtime = mtime;
        }
    }

    /// Releases a claim: the object was not written.
    pub(crate) fn release(&self, id: ObjectId) {
        self.shard(id).remove(&id);
    }

    /// Ends the claiming. Returns the claim of each object that was written.
    pub(crate) fn finish(self) -> HashMap<ObjectId, Claim> {
        self.shards.into_iter().flat_map(into_inner).collect()
    }

    fn shard(&self, id: ObjectId) -> MutexGuard<'_, HashMap<ObjectId, Claim>> {
        lock(&self.shards[usize::from(id.digest.0[0]) % SHARDS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;

    #[test]
    fn an_object_has_one_claim_until_that_is_given_up() {
        let at = |secs| Mtime { secs, nanos: 0 };
        let id = |bytes: &[u8]| ObjectId { digest: Digest::of(bytes), executable: false };
        let (a, b) = (id(b"a"), ObjectId { executable: true, ..id(b"a") });
        let (first, second) = (Claim { entry: 1, mtime: at(5) }, Claim { entry: 2, mtime: at(6) });
        let claims = Claims::new();
        assert_eq!(claims.claim(a, first), None);
        assert_eq!(claims.claim(a, second), Some(first));
        assert_eq!(claims.claim(b, second), None, "the same bytes with another mode");
        claims.set_mtime(a, at(4));
        assert_eq!((claims.mtime(a), claims.mtime(b)), (Some(at(4)), Some(at(6))));
        claims.release(b);
        claims.set_mtime(b, at(9));
        assert_eq!(claims.mtime(b), None);
        assert_eq!(claims.finish(), HashMap::from([(a, Claim { mtime: at(4), ..first })]));
    }
}
