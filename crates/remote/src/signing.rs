//! Signatures of records, as somebody else makes and checks them. This crate neither reads keys nor knows their
//! formats.

use crate::codec::record::Change;

/// Signs bytes in a namespace.
pub trait Sign: Send + Sync {
    /// Returns the signature.
    ///
    /// # Errors
    /// A sentence.
    fn sign(&self, namespace: &str, bytes: &[u8]) -> std::result::Result<Vec<u8>, String>;
}

/// Checks signatures.
pub trait Verify: Send + Sync {
    /// Checks that somebody who is trusted in this namespace has signed the bytes.
    ///
    /// # Errors
    /// A sentence.
    fn verify(&self, namespace: &str, bytes: &[u8], signature: &[u8]) -> std::result::Result<(), String>;
}

/// Returns the namespace in which a change is signed: a key that may push need not be one that may promote.
pub fn namespace(change: &Change) -> &'static str {
    match change {
        Change::Push { .. } => "genstore-push",
        Change::Promote { .. } => "genstore-promote",
        Change::Pin { .. } | Change::Unpin { .. } | Change::Barrier { .. } | Change::Forget => {
            "genstore-gc"
        }
    }
}
