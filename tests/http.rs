//! A minimal HTTP client for tests.

use std::io::Result;

use crate::prelude::*;

/// The answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The `Last-Modified` header.
    pub date: Option<String>,
    pub body: String,
}

/// Requests a path, without a leading slash, from a server on this machine.
///
/// # Errors
///
/// If no server listens there, or if it does not answer in time.
pub fn get(port: u16, path: &str, since: Option<&str>) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    let since = since.map_or(String::new(), |date| format!("If-Modified-Since: {date}\r\n"));
    // A server sends no chunks in version 1.0, and closes the connection.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: localhost\r\n{since}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut_short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_short)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut_short)?;
    let date = head.lines().find_map(|line| line.strip_prefix("Last-Modified: ")).map(str::to_owned);
    Ok(Answer { status, date, body: body.to_owned() })
}

/// Finds a port on which no server listens.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A connection to a server, which stays open between requests.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A response, with the names of its headers in small letters.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns a header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects to a server on this machine.
    pub fn new(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// Requests a path with more headers, each a line like `Range: bytes=0-1`.
    pub fn get(&mut self, path: &str, headers: &[&str]) -> Reply {
        self.request("GET", path, "localhost", headers)
    }

    /// Requests a path of a host.
    pub fn request(&mut self, method: &str, path: &str, host: &str, headers: &[&str]) -> Reply {
        let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").as_bytes());
        self.reply(method == "HEAD").expect("a response")
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Reads a response.
    ///
    /// # Errors
    ///
    /// If the server ends the connection before the response is complete.
    pub fn reply(&mut self, is_head: bool) -> Result<Reply> {
        let cut_short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut_short)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None if line.trim_end().is_empty() => break,
                None => return Err(cut_short()),
            };
        }
        let mut body = vec![];
        if !is_head && status != 304 && status != 204 {
            let length = headers.get("content-length").and_then(|text: &String| text.parse().ok());
            body = vec![0; length.unwrap_or(0)];
            self.stream.read_exact(&mut body)?;
        }
        Ok(Reply { status, headers, body })
    }

    /// Waits until the server ends the connection.
    pub fn wait_for_end(mut self) {
        let mut rest = vec![];
        // A reset is an end, too.
        drop(self.stream.read_to_end(&mut rest));
    }
}
