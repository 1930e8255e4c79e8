//! The arguments of `serve`, and its events as documents.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use genstore::GenerationId;
use serde::Serialize;

use super::stdio::Allow;
use crate::text::time;

#[derive(Args)]
#[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server reads them"))]
pub(crate) struct Serve {
    /// The address, or a port of this machine; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) addr: Vec<SocketAddr>,
    /// Allow an address that other machines reach
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Serve this folder of the generation
    #[arg(long, value_name = "SUBDIR")]
    pub(super) root: Option<String>,
    /// Answer pages that do not exist with index.html
    #[arg(long)]
    pub(super) spa: bool,
    /// Reload open pages when another generation is current
    #[arg(long)]
    pub(super) live: bool,
    /// Open the page of the timeline in a browser
    #[arg(long, conflicts_with = "stdio")]
    pub(super) open: bool,
    /// Allow pages of this origin to read responses; * for all; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(super) cors: Vec<String>,
    /// Answer files that only earlier generations have for this long after they were current
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    pub(super) skew: Option<Duration>,
    /// End when there was no connection for this long
    #[arg(long, value_name = "DUR", value_parser = time::parse_duration)]
    pub(super) idle_exit: Option<Duration>,
    /// Answer the requests of a client on stdin and stdout: `ssh` runs this for remotes like
    /// ssh://host/path
    #[arg(long, requires = "dir")]
    pub(super) stdio: bool,
    /// The requests to carry out, for a forced command in authorized_keys
    #[arg(long, value_enum, value_name = "WHAT", default_value = "all")]
    pub(super) allow: Allow,
    /// The directory of the remote, with --stdio
    #[arg(value_name = "DIR", requires = "stdio")]
    pub(super) dir: Option<PathBuf>,
}

/// An event of the server. Fields that do not belong to the event are missing.
#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
#[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "only the web server prints it"))]
pub(crate) struct ServeDoc {
    pub(super) schema: &'static str,
    /// `listening`, `moved`, `request`, `problem` or `stopped`.
    pub(super) event: &'static str,
    pub(super) time: String,
    /// `listening`: the address of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// The generation of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<GenerationId>,
    /// `moved`: the generation before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<GenerationId>,
    /// `request`: the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
    /// `request`: the path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    /// `request`: the status of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// `request`: the time until the response was ready, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) us: Option<u64>,
    /// `problem`: its stable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    /// `problem`: one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

#[cfg(feature = "serve")]
impl Serve {
    /// Creates the arguments of a server beside a watch: pages follow the store.
    pub(super) fn beside_watch(addr: Option<SocketAddr>) -> Serve {
        Serve {
            addr: addr.into_iter().collect(),
            allow_remote: false,
            root: None,
            spa: false,
            live: true,
            open: false,
            cors: vec![],
            skew: None,
            idle_exit: None,
            stdio: false,
            allow: Allow::Pull,
            dir: None,
        }
    }
}

/// Parses an address, or a port of this machine.
pub(in crate::verbs) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let bad = || "write it like 127.0.0.1:8080, [::1]:8080 or 8080".to_owned();
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).map_err(|_| bad()),
        None => text.parse().map_err(|_| bad()),
    }
}
