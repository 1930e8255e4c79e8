//! The choice of a content coding by `Accept-Encoding` (RFC 9110, 12.5.3).

/// A content coding that the server makes, or finds beside a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// All codings, the preferred one first.
    pub(crate) const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Returns its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// Returns the ending of a file with this coding.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Coding::Zstd => ".zst",
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }

    /// Returns whether the server can make it. Brotli is only taken from files of the tree.
    pub(crate) fn is_made(self) -> bool {
        self != Coding::Brotli
    }
}

/// The weights of the codings in a request, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Accepted {
    weights: [u16; 3],
    identity: u16,
}

impl Accepted {
    /// Parses the header. A missing one accepts the plain form only.
    pub(crate) fn parse(header: Option<&str>) -> Accepted {
        let Some(header) = header else { return Accepted { weights: [0; 3], identity: 1000 } };
        let (mut named, mut identity, mut star) = ([None; 3], None, None);
        for item in header.split(',') {
            let mut parts = item.split(';');
            let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts.find_map(|part| weight(part.trim())).unwrap_or(1000);
            match name.as_str() {
                "zstd" => named[0] = Some(weight),
                "br" => named[1] = Some(weight),
                "gzip" | "x-gzip" => named[2] = Some(weight),
                "identity" => identity = Some(weight),
                "*" => star = Some(weight),
                _ => {}
            }
        }
        Accepted {
            weights: named.map(|weight| weight.or(star).unwrap_or(0)),
            identity: identity.unwrap_or(if star == Some(0) { 0 } else { 1 }),
        }
    }

    /// Returns the codings that the client prefers to the plain form, the best first.
    pub(crate) fn preferred(self) -> impl Iterator<Item = Coding> {
        let mut all: Vec<(u16, Coding)> = self.weights.into_iter().zip(Coding::ALL).collect();
        all.retain(|(weight, _)| *weight > 0 && *weight >= self.identity);
        all.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        all.into_iter().map(|(_, coding)| coding)
    }
}

/// Parses `q=0.5` as thousandths.
fn weight(text: &str) -> Option<u16> {
    let value = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let number: f32 = value.trim().parse().ok()?;
    (0.0..=1.0).contains(&number).then_some((number * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        use Coding::{Brotli, Gzip, Zstd};
        let check = |header: Option<&str>, expected: &[Coding]| {
            let found: Vec<Coding> = Accepted::parse(header).preferred().collect();
            assert_eq!(found, expected, "{header:?}");
        };
        check(None, &[]);
        check(Some(""), &[]);
        check(Some("gzip"), &[Gzip]);
        check(Some("gzip, deflate, br, zstd"), &[Zstd, Brotli, Gzip]);
        check(Some("gzip;q=1.0, zstd;q=0.5"), &[Gzip, Zstd]);
        check(Some("zstd;q=0, gzip"), &[Gzip]);
        check(Some("*"), &[Zstd, Brotli, Gzip]);
        check(Some("*;q=0"), &[]);
        check(Some("br;q=0, *;q=0.2"), &[Zstd, Gzip]);
        check(Some("identity;q=1, gzip;q=0.5"), &[]);
        check(Some("GZIP ; q=0.8 , identity;q=0.5"), &[Gzip]);
        check(Some("gzip;q=nonsense"), &[Gzip]);
    }
}
