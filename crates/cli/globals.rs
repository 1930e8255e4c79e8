//! The global flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::text::escape::is_unsafe;
use crate::text::time;

/// Flags that every verb accepts, before it or after it.
#[derive(Args)]
#[command(next_help_heading = "Global flags")]
pub(crate) struct Globals {
    /// The store to use
    #[arg(long, value_name = "DIR", global = true, value_parser = filled_path())]
    pub(crate) store: Option<PathBuf>,
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, value_parser = filled_path())]
    pub(crate) chdir: Option<PathBuf>,
    /// Trust the project's file and the store found here, even if another user owns them
    #[arg(long, global = true)]
    pub(crate) trust: bool,
    /// Ignore the project's file
    #[arg(long, global = true, conflicts_with = "trust")]
    pub(crate) no_project: bool,
    /// Print one JSON document, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours: auto, always, never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_possible_values = true)]
    pub(crate) color: When,
    /// When to show progress on stderr: auto, always, never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_possible_values = true)]
    pub(crate) progress: When,
    /// Do not print hints, notes and confirmations
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more details
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// The name in the log, for `history` [default: GENSTORE_ACTOR, or the user, the process and the verb]
    #[arg(long, value_name = "WHO", global = true, value_parser = actor)]
    pub(crate) actor: Option<String>,
    /// The longest time to wait for locks
    #[arg(long, value_name = "DUR", global = true, default_value = "60s", value_parser = time::parse_duration)]
    pub(crate) lock_timeout: Duration,
}

/// The greatest length of an actor's name, in bytes.
const LONGEST_ACTOR: usize = 200;

/// Checks the name of an actor.
pub(crate) fn actor(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        _ if text.len() > LONGEST_ACTOR => Err(format!("it is longer than {LONGEST_ACTOR} bytes")),
        _ if text.chars().any(is_unsafe) => Err("it has control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A choice that depends on whether the output is a terminal.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

/// Returns the parser of a path, which may have any bytes but must not be empty.
pub(crate) fn filled_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new()
        .try_map(|text| if text.is_empty() { Err("it is empty") } else { Ok(PathBuf::from(text)) })
}
