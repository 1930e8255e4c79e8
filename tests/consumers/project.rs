//! The project of one consumer: its sources, the published libraries, and the view of them.

use genstore_testkit::Thing;

use super::Consumer;
use super::started::Started;
use crate::http::free_port;
use crate::prelude::*;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers");

/// A project, and the folder for its program's other files.
pub(super) struct Project {
    pub(super) site: Site,
    pub(super) port: u16,
    home: TempDir,
}

/// Returns whether node and the programs of npm are installed. If not, records that the test is
/// skipped.
pub(super) fn has_node() -> bool {
    has_node_modules(Path::new(HERE))
}

/// Reads the initial files of a consumer's project, by their paths in it.
pub(super) fn fixtures(consumer: &Consumer) -> BTreeMap<String, String> {
    let folders = consumer.fixtures.iter().map(|fixture| Path::new(HERE).join("fixtures").join(fixture));
    let files = folders.flat_map(|folder| read_tree(&folder).unwrap()).map(|(path, thing)| match thing {
        Thing::File(bytes, ..) => (path, String::from_utf8(bytes).unwrap()),
        other => panic!("{path}: {other:?}"),
    });
    files.collect()
}

impl Project {
    /// Creates the project of a consumer, or records that its test is skipped.
    pub(super) fn new(consumer: &Consumer) -> Option<Project> {
        let command = consumer.command();
        match command.split(' ').next().unwrap() {
            program @ ("nginx" | "caddy") if !has_program(program) => return None,
            "nginx" | "caddy" => {}
            _ if !has_node() => return None,
            _ => {}
        }
        let project = Project::empty();
        for (path, text) in fixtures(consumer) {
            let path = project.site.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("127.0.0.1:PORT", &format!("127.0.0.1:{}", project.port)))
                .unwrap();
        }
        Some(project)
    }

    /// Creates a project without sources.
    ///
    /// It is beside `node_modules`, not in the system's temporary folder: Turbopack follows no link that
    /// leaves the folder with the lockfile.
    pub(super) fn empty() -> Project {
        let sites = Path::new(HERE).join("sites");
        fs::create_dir_all(&sites).unwrap();
        let temp = tempfile::Builder::new().prefix("site-").tempdir_in(sites).unwrap();
        let site = Site::in_folder(temp);
        fs::create_dir(site.path("dist")).unwrap();
        // Paths of sockets must be short, so this folder is not below the checkout.
        Project { site, port: free_port(), home: tempfile::tempdir().unwrap() }
    }

    /// Publishes the libraries in this version: two that change, and one that never does.
    ///
    /// The times are the system's: some watchers compare them with their own clock.
    pub(super) fn publish(&self, version: &str) {
        let libs = self.site.path("build/libs");
        fs::create_dir_all(&libs).unwrap();
        for name in ["a", "b"] {
            fs::write(libs.join(format!("{name}.js")), format!("export const {name} = \"{version}\";\n"))
                .unwrap();
            let types = format!("export declare const {name}: \"{version}\";\n");
            fs::write(libs.join(format!("{name}.d.ts")), types).unwrap();
        }
        if !self.site.has("build/libs/same.js") {
            fs::write(libs.join("same.js"), "export {};\n").unwrap();
        }
        self.site.command("publish build/libs").env("GENSTORE_NOW", "").run().ok();
    }

    /// Starts a program of the project like a shell.
    pub(super) fn start(&self, run: &str) -> Started {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {run} 2>&1")]).env_clear().current_dir(self.site.path(""));
        command.env("PATH", path()).env("PORT", self.port.to_string());
        for (name, value) in [("NEXT_TELEMETRY_DISABLED", "1"), ("NO_COLOR", "1"), ("LANG", "C.UTF-8")] {
            command.env(name, value);
        }
        for name in ["HOME", "TMPDIR"] {
            command.env(name, self.home.path());
        }
        Started::start(command)
    }
}

/// Returns the search path of programs: our own, those of npm, and the system's.
pub(super) fn path() -> String {
    let ours = Path::new(env!("CARGO_BIN_EXE_genstore")).parent().unwrap().display();
    let system = std::env::var("PATH").unwrap();
    format!("{ours}:{HERE}/node_modules/.bin:{system}:/usr/sbin")
}
