//! The ways of publishing: with and without each of the short cuts.

use std::fmt;

use genstore::{Retention, StageOptions};

/// Which short cuts a publication takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// The new tree is made of one that retention gives up.
    pub recycle: bool,
    /// Sources that the index knows are not read.
    pub index: bool,
    /// Sources are moved in, and removed after the commit.
    pub consume: bool,
}

impl Way {
    /// Any two settings meet in one of these, whichever the two are.
    pub const ALL: [Way; 4] = [
        Way { recycle: false, index: true, consume: false },
        Way { recycle: true, index: true, consume: true },
        Way { recycle: false, index: false, consume: true },
        Way { recycle: true, index: false, consume: false },
    ];
    /// As without any flag.
    pub const PLAIN: Way = Way::ALL[0];
    /// Those that leave the sources where they are.
    pub const COPYING: [Way; 2] = [Way::ALL[0], Way::ALL[3]];

    /// Gives the way's options. What is recycled is all but the last good generation.
    pub fn staging(self) -> StageOptions {
        let mut options = StageOptions::default();
        options.recycle = self.recycle.then_some(Retention::only_last(1));
        (options.rehash, options.consume) = (!self.index, self.consume);
        options
    }

    /// Gives the flags of `genstore publish` for it; what is recycled is said by [`Way::project`].
    pub fn flags(self) -> &'static [&'static str] {
        match (self.index, self.consume) {
            (true, false) => &[],
            (true, true) => &["--consume"],
            (false, false) => &["--rehash"],
            (false, true) => &["--rehash", "--consume"],
        }
    }

    /// Gives the project's file for it: the rule of [`Way::staging`].
    pub fn project(self) -> &'static str {
        match self.recycle {
            true => "[retain]\nauto = true\nkeep_last = 1\ngrace = '0s'\n",
            false => "",
        }
    }

    /// Finds one of [`Way::ALL`] by its name.
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
