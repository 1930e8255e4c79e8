//! A folder with a source, a store and two views, and the example that builds from one to the other.

use genstore::tree::{Digest, RelPath};
use genstore::verify::Depth;
use genstore::view::ViewOptions;
use genstore::{Options, Store};
use genstore_testkit::{Things, copy_exactly, scratch};

use crate::prelude::*;

/// Creates a server that prints the number of its build. This is faster than copying the example, which the
/// test of memory and disk builds does.
const COMPILER: &str = r#"printf '#!/bin/sh\necho "build %s"\n' "$BUILD" >"$OUT.tmp" && chmod 755 "$OUT.tmp" && mv "$OUT.tmp" "$OUT""#;

/// The places where a build can fail before anything that is served may change.
pub const BEFORE_THE_POINTER: [&str; 12] = [
    "plan",
    "write",
    "format",
    "compile",
    "audit",
    "deploy-recipe",
    "store-plan",
    "store-write",
    "store-audit",
    "flush",
    "number",
    "pointer",
];

pub struct Workshop {
    pub dir: PathBuf,
    _temp: Option<TempDir>,
}

impl Workshop {
    /// Creates a workshop with the example's own source and no store.
    pub fn new() -> Workshop {
        let temp = scratch();
        Workshop { _temp: None, ..Workshop::at(temp.path()) }.keep(temp)
    }

    /// Creates a workshop in an existing folder.
    pub fn at(dir: &Path) -> Workshop {
        let dir = dir.canonicalize().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site_compiler/site");
        copy_exactly(&source, &dir.join("source"));
        Workshop { dir, _temp: None }
    }

    fn keep(self, temp: TempDir) -> Workshop {
        Workshop { _temp: Some(temp), ..self }
    }

    /// Creates a workshop in which build 1 is served, also through the views `www` and `tool`, and the
    /// source was edited since.
    pub fn served() -> Workshop {
        let shop = Workshop::new();
        shop.serve();
        shop
    }

    /// Publishes build 1, adds the views, and edits the source.
    pub fn serve(&self) {
        self.build(&["--build", "1"]).ok();
        let store = self.open();
        for (view, from) in [("www", "site"), ("tool", "app")] {
            let options = ViewOptions::default().from(RelPath::new(from).unwrap());
            assert!(store.add_view(&self.dir.join(view), &options).unwrap().warnings.is_empty());
        }
        self.edit();
    }

    /// Changes a page and an asset, removes a page and adds one.
    pub fn edit(&self) {
        let index = self.read("source/index.md").replace("guide/readers.md", "guide/new.md");
        self.write("source/index.md", &index);
        self.write("source/assets/mark.svg", "<svg/>\n");
        fs::remove_file(self.dir.join("source/guide/readers.md")).unwrap();
        let build = self.read("source/guide/build.md").replace("guide/readers.md", "guide/new.md");
        self.write("source/guide/build.md", &build);
        self.write("source/guide/new.md", "# New\nBack to [the first page](index.md).\n");
    }

    /// Copies the whole folder.
    pub fn copy(&self) -> Workshop {
        let temp = scratch();
        let dir = temp.path().canonicalize().unwrap().join("copy");
        copy_exactly(&self.dir, &dir);
        Workshop { dir, _temp: Some(temp) }
    }

    pub fn write(&self, below: &str, text: &str) {
        fs::write(self.dir.join(below), text).unwrap();
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.dir.join(below)).unwrap()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    pub fn store(&self) -> PathBuf {
        self.dir.join("genstore")
    }

    /// Opens the store with the library.
    pub fn open(&self) -> Store {
        Store::open(&self.store(), Options::new(Arc::new(SystemTime::now))).unwrap()
    }

    pub fn current(&self) -> u64 {
        self.open().current().unwrap().unwrap().get()
    }

