//! Requests over HTTP, and `https://`: static files in the layout of a remote, for reading alone.

use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::{Created, Failure, Listed, Transport};

/// The longest answer that is read as text, in bytes.
const MAX_TEXT: u64 = 8 << 20;
/// The longest file that is read whole from a server that does not know ranges, in bytes.
const MAX_WHOLE: u64 = 64 << 20;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
    /// The region of a bucket, as some answers name it.
    pub(super) region: Option<String>,
}

/// Creates a client. Its connections are used again.
pub(super) fn agent() -> Agent {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    Agent::config_builder()
        .http_status_as_error(false)
        // A redirected write would lose its condition, and a redirected read its range.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(seconds(10))
        .timeout_send_request(seconds(30))
        .timeout_send_body(seconds(600))
        .timeout_recv_response(seconds(60))
        .timeout_recv_body(seconds(600))
        .user_agent("genstore")
        .build()
        .into()
}

/// Reads an answer. The address may hold a signature, so it is never in a message.
pub(super) fn answer(sent: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Answer, Failure> {
    let mut response = sent.map_err(failed)?;
    let status = response.status().as_u16();
    let region = response.headers().get("x-amz-bucket-region").and_then(|it| it.to_str().ok());
    let region = region.map(str::to_owned);
    let limit = if status < 300 { limit } else { MAX_TEXT };
    let bytes = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
    Ok(Answer { status, bytes, region })
}

fn failed(error: ureq::Error) -> Failure {
    use ureq::Error as It;
    match error {
        It::Io(error) => Failure::ambiguous(format!("the connection failed: {error}")),
        It::Timeout(timeout) => Failure::ambiguous(format!("the server does not answer ({timeout})")),
        It::ConnectionFailed => Failure::ambiguous("the server cannot be reached"),
        It::Protocol(_) => Failure::ambiguous("the answer is no HTTP, or was cut off"),
        It::HostNotFound => Failure::final_one("there is no such host"),
        It::BodyExceedsLimit(limit) => Failure::final_one(format!("the file is longer than {limit} bytes")),
        It::Tls(why) => Failure::final_one(format!("no secure connection: {why}")),
        It::Rustls(error) => Failure::final_one(format!("no secure connection: {error}")),
        _ => Failure::final_one("the request cannot be sent"),
    }
}

impl Answer {
    /// Returns the failure of a status that is no success.
    pub(super) fn failure(&self) -> Failure {
        let text = String::from_utf8_lossy(&self.bytes);
        let part = |tag: &str| {
            let rest = text.split_once(&format!("<{tag}>"))?.1;
            Some(rest.split_once('<')?.0.chars().filter(|c| !c.is_control()).take(200).collect::<String>())
        };
        let code = part("Code").unwrap_or_default();
        let said = part("Message").map_or(String::new(), |message| format!(": {message}"));
        let said = format!("{} {code}{said}", self.status);
        match self.status {
            408 | 409 | 425 | 429 | 500..=599 if self.status != 501 => Failure::ambiguous(said),
            300..=399 => {
                let region = self.region.as_ref().map_or(String::new(), |it| format!("; it is in {it}"));
                Failure::final_one(format!("the server redirects ({said}){region}"))
            }
            401 | 403 => Failure::final_one(format!("the server refuses the credentials ({said})")),
            501 => Failure::final_one(format!("the server does not know this request ({said})")),
            _ => Failure::final_one(format!("the server refuses the request ({said})")),
        }
    }

    /// Returns the bytes of a file, or `None` if there is none.
    pub(super) fn file(self) -> Result<Option<Vec<u8>>, Failure> {
        match self.status {
            200 | 206 => Ok(Some(self.bytes)),
            404 if !String::from_utf8_lossy(&self.bytes).contains("NoSuchBucket") => Ok(None),
            _ => Err(self.failure()),
        }
    }

    /// Returns a part of a file. A server that does not know ranges sends the whole.
    pub(super) fn part(self, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.status {
            200 => {
                let from = (start as usize).min(self.bytes.len());
                let to = from.saturating_add(len as usize).min(self.bytes.len());
                Ok(Some(self.bytes[from..to].to_vec()))
            }
            // The file ends before.
            416 => Ok(Some(vec![])),
            _ => self.file(),
        }
    }
}

/// Formats the range of a request.
pub(super) fn range(start: u64, len: u64) -> String {
    format!("bytes={start}-{}", start.saturating_add(len.max(1)) - 1)
}

/// Returns the most bytes that an answer to a request for a part may have.
pub(super) fn range_limit(len: u64) -> u64 {
    len.max(MAX_WHOLE)
}

/// A remote on a web server.
pub struct HttpTransport {
    agent: Agent,
    base: String,
}

impl HttpTransport {
    /// Reads files below an address.
    pub fn new(base: &str) -> HttpTransport {
        HttpTransport { agent: agent(), base: base.trim_end_matches('/').to_owned() }
    }

    fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }
}

fn read_only<T>() -> Result<T, Failure> {
    Err(Failure::final_one("a web server's files can only be read: push by another address"))
}

impl Transport for HttpTransport {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        answer(self.agent.get(self.address(key)).call(), limit)?.file()
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        let request = self.agent.get(self.address(key)).header("Range", range(start, len));
        answer(request.call(), range_limit(len))?.part(start, len)
    }

    fn create(&self, _: &str, _: &[u8]) -> Result<Created, Failure> {
        read_only()
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<(), Failure> {
        read_only()
    }

    fn list(&self, _: &str) -> Result<Vec<Listed>, Failure> {
        read_only()
    }

    fn delete(&self, _: &str) -> Result<(), Failure> {
        read_only()
    }
}
