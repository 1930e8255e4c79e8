//! Three trees that are published in turn, named after their sources.

use std::fs;
use std::path::Path;

use genstore_torture::trees::{Lines, TREE_A, TREE_B, TREE_C, Thing, Things, things};

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

    /// Returns the trees of the torture, without the file of some size: each fault run would copy it.
    pub fn usual() -> Trees {
        let tree = |secs, lines: Lines| {
            let small = lines.iter().copied().filter(|(path, _)| *path != "big");
            things(secs, &small.collect::<Vec<_>>())
        };
        let (a, b, mut c) = (tree(1_000, TREE_A), tree(900, TREE_B), tree(1_100, TREE_C));
        for (path, thing) in &mut c {
            // A file that is as in the first tree was not written again.
            if let Some(first) = a.get(path)
                && first.without_mtime() == thing.without_mtime()
            {
                *thing = first.clone();
            }
        }
        Trees { a, b, c }
    }

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
        for name in Trees::NAMES {
            let (source, tree) = (dir.join(name), self.get(name));
            write_tree(&source, tree);
            for (path, thing) in tree.iter().filter(|_| name != "a") {
                let is_shared =
                    self.a.get(path).is_some_and(|first| first.without_mtime() == thing.without_mtime());
                if is_shared && matches!(thing, Thing::File(..)) {
                    fs::remove_file(source.join(path)).expect("remove");
                    fs::hard_link(dir.join("a").join(path), source.join(path)).expect("link");
                }
            }
        }
    }
}
