//! Audits: the rules that a staged tree must satisfy to be published. The input is rules and a tree,
//! the output is findings. A finding is data, not an error.

use crate::model::ids::GenerationId;
use crate::model::links::{At, Leads, follow};
use crate::model::pattern::Pattern;
use crate::model::tree::{Node, Tree};
use crate::model::{relpath, shared};

/// The permitted growth over the last good generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Growth {
    /// By this number of bytes.
    Bytes(u64),
    /// By this number of hundredths of its size.
    Percent(u64),
}

/// The rules of an audit. The default has none.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AuditRules {
    /// The largest size of one file, in bytes.
    pub max_file: Option<u64>,
    /// The largest size of all files together, in bytes.
    pub max_total: Option<u64>,
    /// The largest growth against the last good generation.
    pub max_growth: Option<Growth>,
    /// The smallest number of files, as a fraction of the last good generation's number.
    pub min_files_ratio: Option<f64>,
    /// Each pattern must match a file, and no matching file may be empty.
    pub require: Vec<Pattern>,
    /// No pattern may match an entry.
    pub forbid: Vec<Pattern>,
    /// Every symlink must lead to an entry of the tree.
    pub closed_links: bool,
}

impl AuditRules {
    /// Limits the size of one file, in bytes.
    pub fn max_file(mut self, bytes: u64) -> AuditRules {
        self.max_file = Some(bytes);
        self
    }

    /// Limits the size of all files together, in bytes.
    pub fn max_total(mut self, bytes: u64) -> AuditRules {
        self.max_total = Some(bytes);
        self
    }

    /// Limits the growth against the last good generation.
    pub fn max_growth(mut self, growth: Growth) -> AuditRules {
        self.max_growth = Some(growth);
        self
    }

    /// Sets the smallest number of files, as a fraction of the last good generation's number.
    pub fn min_files_ratio(mut self, ratio: f64) -> AuditRules {
        self.min_files_ratio = Some(ratio);
        self
    }

    /// Requires files: each pattern must match one, and no matching file may be empty.
    pub fn require(mut self, patterns: impl IntoIterator<Item = Pattern>) -> AuditRules {
        self.require.extend(patterns);
        self
    }

    /// Forbids entries: no pattern may match one.
    pub fn forbid(mut self, patterns: impl IntoIterator<Item = Pattern>) -> AuditRules {
        self.forbid.extend(patterns);
        self
    }

    /// Requires every symlink to lead to an entry of the tree.
    pub fn closed_links(mut self) -> AuditRules {
        self.closed_links = true;
        self
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        let AuditRules { max_file, max_total, max_growth, min_files_ratio, require, forbid, closed_links } =
            self;
        max_file.is_none()
            && max_total.is_none()
            && max_growth.is_none()
            && min_files_ratio.is_none()
            && require.is_empty()
            && forbid.is_empty()
            && !closed_links
    }
}

/// The last good generation, with which a tree is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LastGood {
    /// Its number.
    pub generation: GenerationId,
    /// The number of its files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// The weight of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The finding is printed, and the tree may be published.
    Warning,
    /// The tree is refused.
    Error,
}

/// A finding of an audit.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the rule: `max_file`, or the name that a command uses.
    pub rule: String,
    /// Its weight.
    pub severity: Severity,
    /// The path in the tree, if the finding is about one.
    pub path: Option<Vec<u8>>,
    /// One sentence without a full stop.
    pub message: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(rule: &str, severity: Severity, path: Option<&[u8]>, message: impl Into<String>) -> Finding {
        let path = path.map(<[u8]>::to_vec);
        Finding { rule: rule.to_owned(), severity, path, message: message.into() }
    }

    /// Creates a finding that refuses the tree.
    pub fn error(rule: &str, path: Option<&[u8]>, message: impl Into<String>) -> Finding {
        Finding::new(rule, Severity::Error, path, message)
    }
}

