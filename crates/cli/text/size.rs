//! Parses sizes.

/// The units, in bytes. As everywhere in the program, K is 1024.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
];

/// Parses a size in bytes: `1048576`, `500M`, `2GiB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let bad = || {
        let shown = genstore::tree::show_path(text.as_bytes());
        format!("not a size: {shown} (write it like 4096, 500M or 2GiB)")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = UNITS.iter().find(|(name, _)| *name == text[digits..].trim_start()).ok_or_else(bad)?;
    number.checked_mul(unit.1).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(parse(text).ok(), expected, "{text}");
        check("0", Some(0));
        check("4096", Some(4096));
        check("12B", Some(12));
        check("1K", Some(1024));
        check("500M", Some(500 << 20));
        check("2 GiB", Some(2 << 30));
        check("1TiB", Some(1 << 40));
        for bad in ["", "M", "-1", "1.5G", "1 kB", "1m", "16777216T", "99999999999999999999", "1\u{1b}"] {
            check(bad, None);
        }
        assert_eq!(
            parse("\u{1b}1").unwrap_err(),
            "not a size: \\u{1b}1 (write it like 4096, 500M or 2GiB)"
        );
    }
}
