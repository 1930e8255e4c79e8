//! Retention: the rule that chooses which generations stay. Pure: `change/retain` reads the facts, `collect` and
//! `recycle` act.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::calendar::Span;
use super::ids::GenerationId;

/// The generations to keep, beyond those that are current, pinned or leased.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// This number of the newest good generations.
    pub keep_last: usize,
    /// Generations made within this duration.
    pub keep_within: Option<Duration>,
    /// Generations that were current within this duration: programs that started on one may still read
    /// it.
    pub grace: Duration,
    /// The newest good generation of each of this number of days, in UTC.
    pub keep_daily: usize,
    /// The same for weeks, which begin on Monday.
    pub keep_weekly: usize,
    /// The same for months.
    pub keep_monthly: usize,
    /// If set: all generations but these, and these whatever the rule says, unless they are in use (current, pinned,
    /// leased, or current until recently).
    pub chosen: Option<BTreeSet<GenerationId>>,
    /// If set: the newest of those that the rule gives up, as soon as removing the others frees this number of
    /// bytes.
    pub free_bytes: Option<u64>,
}

impl Default for Retention {
    /// The last five good ones, and ten minutes of grace.
    fn default() -> Retention {
        Retention::only_last(5).grace(Duration::from_secs(600))
    }
}

impl Retention {
    /// Keeps this number of the newest good generations, without grace.
    pub const fn only_last(generations: usize) -> Retention {
        Retention {
            keep_last: generations,
            keep_within: None,
            grace: Duration::ZERO,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
            chosen: None,
            free_bytes: None,
        }
    }

    /// Keeps this number of the newest good generations.
    pub fn keep_last(mut self, generations: usize) -> Retention {
        self.keep_last = generations;
        self
    }

    /// Keeps generations made within this duration.
    pub fn keep_within(mut self, duration: Duration) -> Retention {
        self.keep_within = Some(duration);
        self
    }

    /// Keeps the newest good generation of each of this number of days, weeks and months.
    pub fn keep_periods(mut self, daily: usize, weekly: usize, monthly: usize) -> Retention {
        (self.keep_daily, self.keep_weekly, self.keep_monthly) = (daily, weekly, monthly);
        self
    }

    /// Keeps all generations but these.
    pub fn chosen(mut self, chosen: impl IntoIterator<Item = GenerationId>) -> Retention {
        self.chosen = Some(chosen.into_iter().collect());
        self
    }

    /// Keeps the newest of those that the rule gives up, as soon as this number of bytes is freed.
    pub fn free_bytes(mut self, bytes: u64) -> Retention {
        self.free_bytes = Some(bytes);
        self
    }

    /// Returns whether the verdict about a generation depends on others than newer good ones.
    pub(crate) fn compares_all(&self) -> bool {
        self.keep_daily + self.keep_weekly + self.keep_monthly > 0 || self.free_bytes.is_some()
    }

    /// Keeps generations that were current within this duration.
    pub fn grace(mut self, duration: Duration) -> Retention {
        self.grace = duration;
        self
    }
}

/// The facts about a generation that the rule uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its number.
    pub(crate) id: GenerationId,
    /// The time of its creation.
    pub(crate) created: SystemTime,
    /// The time at which it ceased to be current. `None` if it never was.
    pub(crate) last_current: Option<SystemTime>,
    /// Whether it is current.
    pub(crate) current: bool,
    /// Whether it is not marked as bad.
    pub(crate) good: bool,
    /// Names of the unexpired pins on it.
    pub(crate) pins: Vec<String>,
    /// Whether a living process has a lease on it.
    pub(crate) leased: bool,
}

/// A reason to keep a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is current.
    Current,
    /// A person pinned it.
    Pinned(String),
    /// A living process has a lease on it.
    Leased,
    /// It is one of the newest good ones.
    Last(usize),
    /// It was created within the requested duration.
    Within(Duration),
    /// It was current until recently.
    Grace(Duration),
    /// It is the newest good one of its day, among this number of days.
    Daily(usize),
    /// The same for weeks.
    Weekly(usize),
    /// The same for months.
    Monthly(usize),
    /// Other generations were chosen.
    NotChosen,
    /// Removing older ones frees the requested number of bytes.
    Enough(u64),
}

