//! `s3://`: a bucket of any server that speaks S3 and keeps the condition `If-None-Match: *`.

use std::time::Duration;

use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::Agent;

use super::http::{agent, answer, range, range_limit};
use super::{Created, Failure, Listed, Transport};

/// The time for which a signed address is valid. It is used at once.
const VALID: Duration = Duration::from_secs(900);
/// The longest page of a listing, in bytes.
const MAX_PAGE: u64 = 8 << 20;

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
}

impl Access {
    /// Sets the key's id and the secret.
    pub fn key(mut self, id: impl Into<String>, secret: impl Into<String>) -> Access {
        self.key = Some((id.into(), secret.into()));
        self
    }
}

/// A remote in a bucket.
pub struct S3Transport {
    agent: Agent,
    bucket: Bucket,
    credentials: Option<Credentials>,
    /// Empty, or it ends with a slash.
    prefix: String,
}

impl S3Transport {
    /// Uses `BUCKET/PREFIX?endpoint=URL&region=REGION`, without its scheme.
    ///
    /// # Errors
    /// A sentence if a part is missing or malformed.
    pub fn new(address: &str, access: &Access) -> Result<S3Transport, String> {
        let (place, query) = address.split_once('?').unwrap_or((address, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let (mut endpoint, mut region) = (access.endpoint.clone(), access.region.clone());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("endpoint", value)) => endpoint = Some(value.to_owned()),
                Some(("region", value)) => region = Some(value.to_owned()),
                _ => return Err("an address of a bucket has only endpoint and region after `?`".to_owned()),
            }
        }
        let region = region.unwrap_or("us-east-1".to_owned());
        let (style, endpoint) = match endpoint {
            Some(endpoint) => (UrlStyle::Path, endpoint),
            None if bucket.contains('.') => (UrlStyle::Path, format!("https://s3.{region}.amazonaws.com")),
            None => (UrlStyle::VirtualHost, format!("https://s3.{region}.amazonaws.com")),
        };
        let endpoint = endpoint.parse().map_err(|_| "the endpoint is no address".to_owned())?;
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
            .map_err(|error| format!("the address names no bucket: {error}"))?;
        let credentials = access.key.as_ref().map(|(id, secret)| match &access.token {
            Some(token) => Credentials::new_with_token(id, secret, token),
            None => Credentials::new(id, secret),
        });
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(S3Transport { agent: agent(), bucket, credentials, prefix })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl Transport for S3Transport {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let key = self.key(key);
        let address = self.bucket.get_object(self.credentials.as_ref(), &key).sign(VALID);
        answer(self.agent.get(address.as_str()).call(), limit)?.file()
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        let key = self.key(key);
        let address = self.bucket.get_object(self.credentials.as_ref(), &key).sign(VALID);
        let request = self.agent.get(address.as_str()).header("Range", range(start, len));
        answer(request.call(), range_limit(len))?.part(start, len)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        let key = self.key(key);
        let address = self.bucket.put_object(self.credentials.as_ref(), &key).sign(VALID);
        let request = self.agent.put(address.as_str()).header("If-None-Match", "*");
        let answer = answer(request.send(bytes), MAX_PAGE)?;
        match answer.status {
            200..=299 => Ok(Created::New),
            412 => Ok(Created::Taken),
            _ => Err(answer.failure()),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let key = self.key(key);
        let address = self.bucket.put_object(self.credentials.as_ref(), &key).sign(VALID);
        let answer = answer(self.agent.put(address.as_str()).send(bytes), MAX_PAGE)?;
        if answer.status < 300 { Ok(()) } else { Err(answer.failure()) }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        let prefix = self.key(prefix);
        let (mut found, mut token) = (vec![], None);
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, self.credentials.as_ref());
            action.with_prefix(prefix.as_str());
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let answer = answer(self.agent.get(action.sign(VALID).as_str()).call(), MAX_PAGE)?;
            if answer.status != 200 {
                return Err(answer.failure());
            }
            let page = ListObjectsV2::parse_response(&String::from_utf8_lossy(&answer.bytes));
            let page = page.map_err(|_| Failure::final_one("the listing cannot be read"))?;
            for file in page.contents {
                if let Some(key) = file.key.strip_prefix(&self.prefix) {
                    found.push(Listed { key: key.to_owned(), bytes: file.size.unwrap_or_default() });
                }
            }
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        let key = self.key(key);
        let address = self.bucket.delete_object(self.credentials.as_ref(), &key).sign(VALID);
        let answer = answer(self.agent.delete(address.as_str()).call(), MAX_PAGE)?;
        match answer.status {
            200..=299 | 404 => Ok(()),
            _ => Err(answer.failure()),
        }
    }
}