/// Checks a tree. Findings about the whole tree come first, then findings about paths, in path order.
pub(crate) fn judge(rules: &AuditRules, tree: &Tree, before: Option<LastGood>) -> Vec<Finding> {
    let mut findings = Vec::new();
    totals(rules, tree, before, &mut findings);
    let asks = !rules.forbid.is_empty() || !rules.require.is_empty() || rules.closed_links;
    if !asks && rules.max_file.is_none() {
        return findings;
    }
    let mut required = vec![false; rules.require.len()];
    let mut paths = Vec::new();
    for entry in tree.iter() {
        for pattern in rules.forbid.iter().filter(|pattern| pattern.matches(entry.path)) {
            let message = format!("matches {}", pattern.as_str());
            paths.push(Finding::error("forbid", Some(entry.path), message));
        }
        match entry.node {
            Node::File(file) => {
                if let Some(max) = rules.max_file.filter(|max| file.size > *max) {
                    let message = format!("has {} bytes, more than {max}", file.size);
                    paths.push(Finding::error("max_file", Some(entry.path), message));
                }
                for (pattern, met) in rules.require.iter().zip(&mut required) {
                    if pattern.matches(entry.path) {
                        *met = true;
                        if file.size == 0 {
                            let message = format!("is required by {} and empty", pattern.as_str());
                            paths.push(Finding::error("require", Some(entry.path), message));
                        }
                    }
                }
            }
            Node::Symlink(target) if rules.closed_links && !shared::is_link(entry.path, target) => {
                if let Some(what) = fault_of_link(tree, entry.path, target) {
                    let message = format!("{what} (to {})", relpath::show(target));
                    paths.push(Finding::error("links", Some(entry.path), message));
                }
            }
            Node::Symlink(_) | Node::EmptyDir => {}
        }
    }
    for (pattern, _) in rules.require.iter().zip(required).filter(|(_, met)| !met) {
        findings.push(Finding::error("require", None, format!("no file matches {}", pattern.as_str())));
    }
    findings.append(&mut paths);
    findings
}

fn totals(rules: &AuditRules, tree: &Tree, before: Option<LastGood>, findings: &mut Vec<Finding>) {
    let (files, bytes) = (tree.files(), tree.bytes());
    if let Some(max) = rules.max_total.filter(|max| bytes > *max) {
        let message = format!("all files have {bytes} bytes together, more than {max}");
        findings.push(Finding::error("max_total", None, message));
    }
    // The first generation has no predecessor to compare with.
    let Some(before) = before else { return };
    let LastGood { generation, files: old_files, bytes: old_bytes } = before;
    let limit = rules.max_growth.map(|growth| match growth {
        Growth::Bytes(more) => old_bytes.saturating_add(more),
        Growth::Percent(more) => {
            let more = u128::from(old_bytes) * u128::from(more) / 100;
            old_bytes.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
        }
    });
    if let Some(limit) = limit.filter(|limit| bytes > *limit) {
        let message = format!(
            "all files have {bytes} bytes together, more than {limit}; generation {generation} has {old_bytes}"
        );
        findings.push(Finding::error("max_growth", None, message));
    }
    if let Some(ratio) = rules.min_files_ratio
        && (files as f64) < ratio * old_files as f64
    {
        let message =
            format!("{files} files are fewer than {ratio} of the {old_files} of generation {generation}");
        findings.push(Finding::error("min_files_ratio", None, message));
    }
}