/// The result for one generation. It is removed if there is no reason to keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Its number.
    pub id: GenerationId,
    /// The reasons to keep it. Empty if it is removed.
    pub reasons: Vec<Reason>,
    /// Whether it is marked as good, or not marked.
    pub good: bool,
}

impl Verdict {
    /// Returns whether the generation stays.
    pub fn keeps(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl Candidate {
    /// Returns whether a clock that ran ahead set the time of its creation, or of the end of its time
    /// as current.
    pub(crate) fn is_ahead_of(&self, now: SystemTime) -> bool {
        self.created > now || self.last_current.is_some_and(|last| last > now)
    }
}

/// Judges all generations, newest first. A time in the future counts as now, so a clock that was set
/// back never makes a generation look old. A generation counts as no newer than the next one, so a
/// generation from a clock that ran years ahead is not kept for years.
pub(crate) fn judge(candidates: &[Candidate], rule: &Retention, now: SystemTime) -> Vec<Verdict> {
    let mut sorted: Vec<Candidate> = candidates.to_vec();
    sorted.sort_by_key(|candidate| std::cmp::Reverse(candidate.id));
    let times: Vec<SystemTime> = sorted.iter().map(|candidate| candidate.created).collect();
    let (mut newer, mut periods) = (0, Periods::of(rule));
    sorted
        .iter_mut()
        .zip(bounded(&times, now))
        .map(|(candidate, created)| {
            candidate.created = created;
            let mut verdict = judge_one(candidate, newer, rule, now);
            newer += usize::from(candidate.good);
            if candidate.good && rule.chosen.is_none() {
                verdict.reasons.extend(periods.keep(created));
            }
            verdict
        })
        .collect()
}

/// The days, weeks and months that have had their newest generation so far.
struct Periods([Period; 3]);

struct Period {
    span: Span,
    reason: Reason,
    left: usize,
    last: Option<i64>,
}

impl Periods {
    fn of(rule: &Retention) -> Periods {
        let period = |span, reason: fn(usize) -> Reason, count| Period {
            span,
            reason: reason(count),
            left: count,
            last: None,
        };
        Periods([
            period(Span::Day, Reason::Daily, rule.keep_daily),
            period(Span::Week, Reason::Weekly, rule.keep_weekly),
            period(Span::Month, Reason::Monthly, rule.keep_monthly),
        ])
    }

    /// Returns the reasons to keep the next older good generation.
    fn keep(&mut self, created: SystemTime) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for Period { span, reason, left, last } in &mut self.0 {
            let number = span.of(created);
            if *left > 0 && *last != Some(number) {
                (*left, *last) = (*left - 1, Some(number));
                reasons.push(reason.clone());
            }
        }
        reasons
    }
}

/// Judges one generation. `newer` is the number of newer good ones.
pub(crate) fn judge_one(candidate: &Candidate, newer: usize, rule: &Retention, now: SystemTime) -> Verdict {
    let age = |time: SystemTime| now.duration_since(time).unwrap_or(Duration::ZERO);
    let mut reasons = Vec::new();
    if candidate.current {
        reasons.push(Reason::Current);
    }
    reasons.extend(candidate.pins.iter().cloned().map(Reason::Pinned));
    if candidate.leased {
        reasons.push(Reason::Leased);
    }
    if let Some(chosen) = &rule.chosen {
        if !chosen.contains(&candidate.id) {
            reasons.push(Reason::NotChosen);
        }
    } else if candidate.good && newer < rule.keep_last {
        reasons.push(Reason::Last(rule.keep_last));
    }
    if let (Some(within), None) = (rule.keep_within, &rule.chosen)
        && age(candidate.created) <= within
    {
        reasons.push(Reason::Within(within));
    }
    if !candidate.current
        && let Some(last) = candidate.last_current
        && age(last) < rule.grace
    {
        reasons.push(Reason::Grace(rule.grace));
    }
    Verdict { id: candidate.id, reasons, good: candidate.good }
}

/// Bounds the times of consecutive events, the last one first. A time in the future counts as the time
/// of the event after it, or as now for the last one, but never as older than an event before it. A
/// past time stays as it is, because a clock may also have been set back.
pub(crate) fn bounded(times: &[SystemTime], now: SystemTime) -> Vec<SystemTime> {
    let mut before = vec![SystemTime::UNIX_EPOCH; times.len()];
    for at in (1..times.len()).rev() {
        before[at - 1] = if times[at] <= now { before[at].max(times[at]) } else { before[at] };
    }
    let mut after = now;
    let bound = |(time, before): (&SystemTime, SystemTime)| {
        after = if *time <= now { *time } else { after.max(before) };
        after
    };
    times.iter().zip(before).map(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u64) -> GenerationId {
        GenerationId::new(number).unwrap()
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn plain(number: u64) -> Candidate {
        Candidate {
            id: id(number),
            created: at(number),
            last_current: Some(at(number + 1)),
            current: false,
            good: true,
            pins: vec![],
            leased: false,
        }
    }

    fn check(rule: Retention, change: fn(&mut [Candidate]), expected: &[&str]) {
        let mut all: Vec<Candidate> = (1..=5).map(plain).collect();
        all[4].current = true;
        change(&mut all);
        let verdicts = judge(&all, &rule, at(1000));
        let lines: Vec<String> = verdicts.iter().map(|v| format!("{} {:?}", v.id, v.reasons)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn each_reason_keeps() {
        let rule = |keep_last, within, grace| Retention {
            keep_last,
            keep_within: Some(Duration::from_secs(within)),
            ..Retention::only_last(0).grace(Duration::from_secs(grace))
        };
        check(rule(0, 0, 0), |_| {}, &["5 [Current]", "4 []", "3 []", "2 []", "1 []"]);
        check(
            rule(2, 997, 998),
            |all| {
                all[0].pins = vec!["p".to_owned()];
                all[1].leased = true;
                all[3].good = false;
            },
            &[
                "5 [Current, Last(2), Within(997s)]",
                "4 [Within(997s), Grace(998s)]",
                "3 [Last(2), Within(997s), Grace(998s)]",
                "2 [Leased, Grace(998s)]",
                "1 [Pinned(\"p\")]",
            ],
        );
    }

    #[test]
    fn periods_keep_their_newest_good_generation() {
        let days = |rule: Retention| -> Vec<(u64, Vec<Reason>)> {
            // One per half day; the newest of the fourth day is bad.
            let made = |n: u64| Candidate {
                created: at(n * 43_200),
                good: n != 7,
                last_current: None,
                ..plain(n)
            };
            let all: Vec<Candidate> = (1..=10).map(made).collect();
            let verdicts = judge(&all, &rule, at(1_000_000));
            verdicts.into_iter().filter(Verdict::keeps).map(|v| (v.id.get(), v.reasons)).collect()
        };
        let daily = |n| (n, vec![Reason::Daily(3)]);
        assert_eq!(days(Retention::only_last(0).keep_periods(3, 0, 0)), [daily(10), daily(9), daily(6)]);
        // 1970-01-05 was a Monday: 8 is the first of it, and 6 the newest good one of the week before.
        let kept = days(Retention::only_last(0).keep_periods(0, 2, 1));
        assert_eq!(kept, [(10, vec![Reason::Weekly(2), Reason::Monthly(1)]), (6, vec![Reason::Weekly(2)])]);
    }

    #[test]
    fn only_chosen_generations_are_given_up() {
        let rule = Retention::only_last(9).chosen([id(1), id(2), id(5)]).grace(Duration::from_secs(998));
        check(
            rule,
            |all| all[1].last_current = None,
            &["5 [Current]", "4 [NotChosen, Grace(998s)]", "3 [NotChosen, Grace(998s)]", "2 []", "1 []"],
        );
    }

    #[test]
    fn a_clock_that_was_set_back_removes_nothing() {
        let rule = Retention::only_last(0).grace(Duration::from_secs(1));
        let verdicts = judge(&[plain(7)], &rule, at(0));
        assert_eq!(verdicts[0].reasons, [Reason::Grace(Duration::from_secs(1))]);
    }

    #[test]
    fn what_a_clock_that_ran_ahead_made_is_no_newer_than_the_next_one() {
        let ahead = |all: &mut [Candidate], n: usize, secs: u64| all[n].created = at(secs);
        let within = |change: &dyn Fn(&mut [Candidate]), now: u64| -> Vec<u64> {
            let mut all: Vec<Candidate> =
                (1..=5).map(|n| Candidate { created: at(n * 100), ..plain(n) }).collect();
            change(&mut all);
            let (grace, keep_within) = (Duration::ZERO, Some(Duration::from_secs(150)));
            let rule = Retention { keep_within, ..Retention::only_last(0).grace(grace) };
            judge(&all, &rule, at(now)).iter().filter(|v| v.keeps()).map(|v| v.id.get()).collect()
        };
        assert_eq!(within(&|_| {}, 500), [5, 4]);
        // 2 counts as 3, which is past the limit. Two in a row count as the one after them.
        assert_eq!(within(&|all| ahead(all, 1, 1 << 33), 500), [5, 4]);
        assert_eq!(within(&|all| (1..3).for_each(|n| ahead(all, n, 1 << 33)), 500), [5, 4, 3, 2]);
        assert_eq!(within(&|all| (1..3).for_each(|n| ahead(all, n, 1 << 33)), 551), [5]);
        // No event after it: now.
        assert_eq!(within(&|all| ahead(all, 4, 1 << 33), 5_000), [5]);
        // A clock that was set back later makes neither it nor older ones look old.
        assert_eq!(
            within(
                &|all| {
                    ahead(all, 3, 1 << 33);
                    ahead(all, 4, 1)
                },
                450
            ),
            [4, 3]
        );
        assert_eq!(within(&|all| ahead(all, 4, 1), 450), [4, 3]);
        // 4 is as new as the newest one before it, which is not the previous one.
        let back = |all: &mut [Candidate]| {
            [(1, 420), (2, 10), (3, 1 << 33), (4, 1)].into_iter().for_each(|(n, secs)| ahead(all, n, secs));
        };
        assert_eq!(within(&back, 450), [4, 2]);
    }

    proptest! {
        #[test]
        fn roots_always_stay(
            flags in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0u64..50), 1..10),
            keep_last in 0usize..4,
        ) {
            let all: Vec<Candidate> = flags.iter().enumerate().map(|(n, (good, pinned, leased, age))| {
                let mut candidate = plain(n as u64 + 1);
                candidate.good = *good;
                candidate.leased = *leased;
                candidate.pins = if *pinned { vec!["pin".to_owned()] } else { vec![] };
                candidate.last_current = Some(at(1000 - age));
                candidate.current = n == 0;
                candidate
            }).collect();
            let rule = Retention::only_last(keep_last).grace(Duration::from_secs(10));
            let verdicts = judge(&all, &rule, at(1000));
            prop_assert_eq!(verdicts.len(), all.len());
            for verdict in &verdicts {
                let c = all.iter().find(|c| c.id == verdict.id).unwrap();
                let graced = c.last_current > Some(at(990));
                let newer_good = all.iter().filter(|o| o.good && o.id > c.id).count();
                let root = c.current || c.leased || !c.pins.is_empty() || graced || (c.good && newer_good < keep_last);
                prop_assert_eq!(verdict.keeps(), root);
            }
        }
    }
}
