//! The audit before the publication: rules, links, and the correctness of the manifest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use genstore::audit::{AuditRules, Finding, Pattern};
use genstore::tree::Digest;

/// Returns the rules for the store.
pub(crate) fn rules() -> Result<AuditRules> {
    let parts =
        ["site/index.html", "site/style.css", "app/run", "bin/server", "manifest.json", "report.txt"];
    let require: Result<Vec<Pattern>, _> = parts.into_iter().map(Pattern::new).collect();
    let forbid = vec![Pattern::new("**/*.tmp").map_err(|e| anyhow::anyhow!("{e}"))?];
    let require = require.map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(AuditRules::default().require(require).forbid(forbid).min_files_ratio(0.5).closed_links())
}

/// Formats a finding as one line.
pub(crate) fn line(finding: &Finding) -> String {
    let path = finding.path.as_deref().map(|path| genstore::tree::show_path(path).to_string() + ": ");
    format!("{}{} ({})", path.unwrap_or_default(), finding.message, finding.rule)
}

/// Checks everything that was staged, without changing it.
pub(crate) fn look(tree: &Path) -> Result<Vec<Finding>> {
    let files = list(tree)?;
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".html") || path.ends_with(".css")) {
        let text = fs::read_to_string(tree.join(path)).with_context(|| path.clone())?;
        for target in targets(&text).filter(|target| !target.contains("://")) {
            if !files.contains(&resolve(path, target)) {
                findings.push(Finding::error(
                    "dead-link",
                    Some(path.as_bytes()),
                    format!("leads to {target}"),
                ));
            }
        }
    }
    check_manifest(tree, &files, &mut findings)?;
    Ok(findings)
}

/// Compares the manifest with the files.
fn check_manifest(tree: &Path, files: &BTreeSet<String>, findings: &mut Vec<Finding>) -> Result<()> {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(tree.join("manifest.json"))?)?;
    let mut find = |path: &str, what: &str| {
        findings.push(Finding::error("manifest", Some(path.as_bytes()), what));
    };
    let listed = manifest["outputs"].as_object().context("manifest.json lists nothing")?;
    for (path, entry) in listed.iter().filter(|(path, _)| files.contains(*path)) {
        let bytes = fs::read(tree.join(path)).with_context(|| path.clone())?;
        if entry["size"] != bytes.len() || entry["digest"] != Digest::of(&bytes).to_string() {
            find(path, "differs from the manifest");
        }
    }
    for path in listed.keys().filter(|path| !files.contains(*path)) {
        find(path, "is in the manifest alone");
    }
    for path in files.iter().filter(|path| *path != "manifest.json" && !listed.contains_key(*path)) {
        find(path, "is not in the manifest");
    }
    Ok(())
}

fn list(tree: &Path) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(tree.join(&folder))? {
            let entry = entry?;
            let below = format!("{folder}{}", entry.file_name().to_string_lossy());
            match entry.file_type()?.is_dir() {
                true => folders.push(below + "/"),
                false => drop(files.insert(below)),
            }
        }
    }
    Ok(files)
}

/// Finds all link targets of a page or a style sheet.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    [("href=\"", '"'), ("src=\"", '"'), ("url(", ')')].into_iter().flat_map(move |(lead, end)| {
        text.split(lead).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0))
    })
}

/// Returns the path in the tree that a link on a page leads to.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
