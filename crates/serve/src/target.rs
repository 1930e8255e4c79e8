//! The target of a request: the generation and the path in it, from the host and the path.

use std::net::IpAddr;

use genstore::GenerationId;
use genstore::tree::RelPath;
use percent_encoding::percent_decode_str;

/// The prefix of permalinks that need no host name of their own.
const BY_PATH: &str = "/@gen/";
/// The prefix of the server's own pages.
pub(crate) const OWN: &str = "/@genstore/";

/// The generation that a request names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// The current one.
    Current,
    /// The one with this number.
    Number(GenerationId),
    /// The pinned one of this name.
    Pin(String),
}

impl Which {
    /// Parses a name in a permalink: `42`, or the name of a pin.
    fn named(name: &str) -> Which {
        match GenerationId::parse(name) {
            Some(id) => Which::Number(id),
            None => Which::Pin(name.to_owned()),
        }
    }
}

/// The host names that the server answers to.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names besides `localhost` and the loopback addresses.
    names: Vec<String>,
    /// Whether every name is accepted.
    any: bool,
}

impl Hosts {
    /// Accepts these names, and names below them.
    pub fn of(names: &[String]) -> Hosts {
        Hosts { names: names.iter().map(|name| name.to_ascii_lowercase()).collect(), any: false }
    }

    /// Accepts every name.
    pub fn any() -> Hosts {
        Hosts { names: vec![], any: true }
    }

    /// Returns the generation that a `Host` header names, or `None` if the server does not answer to it.
    ///
    /// A page elsewhere can make its own name resolve to this machine (DNS rebinding). Then the header has
    /// that name.
    pub(crate) fn which(&self, host: &str) -> Option<Which> {
        let name = without_port(host)?.to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if address.is_ok_and(|address| self.any || address.is_loopback()) {
            return Some(Which::Current);
        }
        let own = std::iter::once("localhost").chain(self.names.iter().map(String::as_str));
        for own in own {
            match name.strip_suffix(own) {
                Some("") => return Some(Which::Current),
                Some(below) if below.ends_with('.') => return permalink(below.trim_end_matches('.')),
                _ => {}
            }
        }
        self.any.then_some(Which::Current)
    }
}

/// Returns whether a `Host` header names this machine itself, and no site.
pub(crate) fn is_local(host: &str) -> bool {
    let Some(name) = without_port(host) else { return false };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Parses the label before a host name: `g42`, or the name of a pin.
fn permalink(label: &str) -> Option<Which> {
    if label.is_empty() || label.contains('.') {
        return None;
    }
    let number = label.strip_prefix('g').and_then(GenerationId::parse);
    Some(number.map_or_else(|| Which::Pin(label.to_owned()), Which::Number))
}

/// Removes the port from a host.
fn without_port(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    (!name.is_empty() && port.strip_prefix(':').map_or(port.is_empty(), is_port)).then_some(name)
}

/// The path of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// The generation, if the path names it.
    pub(crate) which: Option<Which>,
    /// The part before the path in the generation, for redirects: `/`, or `/@gen/42/`.
    pub(crate) base: String,
    /// The path in the generation; empty for its root.
    pub(crate) path: Vec<u8>,
    /// Whether the path ends with a slash.
    pub(crate) is_folder: bool,
}

/// The reason why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadPath {
    /// 400: it is not a path.
    Malformed,
    /// 404: no file of a tree has it.
    Nowhere,
    /// The path of a permalink has no slash at its end.
    NeedsSlash,
}

