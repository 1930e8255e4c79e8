//! The rules in the files `_headers` and `_redirects` of a site, in Netlify's format.
//!
//! The subset: paths with a `*` at the end and `:name` parts; the statuses 200, 301, 302, 303, 307, 308, 404
//! and 410, and `!`. Lines with conditions (countries, languages, roles, queries) are left out.

use hyper::header::{HeaderName, HeaderValue};

/// The number of rules of a file that are read.
const MOST: usize = 1000;

/// Headers that belong to the server.
const RESERVED: [&str; 12] = [
    "accept-ranges",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "etag",
    "last-modified",
    "location",
    "transfer-encoding",
    "upgrade",
    "vary",
];

/// The rules of a site.
#[derive(Default, Debug)]
pub(crate) struct Rules {
    headers: Vec<(Pattern, Vec<(HeaderName, HeaderValue)>)>,
    redirects: Vec<Redirect>,
}

#[derive(Debug)]
struct Redirect {
    from: Pattern,
    to: String,
    status: u16,
    is_forced: bool,
}

/// The result of a redirect rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Redirected {
    /// The client is sent elsewhere.
    Elsewhere(u16, String),
    /// Another path of the generation is the answer, with this status.
    Rewritten(u16, String),
}

impl Rules {
    /// Parses both files.
    pub(crate) fn parse(headers: &[u8], redirects: &[u8]) -> Rules {
        Rules { headers: parse_headers(headers), redirects: parse_redirects(redirects) }
    }

    pub(crate) fn have_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Returns the headers for a path, which begins with a slash.
    pub(crate) fn headers(&self, path: &str) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        let matching = self.headers.iter().filter(|(pattern, _)| pattern.matches(path).is_some());
        matching.flat_map(|(_, headers)| headers)
    }

    /// Returns the redirect of a path, of the forced rules only or of all.
    pub(crate) fn redirect(&self, path: &str, only_forced: bool) -> Option<Redirected> {
        let rules = self.redirects.iter().filter(|rule| rule.is_forced || !only_forced);
        rules.filter_map(|rule| rule.apply(path)).next()
    }
}

impl Redirect {
    fn apply(&self, path: &str) -> Option<Redirected> {
        let parts = self.from.matches(path)?;
        let mut to = self.to.clone();
        for (name, value) in &parts {
            to = to.replace(&format!(":{name}"), value);
        }
        // A part of the path must not become the name of a host.
        if self.to.starts_with('/') && to.starts_with("//") {
            return None;
        }
        Some(match self.status {
            200 | 404 | 410 => Redirected::Rewritten(self.status, to),
            status => Redirected::Elsewhere(status, to),
        })
    }
}

