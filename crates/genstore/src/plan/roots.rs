//! Roots: several directories and single files that become subtrees of one plan.

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use crate::error::{BadSourceReason, Error, ProblemKind, Result, show_path};
use crate::model::relpath;
use crate::plan::builder::PlanBuilder;
use crate::plan::item::{Given, ItemSource, What};
use crate::plan::scan::{self, ScanRules};

impl PlanBuilder {
    /// Adds everything in the directory `path` below `name`, or the file `path` at `name`, with its own
    /// executable bit and mtime. The globs of the rules are matched below a directory. A file that is a
    /// root is always wanted.
    ///
    /// Problems of the root itself are reported by [`PlanBuilder::build`], with all others: a name that
    /// is not a relative path, or is below another root's; a path that does not exist, is neither
    /// directory nor file, is inside the store or contains it.
    ///
    /// # Errors
    /// [`Error::Io`] if a directory cannot be read to its end.
    pub fn root(&mut self, name: &[u8], path: &Path, rules: &ScanRules) -> Result<()> {
        let named = self.check_root_name(name);
        let bad = |why: &str| format!("cannot be a root: {}: {why}", show_path(path));
        let (real, meta) = match scan::find_source(path, rules.store) {
            Ok(found) => found,
            Err(Error::BadSource { reason: BadSourceReason::Absent, .. }) => {
                self.problem(name, ProblemKind::Root, bad("there is no such file or directory"));
                return Ok(());
            }
            Err(Error::BadSource { reason, .. }) => {
                self.problem(name, ProblemKind::Root, bad(&reason.to_string()));
                return Ok(());
            }
            Err(Error::Io { source, .. }) => {
                self.problem(name, ProblemKind::Root, bad(&source.to_string()));
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        if meta.is_file() {
            let asked = rustix::fs::accessat(CWD, &real, Access::READ_OK, AtFlags::EACCESS);
            if let Err(why) = asked {
                self.problem(name, ProblemKind::Root, bad(&std::io::Error::from(why).to_string()));
            } else if named {
                self.roots.came_from(name, &real);
                let source = ItemSource::Given(Box::new(Given::Root(real)));
                self.add(name.to_vec(), What::File { source, executable: false });
            }
            return Ok(());
        }
        if !meta.is_dir() {
            self.problem(
                name,
                ProblemKind::Root,
                bad(&format!("it is a {}", scan::kind_name(meta.file_type()))),
            );
            return Ok(());
        }
        if !named {
            return Ok(());
        }
        let before = self.lengths();
        // As in a scan: with `include`, folders exist only through their entries.
        if rules.include.is_none() {
            self.add(name.to_vec(), What::Dir);
        }
        match scan::scan_real(self, name, path, real, rules) {
            Err(Error::BadSource { reason, .. }) => {
                // The entries found so far say nothing about the rest.
                self.cut_back(before);
                self.problem(name, ProblemKind::Root, bad(&reason.to_string()));
                Ok(())
            }
            done => done,
        }
    }

    /// Returns whether a root may have this name. If not, adds a problem to the plan.
    pub(crate) fn check_root_name(&mut self, name: &[u8]) -> bool {
        let why = match relpath::check(name) {
            Err(why) => Some((name.to_vec(), why.to_string())),
            Ok(()) => self.roots.names.iter().find_map(|other| {
                let (inner, outer) =
                    match (relpath::is_within(name, other), relpath::is_within(other, name)) {
                        (true, true) => {
                            return Some((name.to_vec(), "another root has this name".to_owned()));
                        }
                        (true, false) => (name, other.as_slice()),
                        (false, true) => (other.as_slice(), name),
                        (false, false) => return None,
                    };
                Some((inner.to_vec(), format!("it lies in the root {}", relpath::show(outer))))
            }),
        };
        self.roots.names.push(name.to_vec());
        match &why {
            Some((name, why)) => self.problem(name, ProblemKind::Root, format!("cannot be a root: {why}")),
            None => return true,
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::plan::builder::Plan;

    #[test]
    fn all_bad_roots_come_together() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, file) = (temp.path().join("dir"), temp.path().join("file"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(&file, "1").unwrap();
        let mut plan = Plan::builder();
        let rules = ScanRules::default();
        for (name, path) in [
            (&b"a"[..], &dir),
            (b"a/b", &file),
            (b"a", &file),
            (b"c/d/e", &file),
            (b"c/d", &dir),
            (b"", &dir),
            (b"/top", &dir),
            (b"x/../y", &file),
            (b"nul\0", &dir),
            (b"gone", &temp.path().join("gone")),
            (b"fine", &file),
            (b"device", &PathBuf::from("/dev/null")),
        ] {
            plan.root(name, path, &rules).unwrap();
        }
        let Err(Error::BadPlan { problems }) = plan.build() else { panic!("no problems") };
        let top = show_path(temp.path());
        let told: Vec<String> =
            problems.iter().map(|p| format!("{}|{}", relpath::show(&p.path), p.what)).collect();
        assert_eq!(
            told,
            [
                "|cannot be a root: the path is empty".to_owned(),
                "/top|cannot be a root: the path is absolute".to_owned(),
                "a|cannot be a root: another root has this name".to_owned(),
                "a/b|cannot be a root: it lies in the root a".to_owned(),
                "c/d/e|cannot be a root: it lies in the root c/d".to_owned(),
                "device|cannot be a root: /dev/null: it is a device".to_owned(),
                format!("gone|cannot be a root: {top}/gone: there is no such file or directory"),
                "nul\\u{0}|cannot be a root: the path contains a NUL byte".to_owned(),
                "x/../y|cannot be a root: the path contains `..`".to_owned(),
            ]
        );
    }

    #[test]
    fn sources_that_lie_in_one_another_cannot_be_consumed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("in")).unwrap();
        std::fs::write(temp.path().join("in/file"), "1").unwrap();
        let top = temp.path().canonicalize().unwrap();
        let overlaps = |sources: &[(&str, &str)]| -> Vec<String> {
            let mut plan = Plan::builder();
            for (name, path) in sources {
                plan.root(name.as_bytes(), &top.join(path), &ScanRules::default()).unwrap();
            }
            match plan.build().unwrap().check_consume() {
                Ok(()) => vec![],
                Err(Error::BadPlan { problems }) => {
                    problems.iter().map(|p| format!("{} {}", relpath::show(&p.path), p.what)).collect()
                }
                Err(e) => panic!("{e}"),
            }
        };
        let told = |name: &str, path: &str, other: &str| {
            let path = show_path(&top.join(path));
            format!("{name} cannot be moved in: its files ({path}) are also files of {other}")
        };
        assert_eq!(overlaps(&[("a", "in")]), [""; 0]);
        assert_eq!(overlaps(&[("a", "in"), ("b", "in")]), [told("b", "in", "a")]);
        assert_eq!(overlaps(&[("a", "in/file"), ("b", "in")]), [told("a", "in/file", "b")]);
        assert_eq!(overlaps(&[("a", "in/file"), ("b", "in/file")]), [told("b", "in/file", "a")]);
    }
}
