//! What the program takes from its surroundings: arguments, variables, the clock. Nothing else in
//! the program reads them.

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
use jiff::Timestamp;

/// A reading of the surroundings.
pub(crate) struct Environment {
    /// The arguments, the program's own name first.
    pub(crate) args: Vec<OsString>,
    /// `GENSTORE_STORE`: the store to use.
    pub(crate) store: Option<PathBuf>,
    /// The folder of the user's own configuration: `XDG_CONFIG_HOME`, or `.config` in `HOME`.
    pub(crate) config_home: Option<PathBuf>,
    /// The folder of what is remembered: `XDG_STATE_HOME`, or `.local/state` in `HOME`.
    pub(crate) state_home: Option<PathBuf>,
    /// `SUDO_UID`: the user who called sudo.
    pub(crate) sudo_uid: Option<u32>,
    /// Who the user is, for the log: `user root`, or `uid 0` where there is no name.
    pub(crate) user: String,
}

impl Environment {
    pub(crate) fn read() -> Environment {
        // An empty variable is an unset one, as in most programs.
        let filled = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| filled(name).map(|value| value.to_string_lossy().into_owned());
        // A relative folder is to be ignored, says the specification of XDG.
        let absolute = |name: &str| filled(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = |name: &str, below: &str| {
            absolute(name).or_else(|| absolute("HOME").map(|home| home.join(below)))
        };
        let user = text("USER").or_else(|| text("LOGNAME"));
        Environment {
            args: env::args_os().collect(),
            store: filled("GENSTORE_STORE").map(PathBuf::from),
            config_home: home("XDG_CONFIG_HOME", ".config"),
            state_home: home("XDG_STATE_HOME", ".local/state"),
            sudo_uid: text("SUDO_UID").and_then(|uid| uid.parse().ok()),
            user: user
                .map(|name| format!("user {name}"))
                .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
        }
    }
}

/// Makes the clock: the system's, or one that stands still.
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

/// Returns the variables by which commands write colours though their output is a pipe, as many as the
/// terminal has; none where the user has said so or otherwise.
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

/// Reads the clock.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Names the directory for temporary files: `TMPDIR`, or `/tmp`.
pub(crate) fn temp_dir() -> PathBuf {
    env::temp_dir()
}
