//! A Go module with generated code, whose tools take in all of its folders, under `watch` with the default
//! store.

use crate::prelude::*;
use crate::watch::Loop;

/// The changes in a row.
const BUILDS: usize = 20;

/// The build of a team. It generates code, checks and tests all packages, and publishes a program and the
/// generated code, which is Go of the same module.
const BUILD: &str = "go run ./internal/generate && go vet ./... && go test ./... && \
                     go build -o $GENSTORE_OUT/bin/site ./cmd/site && cp -R internal $GENSTORE_OUT/";

const GENERATE: &str = r#"package main

import "os"

func main() {
	text, err := os.ReadFile("words.txt")
	if err == nil {
		code := "package words\n\nconst first = `" + string(text) + "`\n"
		err = os.WriteFile("internal/words/generated.go", []byte(code), 0o644)
	}
	if err != nil {
		panic(err)
	}
}
"#;

const TEST: &str = r#"package words

import "testing"

func TestFirst(t *testing.T) {
	if First() == "" {
		t.Fatal("no word")
	}
}
"#;

const MAIN: &str = r#"package main

import (
	"os"

	"example.org/site/internal/words"
)

func main() { os.Stdout.WriteString(words.First()) }
"#;

/// Returns the environment of Go's tools. Their cache is kept: compiling Go's own packages takes a minute. The
/// tools come first in PATH, because a wrapper of them takes longer than they do.
pub fn environment() -> Vec<(&'static str, OsString)> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let root = Command::new("go").args(["env", "GOROOT"]).output().unwrap().stdout;
    let tools = Path::new(OsStr::from_bytes(root.trim_ascii_end())).join("bin");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&paths))).unwrap();
    let kept = [("PATH", path), ("HOME", std::env::var_os("HOME").unwrap_or_default())];
    let own = [
        ("GOCACHE", cache.as_os_str()),
        ("GOTOOLCHAIN", "local".as_ref()),
        ("GOFLAGS", "-mod=mod".as_ref()),
    ];
    kept.into_iter().chain(own.map(|(name, value)| (name, value.to_owned()))).collect()
}

#[test]
fn a_module_with_generated_code_builds_again_and_again() {
    needs!(has_program("go"));
    let site = Site::new();
    site.write("go.mod", "module example.org/site\n\ngo 1.21\n");
    site.write("internal/generate/main.go", GENERATE);
    site.write("internal/words/words.go", "package words\n\nfunc First() string { return first }\n");
    site.write("internal/words/words_test.go", TEST);
    site.write("cmd/site/main.go", MAIN);
    site.write("words.txt", "word 1");
    site.write(
        "genstore.toml",
        format!("[build]\ncommand = '{BUILD}'\n[watch]\npaths = ['.']\ndebounce = '50ms'\n"),
    );
    // Without the cache, the first build takes longer than the test waits for an event.
    let (mut first, out) = (Command::new("sh"), genstore_testkit::scratch());
    first.args(["-c", BUILD]).env("GENSTORE_OUT", out.path()).envs(environment());
    assert!(first.current_dir(site.path("")).status().unwrap().success());
    let command = environment()
        .iter()
        .fold(site.command("watch --json"), |command, (name, value)| command.env(name, value));
    let mut watch = Loop::of(command.spawn());
    for number in 1..=BUILDS {
        let word = format!("word {number}");
        if number > 1 {
            site.write("words.txt", &word);
        }
        let program = site.path("genstore/current/bin/site");
        // A build whose generated code changed while it ran may be repeated, and is then shown.
        loop {
            watch.event("published");
            let shown = Command::new(&program).output().unwrap();
            if String::from_utf8_lossy(&shown.stdout) == word {
                break;
            }
        }
    }
    let failed = watch.events.iter().find(|event| event["event"] == "error");
    assert_eq!(failed, None);
    watch.end(&site);
    assert_eq!(site.read("genstore/go.mod"), "");
    site.run("verify").ok();
}
