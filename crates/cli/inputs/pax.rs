//! The records of an extended header of a tar archive (pax): any number of `LENGTH KEY=VALUE\n`. A value
//! may contain line feeds, so records are split by their lengths.

use std::time::{Duration, SystemTime};

use super::sparse::Records;

/// The fields of an extended header that a tree keeps.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: Option<SystemTime>,
    pub(crate) sparse: Option<Records>,
}

impl Pax {
    /// Parses the records. Returns `None` if they are malformed.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Pax> {
        let mut pax = Pax::default();
        let mut sparse_name = None;
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|&b| b == b' ')?;
            let length: usize = text(&bytes[..blank])?.parse().ok()?;
            let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
            bytes = &bytes[length..];
            let equals = record.iter().position(|&b| b == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => pax.path = Some(value.to_vec()),
                b"linkpath" => pax.link = Some(value.to_vec()),
                b"size" => pax.size = Some(text(value)?.parse().ok()?),
                b"mtime" => pax.mtime = Some(parse_time(text(value)?)?),
                _ => {
                    let Some(key) = key.strip_prefix(b"GNU.sparse.") else { continue };
                    let sparse = pax.sparse.get_or_insert_default();
                    match key {
                        b"name" => sparse_name = Some(value.to_vec()),
                        key => sparse.take(key, text(value)?)?,
                    }
                }
            }
        }
        // The path of a sparse file is a placeholder for other programs.
        pax.path = sparse_name.or(pax.path);
        Some(pax)
    }

    /// Fills missing fields from `global`.
    pub(crate) fn or(self, global: &Pax) -> Pax {
        Pax {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size.or(global.size),
            mtime: self.mtime.or(global.mtime),
            sparse: self.sparse.or_else(|| global.sparse.clone()),
        }
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Parses seconds since 1970 with a fraction, possibly negative.
fn parse_time(text: &str) -> Option<SystemTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    if ![digits, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    // Digits beyond nanoseconds are dropped.
    let nanos = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    let span = Duration::new(digits.parse().ok()?, nanos);
    match negative {
        true => SystemTime::UNIX_EPOCH.checked_sub(span),
        false => SystemTime::UNIX_EPOCH.checked_add(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_by_their_lengths() {
        let pax = Pax::parse(b"12 path=a\nb\n6 x=y\n9 size=9\n").unwrap();
        assert_eq!(pax, Pax { path: Some(b"a\nb".to_vec()), size: Some(9), ..Pax::default() });
        for bad in [
            &b"x"[..],
            b"9 path=a",
            b"10 path=a",
            b"99 path=a\n",
            b"3 path=a\n",
            b"0 \n",
            b"1 \n",
            b"4 x\n",
            b"10 size=x\n",
            b"18446744073709551615 size=1\n",
            b"11 mtime=x\n",
        ] {
            assert_eq!(Pax::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn sparse_files_have_a_name_of_their_own() {
        let sparse = Some(Records::default());
        let expected = Pax { path: Some(b"s".to_vec()), sparse, ..Pax::default() };
        let (name, path) = (&b"21 GNU.sparse.name=s\n"[..], &b"10 path=p\n"[..]);
        for records in [[name, path], [path, name]] {
            assert_eq!(Pax::parse(&records.concat()), Some(expected.clone()));
        }
    }

    #[test]
    fn maps_of_sparse_files_come_in_one_record_or_in_many() {
        let check = |records: &[u8], expected: Option<Records>| {
            let found = Pax::parse(records).map(|pax| pax.sparse.unwrap());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(records));
        };
        let records = |major, size, map: &[u64]| Some(Records { major, size, map: map.to_vec() });
        check(b"21 GNU.sparse.size=9\n23 GNU.sparse.map=1,2,\n", records(None, Some(9), &[1, 2]));
        let many = b"23 GNU.sparse.offset=1\n25 GNU.sparse.numbytes=2\n";
        check(many, records(None, None, &[1, 2]));
        check(b"22 GNU.sparse.major=1\n25 GNU.sparse.realsize=7\n", records(Some(1), Some(7), &[]));
        check(b"21 GNU.sparse.map=,,\n", records(None, None, &[]));
        for bad in [&b"21 GNU.sparse.size=x\n"[..], b"23 GNU.sparse.map=1;2\n"] {
            check(bad, None);
        }
    }

    #[test]
    fn times_have_fractions_and_signs() {
        let epoch = SystemTime::UNIX_EPOCH;
        let check = |text: &str, expected: Option<SystemTime>| {
            assert_eq!(parse_time(text), expected, "{text}");
        };
        check("5", Some(epoch + Duration::from_secs(5)));
        check("5.25", Some(epoch + Duration::from_millis(5250)));
        check("5.1234567891", Some(epoch + Duration::new(5, 123_456_789)));
        check("-5.5", Some(epoch - Duration::from_millis(5500)));
        for bad in ["", "-", "+5", "5.-1", "1e3", "--5", "99999999999999999999", "18446744073709551615"] {
            check(bad, None);
        }
    }
}
