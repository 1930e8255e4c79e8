//! Whether a program is ready: its port is open, a URL answers, or its output says so.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// The pause between two questions. The system announces neither a port that opens nor an answer.
const PAUSE: Duration = Duration::from_millis(20);
/// The time that one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The condition for a program to be ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// This port of the machine itself accepts connections.
    Port(u16),
    /// A GET of this URL is answered, and not by an error.
    Url(HttpUrl),
    /// The receiver of its output announces it.
    Output,
}

/// A URL of HTTP without TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpUrl {
    host: String,
    port: u16,
    path: String,
}

impl HttpUrl {
    /// Parses `http://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<HttpUrl, String> {
        let bad = |why: &str| Err(format!("{text:?} {why}"));
        let Some(rest) = text.strip_prefix("http://") else {
            return bad("is no URL that begins with http://");
        };
        let (place, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return bad("has no valid port"),
            },
            _ => (place, 80),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if host.is_empty() || !is_plain(host) || !is_plain(path) || host.contains('@') {
            return bad("is no URL of a host and a path");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(HttpUrl { host: host.to_owned(), port, path })
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let Ok(places) = (host, self.port).to_socket_addrs() else { return false };
        places.into_iter().any(|place| self.answers_at(&place).unwrap_or(false))
    }

    fn answers_at(&self, place: &SocketAddr) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(place, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let HttpUrl { host, port, path } = self;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: genstore\r\nConnection: close\r\n\r\n"
        )?;
        // `HTTP/1.1 200`
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.starts_with(b"HTTP/1.") && matches!(status[9], b'2' | b'3'))
    }
}

impl Ready {
    fn is_true(&self) -> bool {
        match self {
            Ready::Port(port) => {
                let places =
                    [SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), (Ipv6Addr::LOCALHOST, *port).into()];
                places.iter().any(|place| TcpStream::connect_timeout(place, ANSWER).is_ok())
            }
            Ready::Url(url) => url.answers(),
            Ready::Output => false,
        }
    }
}

/// Tests the condition in a new thread, until it is true, the deadline has passed or the run is gone.
pub(crate) fn ask(
    ready: &Ready,
    waited_for: Weak<()>,
    until: Instant,
    announce: impl FnOnce() + Send + 'static,
) {
    if *ready == Ready::Output {
        return;
    }
    let ready = ready.clone();
    let asks = move || {
        while waited_for.strong_count() > 0 && Instant::now() < until {
            if ready.is_true() {
                return announce();
            }
            std::thread::sleep(PAUSE);
        }
    };
    // Without a thread the run counts as never ready, which is reported.
    drop(std::thread::Builder::new().name("ready".into()).spawn(asks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_of_http() {
        let check = |text: &str, host: &str, port: u16, path: &str| {
            let url = HttpUrl { host: host.into(), port, path: path.into() };
            assert_eq!(HttpUrl::parse(text), Ok(url), "{text}");
        };
        check("http://localhost:3000/health?a=b", "localhost", 3000, "/health?a=b");
        check("http://[::1]", "[::1]", 80, "/");
        check("http://[::1]:81?x", "[::1]", 81, "/?x");
        for bad in ["https://x", "http://", "http://a:b/", "http://a b/", "http://u@h/", "x"] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
