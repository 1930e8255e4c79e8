//! `completions`: the scripts, and what real shells make of them.

use crate::harness::SHIPPED;
use crate::prelude::*;
use crate::terminal::Terminal;

#[test]
fn every_shell_gets_its_script() {
    let site = Site::new();
    for (shell, start, part) in [
        ("bash", "# Completions of genstore for bash", "complete-words"),
        ("zsh", "#compdef genstore", "complete-words"),
        ("fish", "# Completions of genstore for fish", "complete-words"),
        ("elvish", "\nuse builtin;", "rollback"),
        ("powershell", "\nusing namespace", "rollback"),
    ] {
        let script = site.run(&format!("completions {shell}")).ok();
        assert!(script.stdout.starts_with(start), "{shell}: {}", &script.stdout[..80]);
        assert!(script.stdout.contains(part), "{shell}");
        let doc = site.run(&format!("completions {shell} --json")).is_json("genstore.completions/1");
        assert_eq!(doc["script"].as_str().unwrap().as_bytes(), script.bytes);
    }
}

#[test]
fn other_shells_are_not_known() {
    Site::new().run("completions csh").fails(2, "error: invalid value 'csh' for '<SHELL>'");
}

/// A site with a pin, a view, a remote and a folder whose name has a space.
fn site() -> Site {
    let site = Site::published();
    site.run("pin 1 stable").ok();
    site.run("view add shown").ok();
    site.write("genstore.toml", "[remote.prod]\nurl = \"file:///none\"\nchannel = \"live\"\n");
    fs::create_dir(site.path("my folder")).unwrap();
    site
}

/// Returns the first words of the program's candidates for a line.
fn candidates(site: &Site, line: &[&str]) -> Vec<String> {
    let arguments = [&["complete-words"], line].concat();
    let lines = site.run_with(&arguments).ok().stdout;
    lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn the_program_lists_what_the_store_and_the_project_know() {
    let site = site();
    let check =
        |line: &[&str], expected: &[&str]| assert_eq!(candidates(&site, line), expected, "{line:?}");
    check(&["show", ""], &["@", "@-", "stable", "2", "1"]);
    check(&["show", "s"], &["stable"]);
    check(&["publish", "--expect", "n"], &["none"]);
    check(&["unpin", ""], &["stable"]);
    check(&["view", "rm", ""], &["[DIR]/shown"]);
    check(&["push", ""], &["prod", "@", "@-", "stable", "2", "1"]);
    check(&["promote", "prod", ""], &["live"]);
    check(&["cat", "1", "i"], &["img/"]);
    check(&["cat", "1", "img/"], &["img/logo.svg"]);
    check(&["cat", "2", "i"], &[]);
    check(&["view", "add", "x", "--from", ""], &[]);
    check(&["mark", "1", ""], &["good", "bad"]);
    check(&["publish", "--loss"], &["--lossy"]);
    check(&["publish", "-n", "--dry"], &[]);
    check(&["remote", "u"], &["unpin"]);
    check(&["help", "re"], &["rebuild", "restart", "resume", "remote", "refs"]);
    check(&["schema", "view"], &["view-add", "view-list", "view-remove"]);
    // The shell completes these itself.
    for (line, shell) in [
        (&["publish", ""][..], "\tfolders\n"),
        (&["publish", "--plan", ""], "\tfiles\n"),
        (&["exec", "@", "--", "l"], "\tcommand\n"),
        (&["--store=g"], "\tfolders\n"),
    ] {
        assert_eq!(site.run_with(&[&["complete-words"], line].concat()).stdout, shell, "{line:?}");
    }
    // Another store, and none.
    let store = site.path("genstore").display().to_string();
    fs::create_dir(site.path("empty")).unwrap();
    assert!(!candidates(&site, &["-C", "empty", "--store", &store, "show", "s"]).is_empty());
    let none = site.path("none").display().to_string();
    check(&["--store", &none, "show", ""], &[]);
    check(&["-C", &none, "show", ""], &[]);
}

/// Returns a command with the program's folder first in PATH, without a configuration of the user.
fn shell(site: &Site, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let folder = Path::new(SHIPPED).parent().unwrap().display();
    command.args(arguments).current_dir(site.path("")).env_clear();
    command
        .env("PATH", format!("{folder}:/usr/bin:/bin"))
        .env("HOME", site.path("home"))
        .env("TERM", "xterm");
    command
}

/// Types lines with a TAB in an interactive shell, and checks what it makes of them.
fn types(terminal: &mut Terminal) {
    for (typed, completed) in [
        ("genstore rollb\t", "genstore rollback "),
        ("genstore unpin st\t", "genstore unpin stable "),
        ("genstore show --json sta\t", "genstore show --json stable "),
        ("genstore remote rm p\t", "genstore remote rm prod "),
        ("genstore --store=gens\t", "genstore --store=genstore/"),
        ("genstore cat 1 im\t", "genstore cat 1 img/"),
        ("genstore cat 1 img/\t", "genstore cat 1 img/logo.svg "),
        ("genstore publish my\t", "genstore publish my\\ folder/"),
        ("genstore exec @ -- mkfif\t", "genstore exec @ -- mkfifo "),
    ] {
        terminal.send(typed);
        terminal.wait_for(completed);
        // The line is given up.
        terminal.send("\u{15}\n");
        terminal.wait_for("ready>");
    }
}

#[test]
fn bash_completes() {
    needs!(has_program("bash"));
    let site = site();
    let mut terminal = Terminal::start(&shell(&site, "bash", &["--norc", "--noprofile", "-i"]), 200);
    terminal.send(
        "bind 'set enable-bracketed-paste off'; PS1='rea''dy>'; source <(genstore completions bash)\n",
    );
    terminal.wait_for("ready>");
    types(&mut terminal);
    terminal.send("genstore show \t\t");
    let list = terminal.wait_for("stable");
    assert!(list.contains("@-"), "{list}");
}

#[test]
fn zsh_completes() {
    needs!(has_program("zsh"));
    let site = site();
    fs::create_dir(site.path("home")).unwrap();
    site.write("home/_genstore", site.run("completions zsh").ok().stdout);
    let mut terminal = Terminal::start(&shell(&site, "zsh", &["-f", "-i"]), 200);
    terminal.send(
        "unset zle_bracketed_paste; zle_highlight=(none suffix:none); PS1='rea''dy>'; fpath=(~ $fpath); autoload -Uz compinit; compinit -u\n",
    );
    terminal.wait_for("ready>");
    types(&mut terminal);
    terminal.send("genstore show \t");
    let list = terminal.wait_for("first");
    assert!(list.contains("@-") && list.contains("the pin of generation 1"), "{list}");
}

#[test]
fn fish_completes() {
    needs!(has_program("fish"));
    let site = site();
    site.write("script", site.run("completions fish").ok().stdout);
    let complete = |line: &str| -> Vec<String> {
        let command = format!("source script; complete -C '{line}'");
        let done = shell(&site, "fish", &["--no-config", "-c", &command]).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(complete("genstore rollb"), ["rollback"]);
    assert_eq!(complete("genstore show "), ["@", "@-", "stable", "2", "1"]);
    assert_eq!(complete("genstore unpin st"), ["stable"]);
    assert_eq!(complete("genstore remote rm "), ["prod"]);
    assert_eq!(complete("genstore --store=gens"), ["--store=genstore/"]);
    assert_eq!(complete("genstore cat 1 img/"), ["img/logo.svg"]);
    assert_eq!(complete("genstore publish my"), ["my folder/"]);
    assert!(complete("genstore exec @ -- mkfif").contains(&"mkfifo".to_owned()));
}
