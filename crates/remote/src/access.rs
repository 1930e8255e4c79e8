//! The access to servers.

use std::path::PathBuf;

/// The access to a server. It comes from the environment, never from a project's file.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Access {
    /// The key's id and the secret.
    pub key: Option<(String, String)>,
    /// The token of temporary keys.
    pub token: Option<String>,
    /// The region, if the address has none.
    pub region: Option<String>,
    /// The server, if the address has none.
    pub endpoint: Option<String>,
    /// The file of certificates that are trusted, in place of the usual ones.
    pub certificates: Option<PathBuf>,
}

impl Access {
    /// Sets the key's id and the secret.
    pub fn key(mut self, id: impl Into<String>, secret: impl Into<String>) -> Access {
        self.key = Some((id.into(), secret.into()));
        self
    }
}
