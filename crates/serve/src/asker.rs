//! The client of a request: pages of the server are for people at this machine, and actions for its own user.

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap};

use crate::target;

/// The headers by which proxies name the client.
const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// The two ends of a connection. A port is 0 if the system does not name it.
#[derive(Clone, Copy, Default)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux tells the owner of a port"))]
pub(crate) struct Asker {
    /// Whether it comes from this machine.
    is_near: bool,
    client: u16,
    server: u16,
}

impl Asker {
    /// Creates the asker of a connection.
    pub(crate) fn of(client: Option<SocketAddr>, server: Option<SocketAddr>) -> Asker {
        let port = |address: Option<SocketAddr>| address.map_or(0, |address| address.port());
        let is_near = client.is_some_and(|client| client.ip().to_canonical().is_loopback());
        Asker { is_near, client: port(client), server: port(server) }
    }

    /// Returns whether a request comes from this machine, and through no proxy.
    pub(crate) fn is_here(self, headers: &HeaderMap, host: &str) -> bool {
        let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        self.is_near && !is_forwarded && target::is_local(host)
    }

    /// Returns whether the connection is one of the user who runs the server, or of root. Reading the table of
    /// sockets blocks.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_own_user(self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let text: String = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
        let mut found = text.lines().filter_map(|line| owner(line, self.client, self.server)).peekable();
        // A closed socket has no owner, and its line names root.
        found.peek().is_some() && found.all(|(uid, is_open)| is_open && (uid == own || uid == 0))
    }

    /// Returns false: this system does not tell whose connection it is.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_own_user(self) -> bool {
        false
    }
}

/// Returns the owner of a socket with these two ports, and whether it is open, from a line of the table.
#[cfg(target_os = "linux")]
fn owner(line: &str, client: u16, server: u16) -> Option<(u32, bool)> {
    let mut fields = line.split_whitespace().skip(1);
    let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
    if (port()?, port()?) != (client, server) {
        return None;
    }
    let state = fields.next()?;
    Some((fields.nth(3)?.parse().ok()?, state == "01"))
}

/// Returns whether a browser goes to a page, from the server's own pages or from none. Scripts of a site may ask
/// for a page, but not for one with a token.
pub(crate) fn is_visit(headers: &HeaderMap) -> bool {
    is_one_of(headers, "sec-fetch-site", &["same-origin", "none"])
        && is_one_of(headers, "sec-fetch-mode", &["navigate"])
        && is_one_of(headers, "sec-fetch-dest", &["document"])
}

/// Returns whether no page of another origin asks.
pub(crate) fn is_same_site(headers: &HeaderMap) -> bool {
    is_one_of(headers, "sec-fetch-site", &["same-origin", "none"])
}

/// Returns whether a form of the server's own pages was sent: the browser says so by at least one header.
pub(crate) fn is_own_form(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(header::ORIGIN);
    let is_named = origin.is_some() || headers.contains_key("sec-fetch-site");
    let is_same = origin.is_none_or(|origin| origin.as_bytes() == format!("http://{host}").as_bytes());
    is_named && is_same && is_one_of(headers, "sec-fetch-site", &["same-origin"]) && is_visit(headers)
}

/// Returns whether a header has one of these values, or is missing.
fn is_one_of(headers: &HeaderMap, name: &str, allowed: &[&str]) -> bool {
    let mut values = headers.get_all(name).iter();
    values.all(|value| allowed.iter().any(|allowed| allowed.as_bytes() == value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn sockets_have_owners() {
        let line =
            "   1: 0100007F:A1B2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0";
        assert_eq!(owner(line, 0xa1b2, 8080), Some((1000, true)));
        assert_eq!(owner(&line.replace(" 01 ", " 04 "), 0xa1b2, 8080), Some((1000, false)));
        assert_eq!(owner(line, 8080, 0xa1b2), None);
        assert_eq!(owner("  sl  local_address rem_address   st tx_queue", 1, 2), None);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().unwrap();
        assert!(Asker::of(Some(address), stream.local_addr().ok()).is_own_user());
        drop(client);
        assert!(!Asker::of(Some(address), stream.local_addr().ok()).is_own_user());
    }

    #[test]
    fn forms_come_from_own_pages() {
        let check = |lines: &[(&'static str, &'static str)], expected: bool| {
            let headers: HeaderMap = lines
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), header::HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_own_form(&headers, "localhost:8080"), expected, "{lines:?}");
        };
        check(&[("origin", "http://localhost:8080")], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[], false);
        check(&[("origin", "null")], false);
        check(&[("origin", "http://localhost:8081")], false);
        check(&[("origin", "http://g1.localhost:8080")], false);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("origin", "http://localhost:8080"), ("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "http://localhost:8080"), ("sec-fetch-mode", "cors")], false);
        check(&[("origin", "http://localhost:8080"), ("sec-fetch-dest", "iframe")], false);
    }
}
