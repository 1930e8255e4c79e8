//! Sizes, as people write them.

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a size in bytes: `4096`, `5 MiB`, `1.5GB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || {
        format!(
            "not a size: {} (write it like 4096, 512 KiB or 1.5 GB)",
            genstore::show_path(text.as_bytes())
        )
    };
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..end], trimmed[end..].trim_start());
    let factor = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(bad);
    }
    let size = number.parse::<f64>().map_err(|_| bad())? * factor as f64;
    // Half a byte is a slip; so is what no disk holds.
    if factor > 1 && size.is_finite() && size < 1e18 { Ok(size.round() as u64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(parse_size(text).ok(), bytes, "{text}");
        check("0", Some(0));
        check("4096", Some(4096));
        check("5 MiB", Some(5 << 20));
        check("5MiB", Some(5 << 20));
        check("1.5 GB", Some(1_500_000_000));
        check("18446744073709551615", Some(u64::MAX));
        for bad in ["", "MiB", "1.5", "5 mib", "-1", "1.2.3 MB", "99999999999 TiB", "1e3", "5 MiB x"] {
            check(bad, None);
        }
    }
}
