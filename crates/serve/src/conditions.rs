//! Conditional requests (RFC 9110, section 13), without input and output.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName};

/// The validators of a representation.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// The strong entity tag, with its quotes.
    pub(crate) tag: String,
    /// The time of the last change; `None` if only the tag is known.
    pub(crate) modified: Option<SystemTime>,
}

/// The result of the preconditions of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The response is sent.
    Send,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110, 13.2.2.
pub(crate) fn evaluate(method: &Method, headers: &HeaderMap, validators: &Validators) -> Outcome {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, &header::IF_MATCH, &validators.tag, false) {
            return Outcome::Failed;
        }
    } else if let Some(date) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && validators.modified.is_some_and(|modified| whole_seconds(modified) > date)
    {
        return Outcome::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if lists(headers, &header::IF_NONE_MATCH, &validators.tag, true) {
            return if is_read { Outcome::NotModified } else { Outcome::Failed };
        }
    } else if is_read
        && let Some(date) = date(headers, &header::IF_MODIFIED_SINCE)
        && validators.modified.is_some_and(|modified| whole_seconds(modified) <= date)
    {
        return Outcome::NotModified;
    }
    Outcome::Send
}

/// Returns whether a time is needed to evaluate the preconditions of a request.
pub(crate) fn needs_time(headers: &HeaderMap) -> bool {
    (headers.contains_key(header::IF_UNMODIFIED_SINCE) && !headers.contains_key(header::IF_MATCH))
        || (headers.contains_key(header::IF_MODIFIED_SINCE) && !headers.contains_key(header::IF_NONE_MATCH))
}

/// Returns whether `If-Range` allows a range: it is absent, or names exactly this representation.
pub(crate) fn allows_range(headers: &HeaderMap, validators: &Validators, now: SystemTime) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let value = value.trim();
    if value.starts_with('"') || value.starts_with("W/") {
        // A weak tag never matches.
        return value == validators.tag;
    }
    let (Ok(date), Some(modified)) = (httpdate::parse_http_date(value), validators.modified) else {
        return false;
    };
    let modified = whole_seconds(modified);
    // A date is a strong validator only if a second has passed since (RFC 9110, 8.8.2.2).
    let is_strong = now.duration_since(modified).is_ok_and(|passed| passed >= Duration::from_secs(1));
    date == modified && is_strong
}

/// Returns whether a list of entity tags has this one, or `*`.
fn lists(headers: &HeaderMap, name: &HeaderName, tag: &str, weakly: bool) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.trim() == "*"
            || tags(value).any(|(is_weak, listed)| listed == tag.trim_matches('"') && (weakly || !is_weak))
    })
}

/// Splits a list of entity tags. A comma may be within the quotes of one.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let is_weak = rest[..start].trim_end().ends_with("W/");
        let inner = &rest[start + 1..];
        let end = inner.find('"')?;
        rest = &inner[end + 1..];
        Some((is_weak, &inner[..end]))
    })
}

/// Parses a date. A header that is invalid or repeated is ignored.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    httpdate::parse_http_date(only.to_str().ok()?.trim()).ok()
}

/// Cuts a time to whole seconds, as dates of HTTP have them.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777) + Duration::from_millis(500);
        Validators { tag: "\"abc\"".to_owned(), modified: Some(modified) }
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn preconditions_are_evaluated_row_by_row() {
        use Outcome::{Failed, NotModified, Send};
        let check = |list: &[(&'static str, &str)], expected: Outcome| {
            let found = evaluate(&Method::GET, &headers(list), &validators());
            assert_eq!(found, expected, "{list:?}");
        };
        check(&[], Send);
        check(&[("if-match", "\"abc\"")], Send);
        check(&[("if-match", "\"x\", \"abc\"")], Send);
        check(&[("if-match", "*")], Send);
        check(&[("if-match", "\"x\"")], Failed);
        check(&[("if-match", "W/\"abc\"")], Failed);
        check(&[("if-none-match", "\"abc\"")], NotModified);
        check(&[("if-none-match", "W/\"abc\"")], NotModified);
        check(&[("if-none-match", "\"x,y\", \"abc\"")], NotModified);
        check(&[("if-none-match", "*")], NotModified);
        check(&[("if-none-match", "\"x\"")], Send);
        check(&[("if-none-match", "abc")], Send);
        check(&[("if-modified-since", SAME)], NotModified);
        check(&[("if-modified-since", LATER)], NotModified);
        check(&[("if-modified-since", EARLIER)], Send);
        check(&[("if-modified-since", "yesterday")], Send);
        check(&[("if-unmodified-since", SAME)], Send);
        check(&[("if-unmodified-since", EARLIER)], Failed);
        check(&[("if-unmodified-since", "yesterday")], Send);
        // A tag takes precedence over a date.
        check(&[("if-none-match", "\"x\""), ("if-modified-since", LATER)], Send);
        check(&[("if-none-match", "\"abc\""), ("if-modified-since", EARLIER)], NotModified);
        check(&[("if-match", "\"abc\""), ("if-unmodified-since", EARLIER)], Send);
        check(&[("if-match", "\"abc\""), ("if-none-match", "\"abc\"")], NotModified);
        check(&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")], Failed);
    }

    #[test]
    fn a_range_needs_the_same_representation() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_900);
        let check = |value: &str, expected: bool| {
            let found = allows_range(&headers(&[("if-range", value)]), &validators(), now);
            assert_eq!(found, expected, "{value}");
        };
        assert!(allows_range(&HeaderMap::new(), &validators(), now));
        check("\"abc\"", true);
        check("\"x\"", false);
        check("W/\"abc\"", false);
        check(SAME, true);
        check(LATER, false);
        check(EARLIER, false);
        check("nonsense", false);
        let at_once = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert!(!allows_range(&headers(&[("if-range", SAME)]), &validators(), at_once));
    }
}
