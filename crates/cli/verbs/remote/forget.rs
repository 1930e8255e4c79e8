//! Forgetting on a remote.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use genstore::tree::{Digest, RelPath, show_path};
use genstore_remote::{ForgetOptions, Remote};
use serde::Serialize;

use super::collect::KeptDoc;
use crate::command::context::Context;
use crate::command::remotes::{self, failed};
use crate::errors::Fail;
use crate::exit;
use crate::render::remote::{TrafficDoc, traffic_line};
use crate::text::human::{self, left};
use crate::text::style::GOOD;

#[derive(Args)]
pub(super) struct Forget {
    /// The remote, or its address
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// A path, for each content that a generation on the remote has there, or a digest (64 hex digits); may be
    /// repeated (default: all that this store has forgotten)
    #[arg(value_name = "PATH|DIGEST")]
    what: Vec<String>,
    /// Only print what would be removed and pushed again
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ForgotRemotelyDoc {
    schema: &'static str,
    dry_run: bool,
    /// The contents: BLAKE3 of the bytes, 64 hexadecimal digits each.
    digests: Vec<String>,
    /// The record that names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// The channels whose heads were pushed again, as they shared a file with a content.
    pushed: Vec<String>,
    /// The generations that were removed.
    removed: Vec<KeptDoc>,
    files: u64,
    bytes: u64,
    traffic: TrafficDoc,
}

impl Forget {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let named = remotes::open(context, &self.remote)?;
        let store = context.open()?;
        let contents = self.contents(&named.remote, &store)?;
        let options =
            ForgetOptions::default().dry_run(self.dry_run).symlinks(context.scan_rules(None)?.symlinks);
        // Without contents, it completes what was interrupted.
        let done = named.remote.forget(&store, &contents, &options).map_err(failed)?;
        if contents.is_empty() && done.files == 0 {
            let what: Vec<String> = self.what.iter().map(|what| show_path(what.as_bytes())).collect();
            let message = format!("no generation on the remote has a file at {}", what.join(" or "));
            let hint =
                "`genstore forget -n` shows what the store has; a digest names a content without its path";
            return Err(Fail::new("no-such-file", message, hint).into());
        }
        if !self.dry_run {
            context.out.has_changed("the remote has forgotten the contents");
        }
        let why = || vec!["has a content, or shares a file with one".to_owned()];
        let traffic = named.remote.traffic();
        let document = ForgotRemotelyDoc {
            schema: "genstore.remote-forget/1",
            dry_run: self.dry_run,
            digests: contents.iter().map(Digest::to_string).collect(),
            record: done.record,
            pushed: done.pushed.into_iter().collect(),
            removed: done.removed.iter().map(|kept| KeptDoc::of(kept, why())).collect(),
            files: done.files,
            bytes: done.bytes,
            traffic: TrafficDoc::of(traffic),
        };
        context.out.confirm(&document, || self.text(&document));
        context.out.detail(&traffic_line(traffic));
        Ok(exit::DONE)
    }

    /// Returns the digests that the arguments name.
    fn contents(&self, remote: &Remote, store: &genstore::Store) -> Result<BTreeSet<Digest>> {
        let mut contents = BTreeSet::new();
        for what in &self.what {
            if let Ok(digest) = what.parse::<Digest>() {
                contents.insert(digest);
                continue;
            }
            if let Ok(path) = RelPath::new(what.as_bytes().to_vec()) {
                contents.extend(remote.contents_at(path.as_bytes()).map_err(failed)?);
            }
        }
        if self.what.is_empty() {
            contents = store.forgotten()?;
            if contents.is_empty() {
                let message = "this store has forgotten nothing";
                let hint = "name a path or a digest, or run `genstore forget PATH` first";
                return Err(Fail::new("nothing-forgotten", message, hint).with_exit(exit::USAGE).into());
            }
        }
        Ok(contents)
    }

    fn text(&self, document: &ForgotRemotelyDoc) -> String {
        let row =
            |doc: &KeptDoc| vec![left("remove"), left(doc.record.to_string()), left(doc.channel.as_str())];
        let rows: Vec<_> = document.removed.iter().map(row).collect();
        let (again, forgot) = match self.dry_run {
            true => ("Would push again", "Would forget".to_owned()),
            false => ("Pushed again", format!("{GOOD}Forgot{GOOD:#}")),
        };
        let pushed: String =
            document.pushed.iter().map(|channel| format!("{again}: {channel}\n")).collect();
        let contents = human::count(document.digests.len() as u64, "content");
        let files = format!("{}, {}", human::count(document.files, "file"), human::bytes(document.bytes));
        format!("{}{pushed}{forgot} {contents}: {files} removed\n", human::table(&rows))
    }
}
