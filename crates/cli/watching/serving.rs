//! Ports: sockets that the watch holds for its programs, and who else has one.

use std::net::{TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use genstore_watch::Ready;

use crate::errors::Fail;
use crate::project::config::{ProgramSection, ReadySection};

/// So many connections wait while a program is started anew, where the system allows it.
const BACKLOG: i32 = 4096;

/// Opens the socket that a program listens on.
///
/// # Errors
/// Fails if the address is none, or is taken: the message names the program that has it.
pub(crate) fn listen(name: &str, address: &str) -> Result<Arc<TcpListener>> {
    let place = format!("`listen = \"{}\"` of {name}", genstore::tree::show_path(address.as_bytes()));
    let hint = "write it like \"127.0.0.1:3000\"".to_owned();
    let Some(at) = address.to_socket_addrs().ok().and_then(|mut all| all.next()) else {
        return Err(Fail { hint, ..Fail::usage("bad-listen", format!("{place} is no address")) }.into());
    };
    let bound = TcpListener::bind(at).and_then(|socket| {
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Arc::new(socket))
    });
    bound.map_err(|error| {
        let holder = match error.kind() == std::io::ErrorKind::AddrInUse {
            true => holder(at.port()).map(|holder| format!(": {holder} has it")),
            false => None,
        };
        let message = format!("cannot open the port of {place}{}", holder.unwrap_or_default());
        let fail = Fail::new("cannot-listen", message, "end that program, or choose another port");
        anyhow::Error::from(error).context(fail)
    })
}

/// Names the process that listens on a port.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listener(line, port)).collect::<Vec<_>>())
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let has_it = |process: &Path| {
        let descriptors = std::fs::read_dir(process.join("fd")).ok()?;
        let mut targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| sockets.iter().any(|socket| target == Path::new(socket))).then_some(())
    };
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let number = entry.file_name().to_string_lossy().into_owned();
        if number.bytes().all(|byte| byte.is_ascii_digit()) && has_it(&entry.path()).is_some() {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!(
                "{} (process {number})",
                genstore::tree::show_path(name.trim().as_bytes())
            ));
        }
    }
    None
}

/// Returns the inode of a socket that listens on the port, if this line of `/proc/net/tcp` is of one.
fn listener(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, number) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A" && u16::from_str_radix(number, 16).ok()? == port;
    listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

/// Returns how it is known that a program is ready, and checks what it says about that.
///
/// # Errors
/// Fails where something else than the new run would answer.
pub(crate) fn readiness(
    name: &str,
    program: &ProgramSection,
    socket: Option<&TcpListener>,
) -> Result<Option<Ready>> {
    let fail = |message: String, hint: &str| {
        Err(Fail { hint: hint.to_owned(), ..Fail::usage("bad-run", message) }.into())
    };
    let pattern_hint = "let `ready` be a pattern of a line that the program writes, as in \"listening\"";
    let ready = match &program.ready {
        None => None,
        Some(ReadySection::Port(port)) => Some(Ready::Port(*port)),
        Some(ReadySection::Url(url)) => Some(Ready::Url(url.clone())),
        Some(ReadySection::Pattern(_)) => Some(Ready::Output),
    };
    let held = socket.and_then(|socket| socket.local_addr().ok()).map(|address| address.port());
    match &ready {
        None if program.handover => {
            fail(format!("{name} hands over, and nothing says when it is ready"), pattern_hint)
        }
        Some(Ready::Port(_) | Ready::Url(_)) if program.handover => {
            fail(format!("{name} hands over: its old run answers for the new one"), pattern_hint)
        }
        Some(Ready::Port(port)) if held == Some(*port) => {
            fail(format!("{name} is never seen to be ready by the port that the watch holds"), pattern_hint)
        }
        None if program.ready_timeout.is_some() => {
            fail(format!("{name} has `ready_timeout` without `ready`"), "add `ready`, or leave it out")
        }
        _ => Ok(ready),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table_of_sockets() {
        let line =
            "   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0";
        assert_eq!(listener(line, 3000).as_deref(), Some("4711"));
        assert_eq!(listener(line, 3001), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 3000), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue", 3000), None);
    }

    #[test]
    fn who_has_a_port_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = holder(socket.local_addr().unwrap().port()).unwrap();
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
    }
}
