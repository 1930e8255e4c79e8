//! The notice: the file that watchers observe. Its length is constant, so one write replaces it.

use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::tree::TreeId;

/// The constant length of the notice, in bytes.
pub(crate) const NOTICE_LEN: u64 = 86;

/// Returns the content of the notice. Its length is constant, so one write in place replaces it.
pub(crate) fn notice(commit: Option<(GenerationId, TreeId)>) -> Vec<u8> {
    let (number, tree) = match commit {
        Some((id, tree)) => (id.get(), tree),
        None => (0, TreeId::from_digest(Digest::from_bytes([0; 32]))),
    };
    format!("{number:<20} {tree}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_has_the_same_length() {
        let tree = TreeId::from_digest(Digest::of(b"tree"));
        let length = notice(None).len();
        assert_eq!(length as u64, NOTICE_LEN);
        for number in [1, 42, u64::MAX] {
            let bytes = notice(Some((GenerationId::new(number).unwrap(), tree)));
            assert_eq!(bytes.len(), length);
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.split_whitespace().collect::<Vec<_>>(), [number.to_string(), tree.to_string()]);
        }
    }
}
