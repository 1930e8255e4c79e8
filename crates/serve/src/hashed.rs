//! Names that carry a hash of their content, and may be cached for ever.

use std::collections::HashMap;

use genstore::tree::{Digest, Tree};

/// The number of names that are remembered. Names beyond it are not cached for ever.
const MOST: usize = 200_000;

/// The content that each hashed name has had in the generations that were seen.
#[derive(Default, Debug)]
pub(crate) struct Names {
    /// `None` for a name whose content changed: it does not carry a hash of it.
    seen: HashMap<Box<[u8]>, Option<Digest>>,
}

impl Names {
    /// Takes over the names of a generation.
    pub(crate) fn add(&mut self, tree: &Tree) {
        for (path, file) in tree.iter_files().filter(|(path, _)| carries_hash(path)) {
            let has_place = self.seen.len() < MOST;
            match self.seen.get_mut(path) {
                Some(digest) if *digest == Some(file.digest) => {}
                Some(digest) => *digest = None,
                None if has_place => drop(self.seen.insert(path.into(), Some(file.digest))),
                None => {}
            }
        }
    }

    /// Returns whether a name had this content in every generation that was seen.
    pub(crate) fn is_immutable(&self, path: &[u8], digest: Digest) -> bool {
        self.seen.get(path).is_some_and(|seen| *seen == Some(digest))
    }
}

/// Returns whether the last name of a path has a part that looks like a hash.
///
/// A part is eight or more letters and digits between `.`, `-`, `_` and `~`, before an ending. Hexadecimal
/// parts need two digits and a letter. Others need a digit and three changes between capitals, small
/// letters and digits, so that `version2` and `20240101` do not count.
pub(crate) fn carries_hash(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(end) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    name[..end].split(|byte| b".-_~".contains(byte)).any(looks_hashed)
}

fn looks_hashed(part: &[u8]) -> bool {
    if part.len() < 8 || !part.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_hex = part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    if is_hex {
        return digits >= 2 && digits < part.len();
    }
    let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let changes = part.windows(2).filter(|pair| class(&pair[0]) != class(&pair[1])).count();
    digits >= 1 && changes >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_names_are_recognised() {
        let yes = [
            "assets/index-BkR8x1dQ.js",
            "app.3f2a91bc.css",
            "chunk-AB3DEFG2.js",
            "_next/static/chunks/4bd1b696-1a2b3c4d5e6f7a8b.js",
            "main.0d1e2f3a4b5c6d7e8f90.js",
        ];
        let no = [
            "index.html",
            "app.js",
            "my-component.js",
            "report-version2.pdf",
            "report-Version2.pdf",
            "2024-01-01-release.html",
            "photo-20240101.jpg",
            "deadbeef.js",
            "SuperComponent.js",
            "3f2a91bc",
            "logo@2x.png",
            "3f2a91bc/index.html",
        ];
        assert!(yes.iter().all(|path| carries_hash(path.as_bytes())), "{yes:?}");
        let wrong: Vec<_> = no.iter().filter(|path| carries_hash(path.as_bytes())).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
