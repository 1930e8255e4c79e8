//! Observes the version that a program shows.

use super::project::Project;
use super::started::Started;
use crate::http::{Answer, get};
use crate::prelude::*;

/// An observer of a program.
pub(super) struct Viewer<'a> {
    project: &'a Project,
    started: Started,
    /// The dates of the files that a server sent, by path.
    dates: BTreeMap<&'static str, String>,
    /// Whether the program may show a mixture for a moment.
    pub(super) may_mix: bool,
    /// The channel on which a browser would be asked to reload its page.
    told: Option<TcpStream>,
}

/// Finds `a=X b=Y` in a text, and returns the version, if there is one.
///
/// # Panics
///
/// If X and Y differ, and a mixture is not allowed.
fn version(text: &str, may_mix: bool) -> Option<&str> {
    let digit = |lead: &str| {
        let rest = text.split(lead).nth(1)?;
        rest.get(..1).filter(|digit| digit.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (a, b) = (digit("a=")?, digit(" b=")?);
    assert!(a == b || may_mix, "a mixture: {text}");
    (a == b).then_some(a)
}

impl Viewer<'_> {
    /// Starts to observe a program.
    pub(super) fn new(project: &Project, started: Started, may_mix: bool) -> Viewer<'_> {
        Viewer { project, started, dates: BTreeMap::new(), may_mix, told: None }
    }

    /// Waits until the program prints the version.
    pub(super) fn said(&mut self, expected: &str) {
        let may_mix = self.may_mix;
        self.started.says(&format!("version {expected}"), |line| version(line, may_mix) == Some(expected));
    }

    /// Waits until the program prints that it is ready, and its HTTP server answers with the version.
    pub(super) fn ready_and_answered(&mut self, expected: &str) {
        self.said(expected);
        self.answered(expected);
    }

    /// Waits until its HTTP server answers with the version.
    pub(super) fn answered(&mut self, expected: &str) {
        self.started.until(&format!("an answer with version {expected}"), || {
            let answer = get(self.project.port, "", None).map_err(|error| error.to_string())?;
            match version(&answer.body, self.may_mix) {
                Some(found) if found == expected => Ok(()),
                _ => Err(format!("{answer:?}")),
            }
        });
    }

    /// Waits until the program prints that it has compiled, and its bundle has the version.
    pub(super) fn bundled(&mut self, expected: &str) {
        let bundle = self.project.site.path("dist/bundle.cjs");
        self.started.says(&format!("a bundle of version {expected}"), |line| {
            line.contains("compiled successfully") && {
                let output = Command::new("node").arg(&bundle).output().unwrap();
                version(&String::from_utf8_lossy(&output.stdout), self.may_mix) == Some(expected)
            }
        });
    }

    /// Waits until the program asks the browser to reload, and its modules have the version.
    pub(super) fn reloaded(&mut self, expected: &str) {
        let port = self.project.port;
        match &mut self.told {
            None => self.told = Some(self.started.until("a socket", || socket(port))),
            Some(told) => read_until(told, "full-reload").unwrap(),
        }
        self.started.until(&format!("modules of version {expected}"), || {
            let ask = |path: &str| get(port, path.trim_start_matches('/'), None).map_err(|e| e.to_string());
            let main = ask("main.js")?.body;
            let is_import = |word: &&str| word.starts_with('/') && word.contains(".js");
            let modules = main.split('"').filter(is_import).map(ask).collect::<Result<Vec<_>, _>>()?;
            assert_eq!(modules.len(), 2, "{main}");
            let is_it = |module: &Answer| module.body.contains(&format!("\"{expected}\""));
            if modules.iter().all(is_it) { Ok(()) } else { Err(format!("{modules:?}")) }
        });
    }

    /// Checks that the server sends this version at once, also to clients with another version, and that it
    /// answers "not modified" for unchanged files.
    pub(super) fn served(&mut self, expected: &str) {
        let port = self.project.port;
        if self.dates.is_empty() {
            self.started.until("the first answer", || get(port, "a.js", None).map_err(|e| e.to_string()));
        } else {
            let same = get(port, "same.js", self.dates.get("same.js").map(String::as_str)).unwrap();
            assert_eq!(same.status, 304, "{same:?}");
        }
        for (path, name) in [("a.js", "a"), ("b.js", "b"), ("same.js", "")] {
            let since = self.dates.get(path).filter(|_| !name.is_empty());
            let answer = get(port, path, since.map(String::as_str)).unwrap();
            assert_eq!(answer.status, 200, "{path} since {since:?}");
            let line = format!("export const {name} = \"{expected}\";\n");
            assert_eq!(answer.body, if name.is_empty() { "export {};\n" } else { &line }, "{path}");
            self.dates.insert(path, answer.date.unwrap());
        }
    }
}

/// Opens a WebSocket like the client of Vite.
fn socket(port: u16) -> Result<TcpStream, String> {
    let open = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(90)))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: vite-hmr\r\n\r\n"
        )?;
        // The first message of the server.
        read_until(&mut stream, "\"connected\"")?;
        Ok(stream)
    };
    open().map_err(|error: std::io::Error| error.to_string())
}

/// Reads until this text came.
fn read_until(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let mut found = Vec::new();
    let mut byte = [0];
    while !found.ends_with(text.as_bytes()) {
        stream.read_exact(&mut byte)?;
        found.push(byte[0]);
    }
    Ok(())
}
