//! `wait`: returns when another generation is current.
//!
//! The notice file only wakes the process. The result depends on `current` itself, which is read after each
//! wake and at least once a second: inotify may lose events, and some filesystems have none.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use super::current::PlaceDoc;
use crate::command::context::Context;
use crate::command::control::{self, Request};
use crate::command::{notice, refs};
use crate::errors::Fail;
use crate::exit;
use crate::render::json::PathField;
use crate::text::time;

/// The longest delay after a lost event.
const AT_LEAST: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Wait {
    /// Return as soon as another generation than this is current [default: the current one]
    #[arg(long, value_name = "REF")]
    after: Option<Rev>,
    /// Give up after this long, with exit status 1
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
    /// Do not return: print each generation that becomes current, one line each
    #[arg(long, conflicts_with = "timeout")]
    follow: bool,
}

/// A line of `--follow --json`: a move of `current`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct MoveDoc {
    schema: &'static str,
    /// `activated`.
    event: &'static str,
    /// The time of the move.
    time: String,
    generation: GenerationId,
    /// The generation that was current before.
    previous: Option<GenerationId>,
    /// The name that the writer gave itself.
    by: String,
    #[serde(flatten)]
    path: PathField,
}

impl Wait {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        if self.follow {
            return self.follow(context);
        }
        let start = Instant::now();
        let store = context.open()?;
        let after = match &self.after {
            Some(rev) => Some(refs::remembered(&store, rev)?),
            None => store.current()?,
        };
        let id = self.wait(context, &store, after, start)?;
        let document = || -> Result<PlaceDoc> {
            let tree = store.open_generation(&Rev::Number(id))?.head()?.tree.to_string();
            let path = PathField::of_path(&store.tree_path(id));
            Ok(PlaceDoc { schema: "genstore.wait/1", generation: id, tree, path })
        };
        match context.out.json() {
            true => context.out.emit(&document()?, String::new),
            false => context.out.text(&format!("{id}\n")),
        }
        Ok(exit::DONE)
    }

    /// Prints each move of `current`, by the log, so that none is missed, however fast they follow each other.
    fn follow(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let (wake, woken) = channel();
        let notice = wake.clone();
        let after = self.after.as_ref().map(|rev| refs::remembered(&store, rev)).transpose()?;
        let mut follower = store.follow(after)?;
        let _watch = notice::watch(context, &store, move || notice.send(()).unwrap_or_default());
        loop {
            for moved in store.moves(&mut follower)? {
                let document = MoveDoc {
                    schema: "genstore.follow/1",
                    event: "activated",
                    time: time::rfc3339(moved.time),
                    generation: moved.generation,
                    previous: moved.previous,
                    by: moved.by,
                    path: PathField::of_path(&store.tree_path(moved.generation)),
                };
                context.out.emit(&document, || format!("{}\n", moved.generation));
            }
            if context.out.has_failed() {
                return Ok(exit::DONE);
            }
            // If the store itself is gone, this returns the error.
            drop(context.open()?);
            if woken.recv_timeout(AT_LEAST) != Err(RecvTimeoutError::Timeout) {
                while woken.try_recv().is_ok() {}
            }
        }
    }

    fn wait(
        &self,
        context: &Context<'_>,
        store: &Store,
        after: Option<GenerationId>,
        start: Instant,
    ) -> Result<GenerationId> {
        let (wake, woken) = channel();
        let notice = wake.clone();
        // The watch begins before the first check, so that no change is lost in between. Sending fails only
        // after the wait is over.
        let _watch = notice::watch(context, store, move || notice.send(()).unwrap_or_default());
        loop {
            match store.current()? {
                Some(current) if Some(current) != after => return Ok(current),
                // If the store itself is gone, this returns the error.
                None if after.is_some() => drop(context.open()?),
                _ => {}
            }
            let left = match self.timeout {
                None => AT_LEAST,
                Some(timeout) => timeout.saturating_sub(start.elapsed()),
            };
            if left.is_zero() {
                return Err(timed_out(store, self.timeout.unwrap_or_default(), after).into());
            }
            if woken.recv_timeout(left.min(AT_LEAST)) != Err(RecvTimeoutError::Timeout) {
                while woken.try_recv().is_ok() {}
            }
        }
    }
}

fn timed_out(store: &Store, timeout: Duration, after: Option<GenerationId>) -> Fail {
    let still = after.map_or("nothing is current".to_owned(), |id| format!("{id} is still current"));
    let message = format!("waited {}: {still}", time::duration(timeout));
    let hint = match control::ask(store, &Request::Look) {
        Ok(_) => "use a longer --timeout, or omit it",
        Err(_) => "no watch of yours runs on this store; use a longer --timeout for another publisher",
    };
    Fail::new("timeout", message, hint)
}
