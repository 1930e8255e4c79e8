//! Formats and parses times and durations, for people and programs.
//!
//! Only the program reads the clock; the library takes it as an argument.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};
use jiff::tz::TimeZone;
use jiff::{RoundMode, Span, SpanRelativeTo, SpanRound, Timestamp, Unit};

fn timestamp(time: SystemTime) -> Timestamp {
    // Times beyond the range of the calendar are clamped to its ends.
    Timestamp::try_from(time).unwrap_or(match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    })
}

/// Formats a time for programs: RFC 3339, UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    timestamp(time).to_string()
}

/// Formats a time for people, in the local time zone.
pub(crate) fn local(time: SystemTime) -> String {
    let zoned = timestamp(time).to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// Formats the time of day, in the local time zone.
pub(crate) fn of_day(time: SystemTime) -> String {
    timestamp(time).to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// Describes roughly how long ago a time was.
pub(crate) fn ago(time: SystemTime, now: SystemTime) -> String {
    let secs = match now.duration_since(time) {
        Ok(age) => age.as_secs(),
        Err(ahead) if ahead.duration().as_secs() < 60 => 0,
        Err(_) => return "in the future".to_owned(),
    };
    match secs {
        0..5 => "just now".to_owned(),
        5..60 => format!("{secs} s ago"),
        60..3600 => format!("{} min ago", secs / 60),
        3600..86_400 => format!("{} h ago", secs / 3600),
        86_400..2_592_000 => format!("{} d ago", secs / 86_400),
        _ => timestamp(time).to_zoned(TimeZone::system()).strftime("%Y-%m-%d").to_string(),
    }
}

/// Parses a duration: `500ms`, `90s`, `10m`, `1h30m`, `7d`, `2w`, or `0`. A day has 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let bad = || format!("not a duration: {} (write it like 30s, 10m, 2h or 7d)", shown(text));
    // jiff also accepts signs, fractions and blanks. They are not needed, and could be typing errors in
    // scripts.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
        return Err(bad());
    }
    let span = SpanParser::new().parse_span(text).map_err(|_| bad())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    Duration::try_from(duration).map_err(|_| bad())
}

/// Parses a moment: RFC 3339, a date (its start) or a date with a time in the local time zone, or a duration
/// from `now`.
pub(crate) fn parse_moment(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(duration) = parse_duration(text) {
        return now.checked_add(duration).ok_or_else(|| format!("too far away: {}", shown(text)));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.into());
    }
    // A date without a time is its start.
    let zoned = text.parse::<DateTime>().ok().and_then(|day| day.to_zoned(TimeZone::system()).ok());
    zoned.map(|zoned| zoned.timestamp().into()).ok_or_else(|| {
        format!("not a time: {} (write it like 2031-05-01, '2031-05-01 18:00' or 7d)", shown(text))
    })
}

/// Formats a duration for [`parse_duration`], to the millisecond.
pub(crate) fn duration(duration: Duration) -> String {
    let units = SpanRound::new().largest(Unit::Day).smallest(Unit::Millisecond).days_are_24_hours();
    let span = Span::try_from(duration).and_then(|span| span.round(units.mode(RoundMode::Trunc)));
    match span {
        Ok(span) => {
            let printer = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);
            printer.span_to_string(&span)
        }
        // The duration is longer than the calendar.
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

fn shown(text: &str) -> String {
    genstore::tree::show_path(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_durations() {
        let check = |text: &str, millis: Option<u64>, again: &str| {
            let read = parse_duration(text).ok();
            assert_eq!(read, millis.map(Duration::from_millis), "{text}");
            if let Some(read) = read {
                assert_eq!(duration(read), again);
            }
        };
        check("500ms", Some(500), "500ms");
        check("10m", Some(600_000), "10m");
        check("10min", Some(600_000), "10m");
        check("90s", Some(90_000), "1m30s");
        check("1h30m", Some(5_400_000), "1h30m");
        check("2w", Some(1_209_600_000), "14d");
        check("0", Some(0), "0s");
        for bad in
            ["", "10", "m", "-1s", "1.5h", "10 m", "1y", "99999999999999999999s", "9999999999999999w"]
        {
            check(bad, None, "");
        }
    }

    #[test]
    fn tells_how_long_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let check = |secs: u64, expected: &str| {
            assert_eq!(ago(now - Duration::from_secs(secs), now), expected);
        };
        check(4, "just now");
        check(59, "59 s ago");
        check(119, "1 min ago");
        check(7200, "2 h ago");
        check(86_400 * 29, "29 d ago");
        assert_eq!(ago(now + Duration::from_secs(3), now), "just now");
        assert_eq!(ago(now + Duration::from_secs(60), now), "in the future");
    }

    #[test]
    fn reads_moments() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let secs = |text: &str| {
            let moment = parse_moment(text, now).ok()?;
            Some(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(secs("1m"), Some(1060));
        assert_eq!(secs("1970-01-01T01:00:00+00:30"), Some(1800));
        assert_eq!(secs("tomorrow"), None);
        assert_eq!(secs("2031-05-01 25:00"), None);
        assert_eq!(secs("2031-13-01"), None);
    }
}
