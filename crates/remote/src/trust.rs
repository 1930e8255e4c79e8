//! Trust: signatures of records, and the changes that a record may make.
//!
//! A signature covers a record, and so, by hashes, every byte of its generations (RMT-3).

use crate::check::Check;
use crate::codec::record::{Change, Head, Record};
use crate::error::{Error, Result};
use crate::requests::Remote;
use crate::signing::namespace;

/// Checks that a record makes the change that it names, and no other (RMT-11).
pub(crate) fn check_change(before: &Record, after: &Record) -> std::result::Result<(), &'static str> {
    let is_barrier = matches!(after.change, Change::Barrier { .. });
    if after.epoch != before.epoch + u64::from(is_barrier) {
        return Err("it counts barriers otherwise");
    }
    let (mut heads, mut pins) = (before.heads.clone(), before.pins.clone());
    match &after.change {
        Change::Push { channel, of } | Change::Promote { channel, of } => {
            if matches!(after.change, Change::Promote { .. })
                && !before.heads.values().any(|head| head.bundle == of.bundle)
            {
                return Err("it promotes what is no head");
            }
            let old = heads.insert(channel.clone(), Head { number: after.number, bundle: of.bundle });
            if old.map_or(0, |head| head.number) != after.expected {
                return Err("it supersedes another head than it names");
            }
        }
        Change::Pin { name, of } => {
            let pin = after.pins.get(name).filter(|pin| pin.bundle == of.bundle);
            let pin = pin.filter(|pin| pin.number < after.number).ok_or("it pins another generation")?;
            pins.insert(name.clone(), *pin);
        }
        Change::Unpin { name } => drop(pins.remove(name)),
        Change::Barrier { .. } | Change::Forget => {}
    }
    // That the longer list has all of the shorter one is up to those who may sign it.
    if matches!(after.change, Change::Forget) != (after.forgotten != before.forgotten) {
        return Err("it changes the list of forgotten contents");
    }
    match (heads == after.heads, pins == after.pins) {
        (false, _) => Err("it changes the head of another channel"),
        (_, false) => Err("it changes another pin"),
        _ => Ok(()),
    }
}

impl Remote {
    /// Signs a record, if this remote is used with a key.
    pub(crate) fn sign(&self, record: &mut Record) -> Result<()> {
        let Some(signer) = &self.options.sign else { return Ok(()) };
        record.signature.clear();
        let bytes = record.signed_part().map_err(|why| Error::Unfit { why: why.to_string() })?;
        record.signature =
            signer.sign(namespace(&record.change), &bytes).map_err(|why| Error::Signing { why })?;
        Ok(())
    }

    /// Checks the signature of a record, if this remote is used with a list of signers.
    pub(crate) fn verify(&self, record: &Record) -> Result<()> {
        let Some(trust) = &self.options.trust else { return Ok(()) };
        let distrusted = |why: String| Error::Distrusted {
            check: Check::Signature,
            why: format!("record {} {why}", record.number),
        };
        if record.signature.is_empty() {
            return Err(distrusted("is not signed".to_owned()));
        }
        let bytes = record.signed_part().map_err(|why| Error::Unfit { why: why.to_string() })?;
        let verified = trust.verify(namespace(&record.change), &bytes, &record.signature);
        verified.map_err(|why| distrusted(format!("({}): {why}", record.change.verb())))
    }
}
