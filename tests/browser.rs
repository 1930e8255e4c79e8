//! A real browser for tests: Debian's Chromium, without a window.

use crate::prelude::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// Returns whether there is a browser. If not, records that the calling test is skipped.
pub fn has_browser() -> bool {
    has_program("chromium") && has_node_modules(Path::new(FOLDER))
}

/// A browser, which ends on drop.
pub struct Browser {
    running: Running,
    _home: TempDir,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Browser {
        let home = genstore_testkit::scratch();
        let mut command = Command::new("node");
        command.current_dir(FOLDER).args(["driver.js", "/usr/bin/chromium"]).env("HOME", home.path());
        let mut browser = Browser { running: Running::of(command), _home: home };
        browser.reply("its start");
        browser
    }

    /// Runs a script, which may await. It has `open(address)`, `kept` for things that stay, and `seen`, with
    /// the errors and the requests of all pages.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        self.running.send(format!("{}\n", Value::from(script)).as_bytes());
        self.reply(script)
    }

    #[track_caller]
    fn reply(&mut self, what: &str) -> Value {
        let line = self.running.line();
        let reply: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{what}: {e}: {line:?}"));
        assert!(reply["error"].is_null(), "{what}: {}", reply["error"].as_str().unwrap_or_default());
        reply["result"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its driver, and the driver when its stdin ends. A killed driver would leave
        // the browser running.
        self.running.close_stdin();
        let start = Instant::now();
        while !self.running.has_ended() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
