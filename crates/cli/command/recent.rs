//! The newest part of a list: `--limit` and `--since`.

use std::time::SystemTime;

use anyhow::Result;
use clap::Args;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::text::time;

#[derive(Args)]
pub(crate) struct Recent {
    /// List only the newest N
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// List only those since then: a date, a time, or a duration like 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

impl Recent {
    /// Returns the largest number of lines.
    pub(crate) fn limit(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Returns the earliest time to list.
    ///
    /// # Errors
    /// Code `bad-time`.
    pub(crate) fn since(&self, context: &Context<'_>) -> Result<Option<SystemTime>> {
        self.since.as_deref().map(|text| earliest(text, context.now())).transpose()
    }
}

fn earliest(text: &str, now: SystemTime) -> Result<SystemTime> {
    let parsed = match time::parse_duration(text) {
        Ok(ago) => Ok(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)),
        Err(_) => time::parse_moment(text, now),
    };
    parsed.map_err(|message| {
        let hint = "write it like 2031-05-01, '2031-05-01 18:00' or 7d".to_owned();
        Fail { hint, ..Fail::usage("bad-time", message) }.into()
    })
}
