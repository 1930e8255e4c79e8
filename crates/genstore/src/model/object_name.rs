//! The name and the mode of an object.

use crate::model::tree::ObjectId;

/// Returns the path of an object below `objects/`: `ab/<62 hex>`, with `.x` if it is executable.
pub(crate) fn name(id: ObjectId) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut name = Vec::with_capacity(67);
    for (place, byte) in id.digest.as_bytes().iter().enumerate() {
        if place == 1 {
            name.push(b'/');
        }
        name.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    if id.executable {
        name.extend(b".x");
    }
    name
}

/// Parses an object's name. Returns `None` for any other name.
pub(crate) fn parse_name(folder: &[u8], rest: &[u8]) -> Option<ObjectId> {
    let (rest, executable) = match rest.strip_suffix(b".x") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let hex = [folder, rest].concat();
    let digest = std::str::from_utf8(&hex).ok()?.parse().ok()?;
    (folder.len() == 2).then_some(ObjectId { digest, executable })
}

/// The mode of an object, and of every file in a generation.
pub(crate) fn mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;

    #[test]
    fn names_are_read_back() {
        for executable in [false, true] {
            let id = ObjectId { digest: Digest::of(b"x"), executable };
            let name = name(id);
            assert_eq!(parse_name(&name[..2], &name[3..]), Some(id));
            assert_eq!(parse_name(&name[..2], &name[4..]), None);
            assert_eq!(parse_name(b"zz", &name[3..]), None);
        }
    }
}
