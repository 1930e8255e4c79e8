//! The environment of the program: arguments, variables, the clock. Nothing else in the program reads them.

#![allow(
    clippy::disallowed_methods,
    reason = "the program's one place for environment and clock; the library has neither"
)]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use genstore::Clock;
use genstore_remote::Access;
use jiff::Timestamp;

/// A snapshot of the environment.
pub(crate) struct Environment {
    /// The arguments, starting with the program's own name.
    pub(crate) args: Vec<OsString>,
    /// `GENSTORE_STORE`: the store to use.
    pub(crate) store: Option<PathBuf>,
    /// `GENSTORE_ACTOR`: the name in the log.
    pub(crate) actor: Option<String>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// The folder of the user's configuration: `XDG_CONFIG_HOME`, or `.config` in `HOME`.
    pub(crate) config_home: Option<PathBuf>,
    /// The folder of remembered state: `XDG_STATE_HOME`, or `.local/state` in `HOME`.
    pub(crate) state_home: Option<PathBuf>,
    /// The folder of what can be made again: `XDG_CACHE_HOME`, or `.cache` in `HOME`.
    pub(crate) cache_home: Option<PathBuf>,
    /// The variables of S3: keys, region and endpoint.
    pub(crate) access: Access,
    /// `SUDO_UID`: the user who ran sudo.
    pub(crate) sudo_uid: Option<u32>,
    /// The user's name in the log: `user root`, or `uid 0` if there is no name.
    pub(crate) user: String,
}

impl Environment {
    pub(crate) fn read() -> Environment {
        // An empty variable counts as unset, as in most programs.
        let filled = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| filled(name).map(|value| value.to_string_lossy().into_owned());
        // The XDG specification requires that relative folders are ignored.
        let absolute = |name: &str| filled(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = |name: &str, below: &str| {
            absolute(name).or_else(|| absolute("HOME").map(|home| home.join(below)))
        };
        let user = text("USER").or_else(|| text("LOGNAME"));
        let mut access = Access::default();
        access.key = text("AWS_ACCESS_KEY_ID").zip(text("AWS_SECRET_ACCESS_KEY"));
        access.token = text("AWS_SESSION_TOKEN");
        access.region = text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION"));
        access.certificates = filled("SSL_CERT_FILE").map(PathBuf::from);
        access.endpoint = text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL"));
        Environment {
            access,
            args: env::args_os().collect(),
            store: filled("GENSTORE_STORE").map(PathBuf::from),
            actor: text("GENSTORE_ACTOR"),
            home: absolute("HOME"),
            config_home: home("XDG_CONFIG_HOME", ".config"),
            state_home: home("XDG_STATE_HOME", ".local/state"),
            cache_home: home("XDG_CACHE_HOME", ".cache"),
            sudo_uid: text("SUDO_UID").and_then(|uid| uid.parse().ok()),
            user: user
                .map(|name| format!("user {name}"))
                .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
        }
    }
}

/// Returns the clock: the system's, or a fixed one.
pub(crate) fn clock(fixed: Option<&str>) -> Result<Clock, String> {
    let Some(text) = fixed else { return Ok(Arc::new(SystemTime::now)) };
    let instant: Timestamp = text.parse().map_err(|_| {
        format!("the fixed time is not an RFC 3339 time: {}", genstore::tree::show_path(text.as_bytes()))
    })?;
    let instant = SystemTime::from(instant);
    Ok(Arc::new(move || instant))
}

/// Returns whether a variable is set.
pub(crate) fn has(name: &str) -> bool {
    env::var_os(name).is_some()
}

/// Returns the command that shows long text on a terminal: `GENSTORE_PAGER`, or `PAGER`, or less. Returns `None`
/// if the variable is empty or `cat`.
pub(crate) fn pager() -> Option<OsString> {
    let named = env::var_os("GENSTORE_PAGER").or_else(|| env::var_os("PAGER"));
    let command = named.unwrap_or_else(|| "less".into());
    Some(command).filter(|command| !command.is_empty() && command != "cat")
}

/// Returns the variables that make commands print colours into a pipe, with the terminal's number of
/// colours. Returns none if the user has set `FORCE_COLOR` or `NO_COLOR`.
pub(crate) fn force_colors() -> Vec<(OsString, OsString)> {
    if has("FORCE_COLOR") || has("NO_COLOR") {
        return vec![];
    }
    let is = |name: &str, parts: &[&str]| {
        let value = env::var(name).unwrap_or_default();
        parts.iter().any(|part| value.contains(part))
    };
    let level = if is("COLORTERM", &["truecolor", "24bit"]) {
        "3"
    } else if is("TERM", &["256"]) {
        "2"
    } else {
        "1"
    };
    [("FORCE_COLOR", level), ("CLICOLOR_FORCE", "1")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

/// Returns the current time.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns the directory for temporary files: `TMPDIR`, or `/tmp`.
pub(crate) fn temp_dir() -> PathBuf {
    env::temp_dir()
}
