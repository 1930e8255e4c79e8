//! `--root NAME=PATH`: directories and single files as subtrees of one generation.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::{OsStringValueParser, TypedValueParser};
use genstore::Plan;
use genstore::error::{BadSourceReason, ProblemKind};
use genstore::plan::{PlanBuilder, ScanRules};

use super::source::would_hold;
use crate::text::escape::show;

/// One root, as given.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) name: Vec<u8>,
    pub(crate) path: PathBuf,
}

/// Parses NAME=PATH, of any bytes. The first `=` separates them: a path may contain one, a name may not.
pub(crate) fn parser() -> impl TypedValueParser<Value = Root> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let bytes = text.into_vec();
        let Some(at) = bytes.iter().position(|&b| b == b'=') else {
            return Err("expected NAME=PATH");
        };
        let path = std::ffi::OsStr::from_bytes(&bytes[at + 1..]).into();
        Ok(Root { name: bytes[..at].to_vec(), path })
    })
}

/// Adds all roots to a plan. `future` is the path of a store that is yet to be created.
pub(crate) fn plan(
    mut plan: PlanBuilder,
    roots: &[Root],
    rules: &ScanRules,
    future: Option<&Path>,
) -> Result<Plan> {
    for root in roots {
        if future.is_some_and(|place| would_hold(&root.path, place)) {
            let why = BadSourceReason::HoldsStore;
            let what = format!("cannot be a root: {}: {why}", show(&root.path));
            plan.problem(&root.name, ProblemKind::Root, what);
            continue;
        }
        plan.root(&root.name, &root.path, rules)?;
    }
    Ok(plan.build()?)
}
