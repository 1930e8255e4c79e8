//! The example `nx-monorepo`: real builds of Nx while readers read without a pause, and an API that
//! restarts on each commit.
//!
//! Its packages are those of `examples/nx-monorepo/package.json`, which `scripts/setup` installs.

use crate::prelude::*;
use crate::watch::Loop;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nx-monorepo");

/// Returns whether the example's packages are installed. If not, records that the test is skipped.
fn has_packages() -> bool {
    has_node_modules(Path::new(HERE))
}

/// Reads a file of the example.
fn read(name: &str) -> String {
    fs::read_to_string(Path::new(HERE).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Returns the script of `package.json` in the recipe, as a shell command.
fn dev() -> String {
    let package: Value = serde_json::from_str(&read("package.json")).unwrap();
    package["scripts"]["dev"].as_str().unwrap().to_owned()
}

/// Returns the copies of the workspace in a folder for temporary files. tsx has a folder of its own there.
fn copies_in(temp: &Path) -> Vec<OsString> {
    let names = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| !name.to_string_lossy().starts_with("tsx-")).collect()
}

/// Waits until the API answers with this release. Each answer must be of one release.
fn wait_for_release(port: u16, release: &str) {
    eventually("the API answers with the release", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        // An API that is being stopped closes the connection without an answer.
        if asked.and_then(|()| stream.read_to_string(&mut answer)).is_err() || answer.is_empty() {
            return false;
        }
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["articles"][0]["price"], "0.40 EUR");
        let releases = body["releases"].as_array().unwrap();
        assert!(releases.len() == 3 && releases.iter().all(|one| *one == releases[0]), "{body}");
        releases[0] == release
    });
}

#[test]
fn the_recipe_shows_what_is_tested() {
    let readme = read("README.md");
    for text in [read("genstore.toml"), read("libs/tsconfig.dist.json")] {
        assert!(readme.contains(&text), "{text}");
    }
    let dev = format!("+    \"dev\": {},", serde_json::to_string(&dev()).unwrap());
    assert!(readme.contains(&dev), "{dev}");
    let project: Value = serde_json::from_str(&read("libs/catalog/project.json")).unwrap();
    let output = project["targets"]["build"]["options"]["outputPath"].as_str().unwrap();
    assert!(readme.contains(&format!("+        \"outputPath\": \"{output}\",")), "{output}");
    let ignored = read(".gitignore");
    let block = readme.split("```gitignore\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(block.lines().all(|line| ignored.lines().any(|other| other == line)), "{block}");
}

#[test]
fn readers_of_what_genstore_publishes_have_no_bad_reads() {
    needs!(has_packages());
    let temp = genstore_testkit::scratch();
    let mut hammer = Command::new(format!("{HERE}/hammer"));
    hammer.args(["--rebuilds", "3", "--plain", "1", "--genstore", env!("CARGO_BIN_EXE_genstore")]);
    let output = hammer.env("TMPDIR", temp.path()).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let rows: Vec<Vec<&str>> = stdout
        .lines()
        .skip_while(|line| !line.starts_with("built by"))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let [head, plain_once, plain_paths, once, paths] = &rows[..] else { panic!("{stdout}") };
    assert_eq!(
        head[..],
        ["built by", "reader", "rebuilds", "passes", "reads", "missing", "torn", "mixed passes", "seen"]
    );
    for (row, expected) in [
        (plain_once, ["nx build", "resolves once", "1"]),
        (plain_paths, ["nx build", "opens each path", "1"]),
        (once, ["genstore watch", "resolves once", "3"]),
        (paths, ["genstore watch", "opens each path", "3"]),
    ] {
        assert_eq!(row[..3], expected, "{stdout}");
    }
    // The build without genstore shows that readers can miss files.
    assert!([plain_once, plain_paths].iter().all(|row| row[5] != "0"), "{stdout}");
    assert_eq!(once[5..], ["0", "0", "0", "4"], "{stdout}");
    assert_eq!([paths[5], paths[6], paths[8]], ["0", "0", "4"], "{stdout}");
    assert!(copies_in(temp.path()).is_empty(), "the copies are removed");
}

#[test]
fn the_api_answers_with_each_commit_from_one_generation() {
    needs!(has_packages());
    let site = Site::new();
    let copied = ["libs", "apps", "nx.json", "tsconfig.base.json", "package.json", "genstore.toml"];
    let status = Command::new("cp").arg("-r").args(copied).arg(site.path("")).current_dir(HERE).status();
    assert!(status.unwrap().success());
    symlink(format!("{HERE}/node_modules"), site.path("node_modules")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = read("genstore.toml").replace("127.0.0.1:3333", &format!("127.0.0.1:{port}"));
    site.write("genstore.toml", config);
    // Runs the script like npm, with JSON events.
    assert_eq!(dev(), "genstore watch");
    let command = site.command("watch --json");
    let command = command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", site.path(""));
    let mut watch = Loop::of(command.spawn());
    assert_eq!(watch.event("published")["generation"], 1);
    wait_for_release(port, "1.0.0");
    let bump = Command::new("sh")
        .args(["-c", "grep -rl 1.0.0 libs | xargs sed -i s/1.0.0/1.0.1/"])
        .current_dir(site.path(""))
        .status();
    assert!(bump.unwrap().success());
    assert_eq!(watch.event("published")["generation"], 2);
    wait_for_release(port, "1.0.1");
    watch.end(&site);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nothing listens any more");
}
