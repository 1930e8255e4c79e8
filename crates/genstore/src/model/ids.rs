//! Local names: generation numbers, pin names, and references that a person types.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The local number of a generation; starts at 1, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct GenerationId(NonZeroU64);

impl GenerationId {
    /// The number of a store's first generation.
    pub(crate) const FIRST: GenerationId = GenerationId(NonZeroU64::MIN);

    /// Wraps a number. Returns `None` for zero.
    pub fn new(number: u64) -> Option<GenerationId> {
        NonZeroU64::new(number).map(GenerationId)
    }

    /// Returns the number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Parses the only spelling that the store writes: decimal, no sign, no leading zero.
    pub fn parse(text: &str) -> Option<GenerationId> {
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        if canonical { text.parse().ok().and_then(GenerationId::new) } else { None }
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a pin: 1 to 100 of `A-Z a-z 0-9 . _ -`, starting with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PinName(String);

impl PinName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PinName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a pin's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPinName;

impl fmt::Display for NotAPinName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pin's name is 1 to 100 of A-Z a-z 0-9 . _ - and starts with a letter")
    }
}

impl std::error::Error for NotAPinName {}

impl FromStr for PinName {
    type Err = NotAPinName;

    fn from_str(text: &str) -> Result<PinName, NotAPinName> {
        let fits = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.len() <= 100
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits { Ok(PinName(text.to_owned())) } else { Err(NotAPinName) }
    }
}

/// The id of a stage: `k3Jx9Q`.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageId(String);

impl StageId {
    /// Takes the letters and digits of the name that a stage was just created with.
    pub(crate) fn of_name(text: &[u8]) -> StageId {
        StageId(String::from_utf8_lossy(text).into_owned())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a stage's id. Ids consist of letters and digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAStageId;

impl fmt::Display for NotAStageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stage's id is letters and digits, as `genstore begin` prints it")
    }
}

impl std::error::Error for NotAStageId {}

impl FromStr for StageId {
    type Err = NotAStageId;

    fn from_str(text: &str) -> Result<StageId, NotAStageId> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits { Ok(StageId(text.to_owned())) } else { Err(NotAStageId) }
    }
}

impl TryFrom<String> for StageId {
    type Error = NotAStageId;

    fn try_from(text: String) -> Result<StageId, NotAStageId> {
        text.parse()
    }
}

impl From<StageId> for String {
    fn from(id: StageId) -> String {
        id.0
    }
}

/// A reference to a generation, as a person types it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rev {
    /// `@`, `@-`, `@-3`: the current generation, or the n-th kept one before it.
    Current {
        /// Number of steps back from the current generation.
        older: u64,
    },
    /// `42`: a number. Six or more digits may also be the start of a tree's id.
    Number(GenerationId),
    /// A pin's name, or six or more hex digits of a tree's id. A pin takes precedence.
    Name(String),
}

impl FromStr for Rev {
    type Err = std::convert::Infallible;

    /// Never fails: a text that is neither a number nor `@…` is a name, which may be unknown.
    fn from_str(text: &str) -> Result<Rev, Self::Err> {
        if let Some(id) = GenerationId::parse(text) {
            return Ok(Rev::Number(id));
        }
        let older = match text {
            "@" => Some(0),
            "@-" => Some(1),
            _ => text.strip_prefix("@-").and_then(GenerationId::parse).map(GenerationId::get),
        };
        Ok(older.map_or_else(|| Rev::Name(text.to_owned()), |older| Rev::Current { older }))
    }
}

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rev::Current { older: 0 } => f.write_str("@"),
            Rev::Current { older: 1 } => f.write_str("@-"),
            Rev::Current { older } => write!(f, "@-{older}"),
            Rev::Number(id) => id.fmt(f),
            Rev::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_name_a_generation() {
        let check = |text: &str, expected: Rev| {
            let rev: Rev = text.parse().unwrap();
            assert_eq!(rev, expected);
            assert_eq!(rev.to_string(), text);
        };
        check("@", Rev::Current { older: 0 });
        check("@-", Rev::Current { older: 1 });
        check("@-3", Rev::Current { older: 3 });
        check("42", Rev::Number(GenerationId::new(42).unwrap()));
        for name in ["@-x", "042", "0", "-1", "stable", "9f3ac1", ""] {
            check(name, Rev::Name(name.to_owned()));
        }
    }

    #[test]
    fn a_pin_is_a_plain_word() {
        for good in ["stable", "v1.4_rc-2"] {
            assert!(good.parse::<PinName>().is_ok(), "{good}");
        }
        for bad in ["", "42", ".x", "../x", "a/b", "a b", "@", "-n", &"n".repeat(101)] {
            assert_eq!(bad.parse::<PinName>(), Err(NotAPinName), "{bad}");
        }
    }

    #[test]
    fn ids_are_names_and_no_paths() {
        for good in ["k3Jx9Q", "a"] {
            assert_eq!(good.parse::<StageId>().unwrap().to_string(), good);
        }
        for bad in ["", "../x", "a/b", "a.lock", "s-a", "ä"] {
            assert_eq!(bad.parse::<StageId>(), Err(NotAStageId), "{bad}");
        }
    }
}
