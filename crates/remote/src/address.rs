//! Addresses of remotes.

use crate::access::Access;
use crate::transport::Transport;
use crate::transport::file::FileTransport;
use crate::transport::ssh::SshTransport;
#[cfg(feature = "web")]
use crate::transport::{http::HttpTransport, s3::S3Transport};

/// Opens the transport for an address. No request is made.
///
/// # Errors
/// A sentence if this program has none for it.
pub fn open(url: &str, access: &Access) -> Result<Box<dyn Transport>, String> {
    match url.split_once("://") {
        Some(("file", path)) if path.starts_with('/') && path.len() > 1 => {
            Ok(Box::new(FileTransport::new(path.as_ref())))
        }
        Some(("ssh", place)) => Ok(Box::new(SshTransport::new(place)?)),
        Some((scheme @ ("s3" | "http" | "https"), place)) => open_web(url, scheme, place, access),
        Some(("file", _)) => Err(format!("{url} is no absolute path")),
        Some((scheme, _)) => Err(format!("there is no transport for {scheme}://")),
        None => Err(format!("{url} is no address")),
    }
}

#[cfg(feature = "web")]
fn open_web(url: &str, scheme: &str, place: &str, access: &Access) -> Result<Box<dyn Transport>, String> {
    match scheme {
        "s3" => Ok(Box::new(S3Transport::new(place, access)?)),
        _ => Ok(Box::new(HttpTransport::new(url, access.certificates.as_deref())?)),
    }
}

#[cfg(not(feature = "web"))]
fn open_web(_: &str, scheme: &str, _: &str, _: &Access) -> Result<Box<dyn Transport>, String> {
    Err(format!("this program was built without {scheme}:// (the feature `web`)"))
}
