//! Days, weeks and months of a time, in UTC, as numbers that can be compared.

use std::time::SystemTime;

use super::tree::Mtime;

/// A span of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Span {
    Day,
    /// From Monday to Sunday.
    Week,
    Month,
}

impl Span {
    /// Returns the number of the span that a time is in.
    pub(crate) fn of(self, time: SystemTime) -> i64 {
        // 1970-01-01 was a Thursday.
        let days = Mtime::from(time).secs.div_euclid(86_400);
        match self {
            Span::Day => days,
            Span::Week => (days + 3).div_euclid(7),
            Span::Month => month(days),
        }
    }
}

/// Returns the number of a day's month. A year begins in March here, so that the leap day is its last, and the months
/// before it have 153 days in each five.
fn month(days: i64) -> i64 {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    (cycle * 400 + year) * 12 + (5 * day + 2) / 153
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Counts the days from 1970-01-01 by the rule of leap years.
    fn days(year: i64, month: usize, day: i64) -> u64 {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths =
            |year| [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let years: i64 = (1970..year).map(|year| lengths(year).iter().sum::<i64>()).sum();
        (years + lengths(year)[..month - 1].iter().sum::<i64>() + day - 1) as u64
    }

    #[test]
    fn spans_begin_where_the_calendar_says() {
        let at = |day: u64| UNIX_EPOCH + Duration::from_secs(day * 86_400);
        for year in [1970, 1999, 2000, 2023, 2024, 2100, 2400] {
            for month in 1..=12 {
                let first = days(year, month, 1);
                assert_eq!(Span::Month.of(at(first)), Span::Month.of(at(first + 27)), "{year}-{month}");
                if first > 0 {
                    assert_eq!(
                        Span::Month.of(at(first)),
                        Span::Month.of(at(first - 1)) + 1,
                        "{year}-{month}"
                    );
                }
            }
        }
        // 2026-01-05 was a Monday.
        let monday = days(2026, 1, 5);
        assert_eq!(Span::Week.of(at(monday)), Span::Week.of(at(monday + 6)));
        assert_eq!(Span::Week.of(at(monday)), Span::Week.of(at(monday - 1)) + 1);
        assert_eq!(Span::Day.of(at(9) + Duration::from_secs(86_399)), 9);
        assert_eq!(Span::Day.of(UNIX_EPOCH - Duration::from_secs(1)), -1);
    }
}
