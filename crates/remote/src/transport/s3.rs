//! `s3://`: a bucket of any server that speaks S3 and keeps the condition `If-None-Match: *`.

use std::time::Duration;

use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::Agent;

use crate::access::Access;

use super::http::{agent, answer, range, range_limit};
use super::{Created, Failure, Got, Listed, Parts, Transport, get_at_once};

/// The time for which a signed address is valid. It is used at once.
const VALID: Duration = Duration::from_secs(900);
/// The length of a part of a long file, in bytes. A server takes at most 10,000 parts.
const PART: usize = 16 << 20;
/// The number of attempts to send a part.
const PART_ATTEMPTS: u32 = 4;
/// The longest page of a listing, in bytes.
const MAX_PAGE: u64 = 8 << 20;

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
        Ok(S3Transport { agent: agent(access.certificates.as_deref())?, bucket, credentials, prefix })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl S3Transport {
    fn begin(&self, key: &str) -> Result<String, Failure> {
        let begin = self.bucket.create_multipart_upload(self.credentials.as_ref(), key);
        let answer = answer(self.agent.post(begin.sign(VALID).as_str()).send_empty(), MAX_PAGE)?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        let begun = CreateMultipartUpload::parse_response(&String::from_utf8_lossy(&answer.bytes));
        let begun = begun.map_err(|_| Failure::final_one("the answer to a long upload cannot be read"))?;
        Ok(begun.upload_id().to_owned())
    }

    /// Sends the parts and completes the file. Nobody else knows the key, so no condition is needed.
    fn send_parts(
        &self,
        (key, upload): (&str, &str),
        parts: &mut Parts<'_>,
        first: Vec<u8>,
    ) -> Result<u64, Failure> {
        let (mut tags, mut part, mut is_last) = (vec![], first, false);
        loop {
            let number = tags.len() as u16 + 1;
            tags.push(self.send_part((key, upload), number, &part)?);
            if is_last {
                break;
            }
            (part, is_last) = part_of(parts)?;
            if part.is_empty() {
                break;
            }
        }
        let tags_of = tags.iter().map(String::as_str);
        let end = self.bucket.complete_multipart_upload(self.credentials.as_ref(), key, upload, tags_of);
        let (address, body) = (end.sign(VALID), end.body());
        let answer = answer(self.agent.post(address.as_str()).send(body.as_bytes()), MAX_PAGE)?;
        // A completion may fail after its status was sent.
        match answer.status == 200 && !String::from_utf8_lossy(&answer.bytes).contains("<Error>") {
            true => Ok(tags.len() as u64),
            false => Err(answer.failure()),
        }
    }

    fn send_part(&self, (key, upload): (&str, &str), number: u16, part: &[u8]) -> Result<String, Failure> {
        let put = self.bucket.upload_part(self.credentials.as_ref(), key, number, upload);
        let mut left = PART_ATTEMPTS;
        loop {
            left -= 1;
            let answer = answer(self.agent.put(put.sign(VALID).as_str()).send(part), MAX_PAGE);
            let failure = match answer {
                Ok(answer) if answer.status == 200 => {
                    let none = || Failure::final_one("the server names no part of a long upload");
                    return answer.tag.ok_or_else(none);
                }
                Ok(answer) => answer.failure(),
                Err(failure) => failure,
            };
            if left == 0 || !failure.is_ambiguous {
                return Err(failure);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Collects parts to one of at least [`PART`] bytes. The `bool` is whether it is the last one.
fn part_of(parts: &mut Parts<'_>) -> Result<(Vec<u8>, bool), Failure> {
    let mut part = vec![];
    while part.len() < PART {
        match parts().map_err(Failure::of_part)? {
            Some(bytes) => part.extend(bytes),
            None => return Ok((part, true)),
        }
    }
    Ok((part, false))
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

    fn get_two(&self, keys: [&str; 2], limit: u64) -> [Got; 2] {
        get_at_once(self, keys, limit)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        let key = self.key(key);
        let address = self.bucket.put_object(self.credentials.as_ref(), &key).sign(VALID);
        let request = self.agent.put(address.as_str()).header("If-None-Match", "*");
        let answer = answer(request.send(bytes), MAX_PAGE)?;
        match answer.status {
            _ if answer.is_done() => Ok(Created::New),
            412 => Ok(Created::Taken),
            _ => Err(answer.failure()),
        }
    }

    fn create_long(&self, key: &str, parts: &mut Parts<'_>) -> Result<u64, Failure> {
        let (first, is_last) = part_of(parts)?;
        if is_last {
            return self.create(key, &first).map(|_| 1);
        }
        let key = self.key(key);
        let upload = self.begin(&key)?;
        match self.send_parts((&key, &upload), parts, first) {
            Ok(sent) => Ok(sent + 2),
            Err(failure) => {
                // The server would keep, and bill, the parts. If this fails, its rules for lifecycles remove them.
                let abort = self.bucket.abort_multipart_upload(self.credentials.as_ref(), &key, &upload);
                drop(self.agent.delete(abort.sign(VALID).as_str()).call());
                Err(failure)
            }
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let key = self.key(key);
        let address = self.bucket.put_object(self.credentials.as_ref(), &key).sign(VALID);
        let answer = answer(self.agent.put(address.as_str()).send(bytes), MAX_PAGE)?;
        if answer.is_done() { Ok(()) } else { Err(answer.failure()) }
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
