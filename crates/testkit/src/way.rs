//! The ways of publishing: with and without each of the shortcuts.

use std::fmt;

use genstore::{Retention, StageOptions};

/// The shortcuts of a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Whether the new tree is built from one that retention gives up.
    pub recycle: bool,
    /// Whether sources that the index knows are reused unread.
    pub index: bool,
    /// Whether sources are moved in, and removed after the commit.
    pub consume: bool,
}

impl Way {
    /// The ways. Each pair of settings occurs in one of them.
    pub const ALL: [Way; 4] = [
        Way { recycle: false, index: true, consume: false },
        Way { recycle: true, index: true, consume: true },
        Way { recycle: false, index: false, consume: true },
        Way { recycle: true, index: false, consume: false },
    ];
    /// The way without any flag.
    pub const PLAIN: Way = Way::ALL[0];
    /// The ways that leave the sources in place.
    pub const COPYING: [Way; 2] = [Way::ALL[0], Way::ALL[3]];

    /// Returns the staging options. All but the last good generation are recycled.
    pub fn staging(self) -> StageOptions {
        let mut options = StageOptions::default();
        options.recycle = self.recycle.then_some(Retention::only_last(1));
        (options.rehash, options.consume) = (!self.index, self.consume);
        options
    }

    /// Returns the flags of `genstore publish`. [`Way::project`] turns recycling on.
    pub fn flags(self) -> &'static [&'static str] {
        match (self.index, self.consume) {
            (true, false) => &[],
            (true, true) => &["--consume"],
            (false, false) => &["--rehash"],
            (false, true) => &["--rehash", "--consume"],
        }
    }

    /// Returns the project's file: the rule of [`Way::staging`].
    pub fn project(self) -> &'static str {
        match self.recycle {
            true => "[retain]\nauto = true\nkeep_last = 1\ngrace = '0s'\n",
            false => "",
        }
    }

    /// Returns the one of [`Way::ALL`] with this name.
    pub fn named(name: &str) -> Way {
        let found = Way::ALL.into_iter().find(|way| way.to_string() == name);
        found.unwrap_or_else(|| panic!("no way is called {name}"))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assembly = if self.recycle { "recycled" } else { "assembled" };
        let reading = if self.index { "indexed" } else { "reread" };
        let taking = if self.consume { "consumed" } else { "copied" };
        write!(f, "{assembly}, {reading}, {taking}")
    }
}
