//! Requests over HTTP, and `https://`: static files in the layout of a remote, for reading alone.

use std::path::Path;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::{Created, Failure, Got, Listed, Reason, Transport, get_at_once};

/// The longest answer that is read as text, in bytes.
const MAX_TEXT: u64 = 8 << 20;
/// The longest file that is read whole from a server that does not know ranges, in bytes.
const MAX_WHOLE: u64 = 64 << 20;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
    /// Whether it is a page for people.
    is_page: bool,
    /// The tag of a part.
    pub(super) tag: Option<String>,
    /// The region of a bucket, as some answers name it.
    pub(super) region: Option<String>,
}

/// Reads a file of certificates that are trusted, in place of the usual ones.
pub(super) fn roots(file: &Path) -> Result<RootCerts, String> {
    let bad = |why: &dyn std::fmt::Display| {
        format!("the certificates in {} cannot be read: {why}", file.display())
    };
    let text = std::fs::read(file).map_err(|e| bad(&e))?;
    let mut found = vec![];
    for item in ureq::tls::parse_pem(&text) {
        if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|e| bad(&e))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(bad(&"there are none")),
        false => Ok(RootCerts::new_with_certs(&found)),
    }
}

/// Creates a client. Its connections are used again.
///
/// # Errors
/// A sentence if the file of certificates cannot be read.
pub(super) fn agent(certificates: Option<&Path>) -> Result<Agent, String> {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let mut tls = TlsConfig::builder();
    if let Some(file) = certificates {
        tls = tls.root_certs(roots(file)?);
    }
    let config = Agent::config_builder()
        .tls_config(tls.build())
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
        .build();
    Ok(config.into())
}

/// Reads an answer. The address may hold a signature, so it is never in a message.
pub(super) fn answer(sent: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Answer, Failure> {
    let mut response = sent.map_err(failed)?;
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|it| it.to_str().ok());
        value.map(str::to_owned)
    };
    let (region, tag) = (header("x-amz-bucket-region"), header("etag"));
    let is_html =
        header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"));
    let limit = if status < 300 { limit } else { MAX_TEXT };
    let bytes = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
    // Some servers call an empty answer a page.
    let is_page = is_html && !bytes.is_empty();
    Ok(Answer { status, bytes, is_page, region, tag })
}

fn failed(error: ureq::Error) -> Failure {
    use ureq::Error as It;
    match error {
        // rustls reports a certificate through input and output.
        It::Io(error) if error.to_string().contains("certificate") => insecure(&error.to_string()),
        It::Io(error) => Failure::ambiguous(format!("the connection failed: {error}")),
        It::Timeout(timeout) => Failure::ambiguous(format!("the server does not answer ({timeout})")),
        It::ConnectionFailed => Failure::ambiguous("the server cannot be reached"),
        It::Protocol(_) => Failure::ambiguous("the answer is no HTTP, or was cut off"),
        It::HostNotFound => Failure::final_one("there is no such host"),
        It::BodyExceedsLimit(limit) => Failure::final_one(format!("the file is longer than {limit} bytes")),
        It::Tls(why) => insecure(why),
        It::Rustls(error) => insecure(&error.to_string()),
        _ => Failure::final_one("the request cannot be sent"),
    }
}

fn insecure(why: &str) -> Failure {
    Failure::final_one(format!("no secure connection: {why}")).because(Reason::Certificate)
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
        let reason = match &*code {
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "UnrecognizedClientException" => Reason::Credentials,
            "RequestTimeTooSkewed" | "RequestExpired" => Reason::Clock,
            "NoSuchBucket" => Reason::NoBucket,
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect" => Reason::Region,
            _ if self.region.is_some() && (300..400).contains(&self.status) => Reason::Region,
            "AccessDenied" | "AllAccessDisabled" => Reason::ReadOnly,
            _ if self.is_page => Reason::Page,
            _ if self.status == 401 => Reason::Credentials,
            _ => Reason::Other,
        };
        let failure = match self.status {
            408 | 409 | 425 | 429 | 500..=599 if self.status != 501 => Failure::ambiguous(said),
            _ if reason == Reason::Region => {
                let region = self.region.clone().or_else(|| part("Region"));
                let region = region.map_or(String::new(), |it| format!("; it is in {it}"));
                Failure::final_one(format!("the bucket is in another region ({said}){region}"))
            }
            300..=399 => Failure::final_one(format!("the server redirects ({said})")),
            _ if reason == Reason::Clock => {
                Failure::final_one(format!("the server refuses the time of the request ({said})"))
            }
            _ if reason == Reason::NoBucket => {
                Failure::final_one(format!("there is no such bucket ({said})"))
            }
            401 | 403 => Failure::final_one(format!("the server refuses the credentials ({said})")),
            501 => Failure::final_one(format!("the server does not know this request ({said})")),
            _ => Failure::final_one(format!("the server refuses the request ({said})")),
        };
        failure.because(reason)
    }

    /// Returns whether the request succeeded. A page for people is no answer to it.
    pub(super) fn is_done(&self) -> bool {
        (200..300).contains(&self.status) && !self.is_page
    }

    /// Returns the bytes of a file, or `None` if there is none.
    pub(super) fn file(self) -> Result<Option<Vec<u8>>, Failure> {
        if self.is_page && self.status < 300 {
            let why = "a page for people came in place of the file";
            return Err(Failure::final_one(why).because(Reason::Page));
        }
        match self.status {
            200 | 206 => Ok(Some(self.bytes)),
            404 if !String::from_utf8_lossy(&self.bytes).contains("NoSuchBucket") => Ok(None),
            _ => Err(self.failure()),
        }
    }

    /// Returns a part of a file. A server that does not know ranges sends the whole.
    pub(super) fn part(self, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.status {
            200 if !self.is_page => {
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
    /// Reads files below an address. `certificates` is a file of those that are trusted, in place of the usual ones.
    ///
    /// # Errors
    /// A sentence if that file cannot be read.
    pub fn new(base: &str, certificates: Option<&Path>) -> Result<HttpTransport, String> {
        Ok(HttpTransport { agent: agent(certificates)?, base: base.trim_end_matches('/').to_owned() })
    }

    fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }
}

fn read_only<T>() -> Result<T, Failure> {
    let why = "a web server's files can only be read";
    Err(Failure::final_one(why).because(Reason::ReadOnly))
}

impl Transport for HttpTransport {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        answer(self.agent.get(self.address(key)).call(), limit)?.file()
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        let request = self.agent.get(self.address(key)).header("Range", range(start, len));
        answer(request.call(), range_limit(len))?.part(start, len)
    }

    fn get_two(&self, keys: [&str; 2], limit: u64) -> [Got; 2] {
        get_at_once(self, keys, limit)
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
