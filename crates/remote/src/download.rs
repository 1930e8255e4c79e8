//! Downloads of single files, whose digests the caller knows.

use std::io::Write;

/// The number of redirects that are followed: the digest decides, and not the server.
#[cfg(feature = "web")]
const REDIRECTS: u32 = 5;

/// Writes the file at an `https://` or `http://` address to `to`. Returns its length.
///
/// # Errors
/// A sentence: no connection, another status than 200, more than `limit` bytes, or a failure of `to`.
#[cfg(feature = "web")]
pub fn download(address: &str, limit: u64, to: &mut dyn Write) -> Result<u64, String> {
    use std::io::Read;

    let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .timeout_connect(seconds(10))
        .timeout_recv_response(seconds(60))
        .timeout_recv_body(seconds(3600))
        .user_agent("genstore")
        .build()
        .into();
    let mut response = agent.get(address).call().map_err(|error| format!("the request failed: {error}"))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("the server answers with status {status}"));
    }
    let mut body = response.body_mut().as_reader().take(limit.saturating_add(1));
    let length = std::io::copy(&mut body, to).map_err(|error| format!("the transfer failed: {error}"))?;
    if length > limit {
        return Err(format!("the file is longer than {limit} bytes"));
    }
    Ok(length)
}

/// Fails: this program was built without the feature `web`.
///
/// # Errors
/// Always.
#[cfg(not(feature = "web"))]
pub fn download(_: &str, _: u64, _: &mut dyn Write) -> Result<u64, String> {
    Err("this program was built without the feature `web`".to_owned())
}
