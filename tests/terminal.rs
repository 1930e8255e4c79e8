//! A terminal for a program: a pseudo-terminal whose other side is read by the test.

use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::prelude::*;

/// The time after which a text counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program in a terminal. It is killed on drop.
pub struct Terminal {
    child: Child,
    keyboard: fs::File,
    shown: Arc<Shown>,
    reader: Option<JoinHandle<()>>,
}

/// The bytes that were shown so far, and a signal for each that arrives.
#[derive(Default)]
struct Shown {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Terminal {
    /// Starts a command in a terminal of this many columns.
    pub fn start(command: &Command, columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(OsStr::from_bytes(name.as_bytes()));
        let open = || Stdio::from(fs::File::options().read(true).write(true).open(path).unwrap());

        // A terminal sends signals only to the session that it controls.
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        session.env_clear().env("TERM", "xterm");
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = command.get_current_dir() {
            session.current_dir(dir);
        }
        let child = session.stdin(open()).stdout(open()).stderr(open()).spawn().expect("start setsid");
        let keyboard = fs::File::from(master);
        let shown = Arc::<Shown>::default();
        let (mut screen, into) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // When the program ends, the terminal fails with EIO.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                into.bytes.lock().unwrap().extend_from_slice(&bytes[..count]);
                into.more.notify_all();
            }
        });
        Terminal { child, keyboard, shown, reader: Some(reader) }
    }

    /// Types a text.
    pub fn send(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Returns what was shown since the last call that waited.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.bytes.lock().unwrap()).into_owned()
    }

    /// Waits until a text is shown. Returns all up to its end, and forgets it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let at = |bytes: &[u8]| bytes.windows(text.len()).position(|part| part == text.as_bytes());
        let bytes = self.shown.bytes.lock().unwrap();
        let is_missing = |bytes: &mut Vec<u8>| at(bytes).is_none();
        let (mut bytes, _) = self.shown.more.wait_timeout_while(bytes, PATIENCE, is_missing).unwrap();
        let Some(at) = at(&bytes) else {
            panic!("{text:?} was not shown: {:?}", String::from_utf8_lossy(&bytes));
        };
        let shown: Vec<u8> = bytes.drain(..at + text.len()).collect();
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Waits for the end. Returns the exit status and what was shown since the last call that waited.
    pub fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        // It ends when no program has the terminal open any more.
        self.reader.take().unwrap().join().unwrap();
        let shown = self.shown();
        (status.code().unwrap_or(-1), shown)
    }
}
