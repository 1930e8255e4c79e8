//! Addresses of remotes.

use crate::transport::Transport;
use crate::transport::file::FileTransport;
use crate::transport::http::HttpTransport;
use crate::transport::s3::{Access, S3Transport};

/// Opens the transport for an address. No request is made.
///
/// # Errors
/// A sentence if this program has none for it.
pub fn open(url: &str, access: &Access) -> Result<Box<dyn Transport>, String> {
    match url.split_once("://") {
        Some(("file", path)) if path.starts_with('/') && path.len() > 1 => {
            Ok(Box::new(FileTransport::new(path.as_ref())))
        }
        Some(("s3", place)) => Ok(Box::new(S3Transport::new(place, access)?)),
        Some(("http" | "https", _)) => Ok(Box::new(HttpTransport::new(url))),
        Some(("file", _)) => Err(format!("{url} is no absolute path")),
        Some((scheme, _)) => Err(format!("there is no transport for {scheme}://")),
        None => Err(format!("{url} is no address")),
    }
}
