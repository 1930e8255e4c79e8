//! Runs the README's console sessions literally.

use crate::prelude::*;

/// Parses the sessions: each command with its output in the README.
fn sessions() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in include_str!("../README.md").lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => commands.push((command.to_owned(), String::new())),
                None => {
                    let (_, output) = commands.last_mut().expect("a command comes first");
                    output.push_str(line);
                    output.push('\n');
                }
            },
        }
    }
    commands
}

#[test]
fn every_session_is_true() {
    let site = Site::new();
    site.tree(
        "dist",
        &[("index.html", "=<h1>hello</h1>\n"), ("app.js", "=let a = 1;\n"), ("img/logo.svg", "=<svg/>\n")],
    );
    let program = Path::new(env!("CARGO_BIN_EXE_genstore"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let commands = sessions();
    assert!(commands.len() > 8, "the README has sessions");
    for (command, expected) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .env_clear()
            .env("PATH", &path)
            .current_dir(site.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let stdout = site.replace(&String::from_utf8_lossy(&output.stdout));
        let expected = site.replace(
            &expected.replace("/srv/site", site.path("").display().to_string().trim_end_matches('/')),
        );
        assert_eq!(stdout, expected, "{command}");
    }
}

#[test]
fn the_first_two_commands_are_what_the_gate_runs() {
    let readme = include_str!("../README.md");
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert_eq!(blocks[0], "cargo run --release -- publish crates -m \"hello\"");
    assert_eq!(blocks[1], "scripts/check");
    assert!(include_str!("../.ci/run").contains("scripts/check"));
}
