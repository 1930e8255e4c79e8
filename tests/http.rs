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