fn fault_of_link(tree: &Tree, path: &[u8], target: &[u8]) -> Option<&'static str> {
    let at = |path: &[u8]| match tree.find(path) {
        Some(Node::File(_)) => At::File,
        // It leads to a folder of the project, in which every name may be.
        Some(Node::Symlink(target)) if shared::is_link(path, target) => At::Dir,
        Some(Node::Symlink(target)) => At::Link(target),
        Some(Node::EmptyDir) => At::Dir,
        None if tree.below(path).next().is_some() || shared::lies_behind(tree, path) => At::Dir,
        None => At::Nothing,
    };
    match follow(path, target, at) {
        Leads::Inside => None,
        Leads::Nowhere => Some("leads to nothing"),
        Leads::Outside => Some("leaves the tree"),
        Leads::Absolute => Some("leads to an absolute path"),
        Leads::InCircles => Some("leads in circles"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::tree::builder::TreeBuilder;
    use crate::model::tree::{Entry, FileNode, Mtime};

    fn tree(entries: &[(&str, Result<u64, &str>)]) -> Tree {
        let mut tree = TreeBuilder::default();
        for (path, what) in entries {
            let node = match what {
                Ok(size) => Node::File(FileNode {
                    digest: Digest::of(path.as_bytes()),
                    size: *size,
                    executable: false,
                    mtime: Mtime { secs: 0, nanos: 0 },
                }),
                Err(target) => Node::Symlink(target.as_bytes()),
            };
            tree.push(Entry { path: path.as_bytes(), node }).unwrap();
        }
        tree.finish()
    }

    fn globs(patterns: &[&str]) -> Vec<Pattern> {
        patterns.iter().map(|text| Pattern::new(text).unwrap()).collect()
    }

    #[track_caller]
    fn check(rules: AuditRules, tree: &Tree, expected: &[&str]) {
        let before = LastGood { generation: GenerationId::new(7).unwrap(), files: 10, bytes: 1000 };
        assert!(!rules.is_empty() || expected.is_empty());
        let found: Vec<String> = judge(&rules, tree, Some(before))
            .iter()
            .map(|finding| {
                let path = finding.path.as_deref().map_or("-".to_owned(), relpath::show);
                format!("{} {path} {}", finding.rule, finding.message)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let tree = tree(&[("a/big", Ok(900)), ("a/x.map", Ok(10)), ("empty.html", Ok(0)), ("y", Ok(190))]);
        let none = AuditRules::default();
        check(none.clone(), &tree, &[]);
        let rules = AuditRules { max_file: Some(899), ..none.clone() };
        check(rules, &tree, &["max_file a/big has 900 bytes, more than 899"]);
        check(AuditRules { max_file: Some(900), ..none.clone() }, &tree, &[]);
        let rules = AuditRules { max_total: Some(1099), ..none.clone() };
        check(rules, &tree, &["max_total - all files have 1100 bytes together, more than 1099"]);
        check(AuditRules { max_total: Some(1100), ..none.clone() }, &tree, &[]);
        let growth = |growth| AuditRules { max_growth: Some(growth), ..none.clone() };
        let more = |limit| {
            format!(
                "max_growth - all files have 1100 bytes together, more than {limit}; generation 7 has 1000"
            )
        };
        check(growth(Growth::Bytes(99)), &tree, &[&more(1099)]);
        check(growth(Growth::Bytes(100)), &tree, &[]);
        check(growth(Growth::Percent(9)), &tree, &[&more(1090)]);
        check(growth(Growth::Percent(10)), &tree, &[]);
        let ratio = |ratio| AuditRules { min_files_ratio: Some(ratio), ..none.clone() };
        let few = "min_files_ratio - 4 files are fewer than 0.5 of the 10 of generation 7";
        check(ratio(0.5), &tree, &[few]);
        check(ratio(0.4), &tree, &[]);
        let rules = AuditRules { forbid: globs(&["**/*.map", "y", "*.map"]), ..none.clone() };
        check(rules, &tree, &["forbid a/x.map matches **/*.map", "forbid y matches y"]);
        let rules = AuditRules { require: globs(&["*.html", "a/*", "*.css"]), ..none.clone() };
        let empty = "require empty.html is required by *.html and empty";
        check(rules, &tree, &["require - no file matches *.css", empty]);
    }

    #[test]
    fn links_must_lead_to_something() {
        let tree = tree(&[
            ("a", Err("dir")),
            ("b", Err("none")),
            ("c", Err("/etc")),
            ("d", Err("d")),
            ("dir/e", Err("../../x")),
            ("dir/file", Ok(1)),
            ("e", Err("up/any/file")),
            ("up", Err("../../../places/up")),
        ]);
        let rules = AuditRules { closed_links: true, ..AuditRules::default() };
        let expected = [
            "links b leads to nothing (to none)",
            "links c leads to an absolute path (to /etc)",
            "links d leads in circles (to d)",
            "links dir/e leaves the tree (to ../../x)",
        ];
        check(rules, &tree, &expected);
    }

    #[test]
    fn the_first_generation_is_compared_with_nothing() {
        let rules = AuditRules {
            max_growth: Some(Growth::Percent(0)),
            min_files_ratio: Some(1.0),
            ..AuditRules::default()
        };
        assert_eq!(judge(&rules, &tree(&[("a", Ok(5))]), None), []);
    }
}
