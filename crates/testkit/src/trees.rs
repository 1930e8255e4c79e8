//! Three trees that are published in turn, named after their sources.

use std::fs;
use std::path::Path;

use genstore_torture::trees::{Thing, Things};

use crate::things::write_tree;

/// The trees of the sources `a`, `b` and `c`.
pub struct Trees {
    /// The first.
    pub a: Things,
    /// The second tree. Its files are older than the first's, so some need a newer mtime when they replace
    /// those.
    pub b: Things,
    /// The third tree, which is mostly like the first.
    pub c: Things,
}

impl Trees {
    /// The names of the sources.
    pub const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Returns the tree of a source.
    pub fn get(&self, name: &str) -> &Things {
        match name {
            "a" => &self.a,
            "b" => &self.b,
            "c" => &self.c,
            _ => panic!("no tree is called {name}"),
        }
    }

    /// Writes the sources. Files that other sources share with the first are one inode, as in a folder that
    /// a build tool rewrites: so the index recognises them.
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
