//! Byte ranges (RFC 9110, section 14), without input and output.

/// The part of a representation that a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// All of it. An invalid header and several ranges count as none, as the RFC allows.
    Whole,
    /// The bytes from the first offset up to the second, which is excluded.
    Part(u64, u64),
    /// 416.
    Unsatisfiable,
}

/// Parses the header of a request for a representation of this length.
pub(crate) fn parse(header: Option<&str>, length: u64) -> Wanted {
    header.and_then(|header| single(header, length)).unwrap_or(Wanted::Whole)
}

fn single(header: &str, length: u64) -> Option<Wanted> {
    let (unit, set) = header.trim().split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let part = match (first.trim(), last.trim()) {
        ("", "") => return None,
        ("", suffix) => match number(suffix)? {
            0 => Wanted::Unsatisfiable,
            suffix => Wanted::Part(length.saturating_sub(suffix), length),
        },
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            Wanted::Part(first, last.saturating_add(1).min(length))
        }
    };
    match part {
        Wanted::Part(start, end) if start >= end => Some(Wanted::Unsatisfiable),
        part => Some(part),
    }
}

/// Parses digits. A number beyond 64 bits is larger than any file.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_row_by_row() {
        use Wanted::{Part, Unsatisfiable, Whole};
        let check = |header: &str, expected: Wanted| {
            assert_eq!(parse(Some(header), 100), expected, "{header}");
        };
        assert_eq!(parse(None, 100), Whole);
        check("bytes=0-0", Part(0, 1));
        check("bytes=0-99", Part(0, 100));
        check("bytes=0-500", Part(0, 100));
        check("bytes=10-", Part(10, 100));
        check("bytes=-10", Part(90, 100));
        check("bytes=-500", Part(0, 100));
        check("BYTES=1-2", Part(1, 3));
        check("bytes= 1 - 2 ", Part(1, 3));
        check("bytes=99-", Part(99, 100));
        check("bytes=100-", Unsatisfiable);
        check("bytes=500-600", Unsatisfiable);
        check("bytes=-0", Unsatisfiable);
        check("bytes=5-4", Whole);
        check("bytes=-", Whole);
        check("bytes=a-b", Whole);
        check("bytes=+1-2", Whole);
        check("bytes", Whole);
        check("lines=1-2", Whole);
        check("bytes=0-1,5-6", Whole);
        check("bytes=0-99999999999999999999999", Part(0, 100));
        check("bytes=99999999999999999999999-", Unsatisfiable);
        assert_eq!(parse(Some("bytes=0-"), 0), Unsatisfiable);
        assert_eq!(parse(Some("bytes=-1"), 0), Unsatisfiable);
    }
}
