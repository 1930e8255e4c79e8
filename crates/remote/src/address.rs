//! Addresses of remotes.

use crate::transport::Transport;
use crate::transport::file::FileTransport;

/// Opens the transport for an address. No request is made.
///
/// # Errors
/// A sentence if this program has none for it.
pub fn open(url: &str) -> Result<Box<dyn Transport>, String> {
    match url.split_once("://") {
        Some(("file", path)) if path.starts_with('/') && path.len() > 1 => {
            Ok(Box::new(FileTransport::new(path.as_ref())))
        }
        Some(("file", _)) => Err(format!("{url} is no absolute path")),
        Some((scheme, _)) => Err(format!("there is no transport for {scheme}://")),
        None => Err(format!("{url} is no address")),
    }
}