    /// Lists the numbers of the generations' folders.
    pub fn generations(&self) -> Vec<u64> {
        let names = genstore_testkit::names(&self.store().join("generations"));
        let mut numbers: Vec<u64> = names.iter().map(|name| name.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns the tree that is served, with mtimes.
    pub fn shown(&self) -> Things {
        read_tree(&self.store().join("current")).unwrap()
    }

    /// Checks every byte of the store.
    #[track_caller]
    pub fn verify(&self) {
        let report = self.open().verify(None, Depth::Full).unwrap();
        assert!(report.is_clean(), "{report:?}");
    }

    /// Prepares a run of the example with the quick compiler.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare_command(args);
        command.args(["--compiler", COMPILER]);
        command
    }

    /// Prepares a run of the example, which copies itself.
    pub fn bare_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(example());
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).current_dir(&self.dir);
        command.args(["--store", "genstore", "source"]).args(args);
        command
    }

    /// Runs the example with the quick compiler.
    pub fn build(&self, args: &[&str]) -> Built {
        Built::of(&mut self.command(args))
    }

    /// Describes everything that a reader can reach: `current`, the views, and their targets, with inodes,
    /// modes, sizes, mtimes and bytes.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut lines = BTreeMap::new();
        for root in ["genstore/current", "www", "tool"] {
            let root = self.dir.join(root);
            let target = fs::read_link(&root).unwrap();
            lines.insert(root.clone(), format!("{} -> {}", describe(&root), target.display()));
            snapshot_below(&root, &mut lines);
        }
        lines
    }
}

/// Describes everything below a folder.
pub fn snapshot_below(root: &Path, lines: &mut BTreeMap<PathBuf, String>) {
    for path in genstore_testkit::below(root) {
        let is_file = path.symlink_metadata().unwrap().is_file();
        let bytes = if is_file { Digest::of(&fs::read(&path).unwrap()).short() } else { String::new() };
        lines.insert(path.clone(), format!("{} {bytes}", describe(&path)));
    }
}

fn describe(path: &Path) -> String {
    let meta = path.symlink_metadata().unwrap();
    let (inode, mode, size) = (meta.ino(), meta.mode(), meta.size());
    format!("{inode} {mode:o} {size} {}.{:09}", meta.mtime(), meta.mtime_nsec())
}

/// Finds the example beside this test's binary, built from the present sources.
pub fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/site_compiler");
    let advice = "build it with `cargo build --example site_compiler`, or run all tests";
    let Ok(built) = path.metadata().and_then(|meta| meta.modified()) else {
        panic!("{} is not there: {advice}", path.display());
    };
    // `cargo test --test cli` does not rebuild it. Cargo's `.d` file lists its sources.
    let made_of = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    for source in made_of.split_whitespace().skip(1) {
        let newer = fs::metadata(source).and_then(|meta| meta.modified()).is_ok_and(|at| at > built);
        assert!(!newer, "{} is older than {source}: {advice}", path.display());
    }
    path
}

/// A finished run of the example.
pub struct Built {
    /// The status as a shell reports it: 128 and more for a signal.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Built {
    pub fn of(command: &mut Command) -> Built {
        let output = command.output().expect("run the example");
        Built {
            status: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap()),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Built {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self
    }

    /// Returns the tree id that it printed.
    pub fn tree(&self) -> String {
        self.stdout.lines().next().and_then(|line| line.split(' ').next_back()).unwrap().to_owned()
    }
}

/// Checks that a tree is of one build, by its manifest, and returns the build's number. `of` returns the
/// path from which to read a part.
pub fn complete(of: impl Fn(&str) -> PathBuf) -> Result<u64, String> {
    let read = |path: &str| fs::read(of(path)).map_err(|e| format!("{path}: {e}"));
    let manifest: Value = serde_json::from_slice(&read("manifest.json")?).map_err(|e| e.to_string())?;
    let build = manifest["build"].as_u64().ok_or("the manifest has no build")?;
    for (path, entry) in manifest["outputs"].as_object().ok_or("the manifest lists nothing")? {
        let bytes = read(path)?;
        let listed = (entry["size"].as_u64(), entry["digest"].as_str());
        if listed != (Some(bytes.len() as u64), Some(&Digest::of(&bytes).to_string())) {
            return Err(format!("{path} is not of build {build}"));
        }
    }
    let parts = ["site/index.html", "report.txt", "app/lib/version.sh", "bin/server"];
    for (path, lead) in parts.into_iter().zip(["build ", "build: ", "build ", "build "]) {
        let text = String::from_utf8(read(path)?).unwrap();
        let part = text.split(lead).nth(1).unwrap_or_default();
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if part[..digits] != build.to_string() {
            return Err(format!("{path} shows {:?}, the manifest {build}", &part[..digits]));
        }
    }
    Ok(build)
}