/// A path with placeholders.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    parts: Vec<Part>,
    is_open: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Is(String),
    Any(String),
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let path = text.strip_prefix('/')?;
        let (path, is_open) = match path.strip_suffix('*') {
            Some(path) => (path.trim_end_matches('/'), true),
            None => (path.trim_end_matches('/'), false),
        };
        if path.contains('*') {
            return None;
        }
        let part = |part: &str| match part.strip_prefix(':') {
            Some(name) => Part::Any(name.to_owned()),
            None => Part::Is(part.to_owned()),
        };
        let parts = path.split('/').filter(|text| !text.is_empty()).map(part).collect();
        Some(Pattern { parts, is_open })
    }

    /// Returns the values of the placeholders, or `None` if the path does not match.
    fn matches<'p>(&'p self, path: &str) -> Option<Vec<(&'p str, String)>> {
        let mut found = vec![];
        let mut rest = path.trim_matches('/').split('/').filter(|text| !text.is_empty());
        for part in &self.parts {
            match (part, rest.next()?) {
                (Part::Is(wanted), text) if wanted == text => {}
                (Part::Is(_), _) => return None,
                (Part::Any(name), text) => found.push((name.as_str(), text.to_owned())),
            }
        }
        let rest: Vec<&str> = rest.collect();
        if self.is_open {
            found.push(("splat", rest.join("/")));
        }
        (self.is_open || rest.is_empty()).then_some(found)
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

fn parse_headers(bytes: &[u8]) -> Vec<(Pattern, Vec<(HeaderName, HeaderValue)>)> {
    let mut rules: Vec<(Pattern, Vec<(HeaderName, HeaderValue)>)> = vec![];
    let mut is_usable = false;
    for line in lines(bytes) {
        if !line.starts_with([' ', '\t']) {
            let pattern = Pattern::parse(line.trim());
            is_usable = pattern.is_some() && rules.len() < MOST;
            rules.extend(pattern.filter(|_| is_usable).map(|pattern| (pattern, vec![])));
        } else if is_usable
            && let Some((_, headers)) = rules.last_mut()
            && let Some((name, value)) = line.trim().split_once(':')
            && let (Ok(name), Ok(value)) = (name.trim().parse::<HeaderName>(), value.trim().parse())
            && !RESERVED.contains(&name.as_str())
        {
            headers.push((name, value));
        }
    }
    rules
}

fn parse_redirects(bytes: &[u8]) -> Vec<Redirect> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (from, to) = (words.next()?, words.next()?);
        let status = words.next().unwrap_or("301");
        let (status, is_forced) = match status.strip_suffix('!') {
            Some(status) => (status, true),
            None => (status, false),
        };
        let status: u16 = status.parse().ok()?;
        let is_known = [200, 301, 302, 303, 307, 308, 404, 410].contains(&status);
        let is_inside = to.starts_with('/');
        let is_address = to.starts_with("https://") || to.starts_with("http://");
        let is_redirect = (300..400).contains(&status);
        let fits = is_inside || (is_address && is_redirect);
        if words.next().is_some_and(|word| !word.starts_with('#')) || !is_known || !fits {
            return None;
        }
        Some(Redirect { from: Pattern::parse(from)?, to: to.to_owned(), status, is_forced })
    };
    lines(bytes).filter_map(parse).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read() {
        let rules = Rules::parse(
            b"",
            b"# comment\n/old /new\n/blog/* /news/:splat 302\n/u/:name /user?n=:name 308\n\
              /app/* /index.html 200\n/out https://example.org/x 301\n/hide /404.html 404!\n\
              /proxy https://example.org 200\n/fr/* /fr Country=fr\n/* /:splat/x 301\nbad\n",
        );
        let check = |path: &str, expected: Option<Redirected>| {
            assert_eq!(rules.redirect(path, false), expected, "{path}");
        };
        let to = |status, to: &str| Some(Redirected::Elsewhere(status, to.to_owned()));
        let as_ = |status, to: &str| Some(Redirected::Rewritten(status, to.to_owned()));
        check("/old", to(301, "/new"));
        check("/old/", to(301, "/new"));
        check("/blog/a/b", to(302, "/news/a/b"));
        check("/u/ann", to(308, "/user?n=ann"));
        check("/app/deep", as_(200, "/index.html"));
        check("/out", to(301, "https://example.org/x"));
        check("/hide", as_(404, "/404.html"));
        check("/other", to(301, "/other/x"));
        // An empty part would make it `//x`.
        check("/", None);
        assert_eq!(rules.redirect("/old", true), None);
        assert_eq!(rules.redirect("/hide", true), as_(404, "/404.html"));
    }

    #[test]
    fn headers_are_read() {
        let text = b"/*\n  X-One: 1\n  ETag: \"mine\"\n/a/*\n  X-Two: a: b\n  bad\n/*/b\n  X-Three: 3\n";
        let rules = Rules::parse(text, b"");
        let names = |path: &str| -> Vec<String> {
            rules.headers(path).map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect()
        };
        assert_eq!(names("/"), ["x-one=1"]);
        assert_eq!(names("/a/b"), ["x-one=1", "x-two=a: b"]);
    }
}
