//! Exit statuses and hints for errors of remotes, and their traffic.

use genstore_remote::transport::{Reason, Traffic};
use genstore_remote::{Check, Error};
use serde::Serialize;

use crate::exit;
use crate::text::human;

/// The requests and bytes of a verb.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct TrafficDoc {
    requests: u64,
    gets: u64,
    puts: u64,
    lists: u64,
    deletes: u64,
    received: u64,
    sent: u64,
}

impl TrafficDoc {
    pub(crate) fn of(traffic: Traffic) -> TrafficDoc {
        let Traffic { gets, puts, lists, deletes, received, sent, .. } = traffic;
        TrafficDoc { requests: traffic.requests(), gets, puts, lists, deletes, received, sent }
    }
}

/// Formats the traffic: `4 requests, 1.2 KiB sent, 300 B received`.
pub(crate) fn traffic_line(traffic: Traffic) -> String {
    let requests = human::count(traffic.requests(), "request");
    let (sent, received) = (human::bytes(traffic.sent), human::bytes(traffic.received));
    format!("{requests}, {sent} sent, {received} received")
}

/// Returns the exit status of an error.
pub(crate) fn exit_of(error: &Error) -> u8 {
    match error {
        Error::Damaged { .. } => exit::DAMAGED,
        Error::Lost { .. } => exit::LOST,
        Error::Newer { .. } => exit::NEWER_FORMAT,
        Error::Request { cause, .. } if cause.reason == Reason::NewProgram => exit::NEWER_FORMAT,
        Error::Distrusted { .. } => exit::DISTRUSTED,
        Error::Unfit { .. } => exit::USAGE,
        _ => exit::FAILED,
    }
}

/// Returns the hint for an error.
pub(crate) fn hint_of(error: &Error) -> String {
    let text = match error {
        Error::Unknown { near, .. } if !near.is_empty() => {
            return format!("it has {}; `genstore remote log` shows its records", near.join(", "));
        }
        Error::Unknown { .. } => "push to it first: `genstore push`",
        Error::Request { cause, .. } if cause.reason != Reason::Other => hint_of_reason(cause.reason),
        Error::Request { op: "append", .. } => {
            "it is not known whether the record arrived: run the same command again, which finds out"
        }
        Error::Request { .. } => "nothing was lost: run the same command again, and it continues",
        Error::Local { .. } => "check the free space, and the folder of genstore's state",
        Error::Damaged { .. } => {
            "nothing was activated; push the generation again from a store that has it"
        }
        Error::Newer { .. } => "use a newer genstore; nothing was changed",
        Error::NotARemote { .. } => {
            "check the address; the first `genstore push` makes an empty place a remote"
        }
        Error::NotShared { .. } => {
            "add them under [shared] in genstore.toml, as in the project that pushed it"
        }
        Error::Forgotten { .. } => "take the file out of the build; nothing was pushed or activated",
        Error::Remembered { .. } => {
            "push a generation without it to each of these channels, and remove the pins with `genstore remote \
             unpin`; nothing was removed"
        }
        Error::Lost { .. } => "another machine pushed: look at `genstore remote log`, then push again",
        Error::Signing { .. } => "`ssh-add -l` lists the keys of the agent; `sign` names the key's file",
        Error::Distrusted { check: Check::Signature, .. } => {
            "nothing was activated; a record needs a signer in the file that `trust` names"
        }
        Error::Distrusted { check: Check::Frozen, .. } => {
            "its publisher must push, or an old copy is served; nothing was activated"
        }
        Error::Distrusted { check: Check::WentBack | Check::Forked | Check::Heads, .. } => {
            "its log is not the one that this machine saw before; nothing was changed"
        }
        Error::Distrusted { .. } => "nothing was changed; `genstore remote test` checks the server",
        Error::Missing { .. } => "gc of the remote may have removed it: run the command again",
        _ => "see `genstore help`",
    };
    text.to_owned()
}

fn hint_of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::ReadOnly => "use an address, or a key, that may do this; nothing was changed",
        Reason::Credentials => "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
        Reason::Clock => "set the clock of this machine: signatures hold for some minutes",
        Reason::NoBucket => "create the bucket, or check its name; nothing was changed",
        Reason::Region => "name the region in the address: s3://bucket/prefix?region=NAME",
        Reason::Page => "a proxy or a login page answers: check the address, and the proxy",
        Reason::Certificate => "SSL_CERT_FILE names a file of certificates that are trusted",
        Reason::NoProgram => {
            "install genstore there, or name it in the address: ssh://host/path?program=/opt/genstore"
        }
        Reason::OldProgram => "install this version of genstore there; nothing was changed",
        Reason::NewProgram => "install that version of genstore here; nothing was changed",
        Reason::Login => "try `ssh` to this host by hand; nothing was changed",
        _ => "see `genstore help`",
    }
}
