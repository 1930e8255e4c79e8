//! Retention: the rule that chooses which generations stay. Pure; `gc` gathers and acts.

use std::time::{Duration, SystemTime};

use super::ids::GenerationId;

/// What to keep beyond what is current, pinned or leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest good generations.
    pub keep_last: usize,
    /// Generations made within this duration.
    pub keep_within: Option<Duration>,
    /// Generations that were current within this duration: programs that started on one may still
    /// read it.
    pub grace: Duration,
}

impl Default for Retention {
    /// The last five good ones, and ten minutes of grace.
    fn default() -> Retention {
        Retention { keep_last: 5, keep_within: None, grace: Duration::from_secs(600) }
    }
}

/// What the rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its number.
    pub(crate) id: GenerationId,
    /// When it was made.
    pub(crate) created: SystemTime,
    /// When it ceased to be current; `None` if it never was.
    pub(crate) last_current: Option<SystemTime>,
    /// Whether it is current.
    pub(crate) current: bool,
    /// Whether it is not marked as bad.
    pub(crate) good: bool,
    /// Names of the pins that hold it and have not expired.
    pub(crate) pins: Vec<String>,
    /// Whether a living process holds it.
    pub(crate) leased: bool,
}

/// Why a generation stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is current.
    Current,
    /// A person's pin holds it.
    Pinned(String),
    /// A living process holds it.
    Leased,
    /// It is one of the newest good ones.
    Last(usize),
    /// It was made within the duration asked for.
    Within(Duration),
    /// It was current until a moment ago.
    Grace(Duration),
}

/// What the rule says of one generation: it goes if nothing keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub id: GenerationId,
    /// Why it stays; empty if it goes.
    pub reasons: Vec<Reason>,
    /// Whether it is marked as good, or not marked.
    pub good: bool,
}

impl Verdict {
    /// Tells whether the generation stays.
    pub fn keeps(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Judges all generations, newest first. A time in the future counts as now, so that a clock that
/// was set back never makes anything look old.
pub(crate) fn judge(candidates: &[Candidate], rule: &Retention, now: SystemTime) -> Vec<Verdict> {
    let age = |time: SystemTime| now.duration_since(time).unwrap_or(Duration::ZERO);
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by_key(|candidate| std::cmp::Reverse(candidate.id));
    let mut good_so_far = 0;
    sorted
        .into_iter()
        .map(|candidate| {
            let mut reasons = Vec::new();
            if candidate.current {
                reasons.push(Reason::Current);
            }
            reasons.extend(candidate.pins.iter().cloned().map(Reason::Pinned));
            if candidate.leased {
                reasons.push(Reason::Leased);
            }
            if candidate.good {
                good_so_far += 1;
                if good_so_far <= rule.keep_last {
                    reasons.push(Reason::Last(rule.keep_last));
                }
            }
            if let Some(within) = rule.keep_within
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
        })
        .collect()
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
            grace: Duration::from_secs(grace),
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
    fn a_clock_that_was_set_back_removes_nothing() {
        let rule = Retention { keep_last: 0, keep_within: None, grace: Duration::from_secs(1) };
        let verdicts = judge(&[plain(7)], &rule, at(0));
        assert_eq!(verdicts[0].reasons, [Reason::Grace(Duration::from_secs(1))]);
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
            let rule = Retention { keep_last, keep_within: None, grace: Duration::from_secs(10) };
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