/// Parses the path of a request, without its query.
pub(crate) fn parse(path: &str) -> Result<Target, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::Malformed);
    }
    let (which, base, rest) = match path.strip_prefix(BY_PATH) {
        Some(rest) => {
            let (name, rest) = rest.split_once('/').ok_or(BadPath::NeedsSlash)?;
            (Some(Which::named(&decoded_name(name)?)), format!("{BY_PATH}{name}/"), rest)
        }
        None => (None, "/".to_owned(), &path[1..]),
    };
    let bytes = decode(rest)?;
    let (bytes, is_folder) = match bytes.as_slice() {
        [] => (bytes, true),
        [b'/'] => return Err(BadPath::Nowhere),
        [folder @ .., b'/'] => (folder.to_vec(), true),
        _ => (bytes, false),
    };
    if !bytes.is_empty() {
        let parts = bytes.split(|byte| *byte == b'/');
        if parts.clone().any(|part| part == b"..") || bytes.contains(&0) {
            return Err(BadPath::Malformed);
        }
        if RelPath::new(bytes.clone()).is_err() || parts.clone().any(is_hidden) {
            return Err(BadPath::Nowhere);
        }
    }
    Ok(Target { which, base, path: bytes, is_folder })
}

fn decoded_name(name: &str) -> Result<String, BadPath> {
    String::from_utf8(decode(name)?).map_err(|_| BadPath::Malformed)
}

/// Returns whether a name is never served: dot files, except those of RFC 8615.
fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && name != b".well-known"
}

fn decode(text: &str) -> Result<Vec<u8>, BadPath> {
    let bytes = text.as_bytes();
    let escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    for (at, _) in escapes {
        let digits = bytes.get(at + 1..at + 3).ok_or(BadPath::Malformed)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadPath::Malformed);
        }
    }
    Ok(percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_generations() {
        let hosts = Hosts::of(&["Example.org".to_owned()]);
        let number = |n| Some(Which::Number(GenerationId::new(n).unwrap()));
        let pin = |name: &str| Some(Which::Pin(name.to_owned()));
        let check = |host: &str, expected: Option<Which>| assert_eq!(hosts.which(host), expected, "{host}");
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
            check(host, Some(Which::Current));
        }
        check("example.org:8080", Some(Which::Current));
        check("g42.localhost:8080", number(42));
        check("g7.example.org", number(7));
        check("stable.localhost", pin("stable"));
        check("g0.localhost", pin("g0"));
        for host in
            ["", ":80", "evil.org", "localhost.evil.org", "notlocalhost", "192.168.1.1", "a.b.localhost"]
        {
            check(host, None);
        }
        check("localhost:80x", None);
        check("[::1", None);
        assert_eq!(Hosts::any().which("site.test"), Some(Which::Current));
        assert_eq!(Hosts::any().which("10.0.0.1:80"), Some(Which::Current));
    }

    #[test]
    fn paths_stay_in_the_tree() {
        let check = |path: &str, expected: Result<(&str, &[u8], bool), BadPath>| {
            let found = parse(path);
            let found = found.as_ref().map(|t| (t.base.as_str(), t.path.as_slice(), t.is_folder));
            assert_eq!(found, expected.as_ref().copied(), "{path}");
        };
        check("/", Ok(("/", b"", true)));
        check("/a/b.html", Ok(("/", b"a/b.html", false)));
        check("/a%20b/", Ok(("/", b"a b", true)));
        check("/%ff", Ok(("/", b"\xff", false)));
        check("/@gen/42/x", Ok(("/@gen/42/", b"x", false)));
        check("/@gen/stable/", Ok(("/@gen/stable/", b"", true)));
        check("/.well-known/a", Ok(("/", b".well-known/a", false)));
        check("/@gen/42", Err(BadPath::NeedsSlash));
        for path in
            ["*", "", "/../x", "/a/..", "/%2e%2e/x", "/a/%2E%2E%2Fb", "/a%00", "/a%", "/a%4", "/%zz"]
        {
            check(path, Err(BadPath::Malformed));
        }
        for path in ["//", "//evil.org", "/a//b", "/./a", "/.git/config", "/a/.env", "/%2egit/x"] {
            check(path, Err(BadPath::Nowhere));
        }
        check(&format!("/{}", "a".repeat(256)), Err(BadPath::Nowhere));
    }
}
