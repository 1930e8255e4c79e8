//! `completions`.

use crate::prelude::*;

#[test]
fn every_shell_gets_its_script() {
    let site = Site::new();
    for (shell, start) in [
        ("bash", "_genstore() {"),
        ("zsh", "#compdef genstore"),
        ("fish", "# Print an optspec"),
        ("elvish", "\nuse builtin;"),
        ("powershell", "\nusing namespace"),
    ] {
        let script = site.run(&format!("completions {shell}")).ok();
        assert!(script.stdout.starts_with(start), "{shell}: {}", &script.stdout[..80]);
        assert!(script.stdout.contains("rollback"), "{shell}");
        let doc = site.run(&format!("completions {shell} --json")).is_json("genstore.completions/1");
        assert_eq!(doc["script"].as_str().unwrap().as_bytes(), script.bytes);
    }
}

#[test]
fn other_shells_are_not_known() {
    Site::new().run("completions csh").fails(2, "error: invalid value 'csh' for '<SHELL>'");
}
