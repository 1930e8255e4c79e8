//! Three trees that are published one after the other, each by the name of its source.

use std::fs;
use std::path::Path;

use genstore_torture::trees::{Thing, Things};

use crate::things::write_tree;

/// What the sources `a`, `b` and `c` hold.
pub struct Trees {
    /// The first.
    pub a: Things,
    /// With older files than the first, so that some need a newer mtime when they replace them.
    pub b: Things,
    /// Mostly as the first.
    pub c: Things,
}

impl Trees {
    /// The names of the sources.
    pub const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Gives the tree of a source.
    pub fn get(&self, name: &str) -> &Things {
        match name {
            "a" => &self.a,
            "b" => &self.b,
            "c" => &self.c,
            _ => panic!("no tree is called {name}"),
        }
    }

    /// Writes the sources. What the others have in common with the first is one inode, as in one
    /// folder that a build tool writes to again and again: so the index knows it.
    pub fn write(&self, dir: &Path) {
        let content = |thing: &Thing| match thing {
            Thing::File(bytes, executable, _) => Some((bytes.clone(), *executable)),
            _ => None,
        };
        for name in Trees::NAMES {
            let (source, tree) = (dir.join(name), self.get(name));
            write_tree(&source, tree);
            for (path, thing) in tree.iter().filter(|_| name != "a") {
                let wanted = content(thing);
                if wanted.is_some() && self.a.get(path).and_then(content) == wanted {
                    fs::remove_file(source.join(path)).expect("remove");
                    fs::hard_link(dir.join("a").join(path), source.join(path)).expect("link");
                }
            }
        }
    }
}
