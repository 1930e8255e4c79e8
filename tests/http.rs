//! The least of HTTP that tests ask servers with.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Its `Last-Modified`.
    pub date: Option<String>,
    pub body: String,
}

/// Asks a server of this machine for a path, which begins with no slash.
///
/// # Errors
///
/// Nobody listens there, or nobody answers in time.
pub fn get(port: u16, path: &str, since: Option<&str>) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    let since = since.map_or(String::new(), |date| format!("If-Modified-Since: {date}\r\n"));
    // A server of version 1.0 sends no chunks, and closes.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: localhost\r\n{since}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut_short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_short)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut_short)?;
    let date = head.lines().find_map(|line| line.strip_prefix("Last-Modified: ")).map(str::to_owned);
    Ok(Answer { status, date, body: body.to_owned() })
}

/// Finds a port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
