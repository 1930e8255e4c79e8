//! Forms: the fields of a query, or of the body of a request.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body as HttpBody, Incoming};
use percent_encoding::percent_decode_str;

/// The largest body of a form, in bytes.
const MOST: usize = 16 << 10;

/// The fields of a form.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses a query, or a body of the type `application/x-www-form-urlencoded`.
    pub(crate) fn parse(text: &str) -> Fields {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Fields(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// Reads the body of a request. Returns `None` if it is too large, is cut short, or does not come in time.
    pub(crate) async fn receive(body: Incoming, patience: Duration) -> Option<Fields> {
        let bytes = tokio::time::timeout(patience, read(body)).await.ok()??;
        Some(Fields::parse(std::str::from_utf8(&bytes).ok()?))
    }

    /// Returns a field that is filled. No argument of a program may have a NUL byte.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty() && !value.contains('\0'))
    }
}

async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MOST {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let check = |text: &str, name: &str, expected: Option<&str>| {
            assert_eq!(Fields::parse(text).get(name), expected, "{text}");
        };
        check("a=1&b=x+y%26", "b", Some("x y&"));
        check("a=1&a=2", "a", Some("1"));
        check("a=%20", "a", None);
        check("a=x%00y", "a", None);
        check("", "a", None);
        check("a", "a", None);
        check("a=%e4%zz%", "a", Some("\u{fffd}%zz%"));
    }
}
