//! The first minutes with the program: the command line without a verb, topics of the help, the project's file
//! with comments, lists on a terminal, a pager, the end by Ctrl-C.

use crate::harness::PROGRAM;
use crate::prelude::*;
use crate::terminal::Terminal;

/// Prepares a run in a terminal.
fn in_terminal(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(site.path("")).env_clear().env("TERM", "xterm");
    command.env("PATH", "/usr/bin:/bin").env("TZ", "UTC").env("USER", "tester");
    command.env("GENSTORE_NOW", crate::harness::NOW).env("GENSTORE_GROUND", site.path(""));
    command
}

/// Returns a text without the sequences of a terminal.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |end| at + end + 1);
        rest = &rest[end..];
    }
    (out + rest).replace('\r', "")
}

#[test]
fn without_a_verb_the_first_steps_are_shown() {
    let site = Site::new();
    let shown = site.command("").run().exits(2).stderr.clone();
    assert!(shown.contains("genstore publish DIR") && shown.contains("genstore help"), "{shown}");
    assert!(shown.lines().count() < 20 && shown.lines().all(|line| line.len() <= 110), "{shown}");
    let verbs = site.run("--version --json").is_json("genstore.version/1");
    let verbs: Vec<&str> =
        verbs["verbs"].as_array().unwrap().iter().map(|verb| verb.as_str().unwrap()).collect();
    let named = shown.split(|c: char| !c.is_ascii_lowercase()).collect::<BTreeSet<_>>();
    for verb in ["publish", "rollback", "watch", "gc", "push", "doctor"] {
        assert!(verbs.contains(&verb) && named.contains(verb), "{verb}");
    }
    site.command("remote").run().exits(2).stderr_has("genstore remote [OPTIONS] <COMMAND>");
    let doc: Value = serde_json::from_str(&site.command("--json").run().exits(2).stderr).unwrap();
    assert_eq!(doc["message"], "no verb is given");
}

#[test]
fn the_help_has_topics() {
    let site = Site::new();
    assert!(site.run("help refs").ok().stdout.contains("the name of a pin"));
    assert!(site.run("help config").ok().stdout.contains("#keep_last = 5"));
    site.run("config").exits(2).stderr_has("did you mean `genstore help config`?");
    // The words of other programs have a hint, and nothing beside it.
    site.run("rm 1")
        .says("error: unrecognized verb 'rm'\nhint: did you mean `genstore gc`? see `genstore help`\n");
    site.run("publish").exits(2).stderr_has("hint: for example `genstore publish dist -m \"release 1.4\"`");
    site.run("help nothing").exits(2);
}

/// Each setting of the file that `init` writes is valid, and each key of the book stands in it.
#[test]
fn the_file_of_init_names_every_setting() {
    let site = Site::of(&[("index.html", "=1")]);
    site.run("init").prints(
        "Created the store [DIR]/genstore\nCreated [DIR]/genstore.toml, with all settings as comments\n",
    );
    let text = site.read("genstore.toml");
    // As it is, it is valid.
    site.run("publish dist").ok();
    let set: String = text
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        // A table of programs takes the place of the list.
        .filter(|line| !line.starts_with("run = [\"web"))
        .map(|line| format!("{line}\n"))
        .collect();
    site.write("genstore.toml", &set);
    site.run("remote ls").ok().stdout_has("prod");
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in set.lines() {
        match line.strip_prefix('[') {
            Some(name) => section = name.trim_matches(['[', ']']).to_owned(),
            None => drop(
                named
                    .entry(section.clone())
                    .or_default()
                    .insert(line.split(" = ").next().unwrap().to_owned()),
            ),
        }
    }
    for (name, keys) in crate::book::documented() {
        let (here, extra): (&str, &[&str]) = match name.as_str() {
            "watch.run.NAME" => ("watch.run.api", &[]),
            "remote.NAME" => ("remote.prod", &[]),
            "watch" => ("watch", &["run"]),
            // Its keys stand in the table of one path.
            "shared" => {
                assert!(keys.iter().all(|key| set.contains(&format!("{key} = "))), "{keys:?}");
                continue;
            }
            "The user's own configuration" => continue,
            other => (other, &[]),
        };
        let mut found = named.get(here).cloned().unwrap_or_default();
        found.extend(extra.iter().map(|key| (*key).to_owned()));
        assert_eq!(found, keys, "[{name}]");
    }
}

#[test]
fn init_leaves_files_of_a_project_alone() {
    let site = Site::new();
    site.run("init --no-project").prints("Created the store [DIR]/genstore\n");
    assert!(!site.has("genstore.toml"));
    site.run("init --store other/store").exits(1);
    fs::create_dir(site.path("other")).unwrap();
    site.run("init --store other/store").prints("Created the store [DIR]/other/store\n");
    assert!(!site.has("other/genstore.toml"));
    site.write("own/genstore.toml", "# mine\n");
    site.command("init").dir("own").run().prints("Created the store [DIR]/own/genstore\n");
    assert_eq!(site.read("own/genstore.toml"), "# mine\n");
    site.write("json/file", "");
    let doc = site.command("init --json").dir("json").run().is_json("genstore.init/1");
    assert_eq!(doc["project_file"]["path"], site.path("json/genstore.toml").display().to_string());
}

#[test]
fn a_list_fits_the_terminal() {
    let site = Site::published();
    site.write("dist/a.txt", "x");
    let note = "a note of many words that does not fit into a narrow terminal, 日本 🚀 and more";
    site.run_with(&["publish", "dist", "-m", note]).ok();
    for columns in [200, 80, 60, 40] {
        let (status, shown) = Terminal::start(&in_terminal(&site, &["list"]), columns).end();
        let shown = plain(&shown);
        assert_eq!(status, 0);
        let rows: Vec<&str> = shown.lines().filter(|line| line.starts_with(' ')).collect();
        assert_eq!(rows.len(), 4, "{shown}");
        assert!(rows[0].trim_start().starts_with("no."), "{shown}");
        for row in rows {
            assert!(
                unicode_width::UnicodeWidthStr::width(row) <= usize::from(columns),
                "{columns}: {shown}"
            );
        }
        assert!(shown.contains("(current)") && shown.contains("a note of"), "{columns}: {shown}");
        assert_eq!(shown.contains("🚀 and more"), columns == 200, "{shown}");
    }
    // A pipe has no headline.
    assert!(!site.run("list").ok().stdout.contains("no."));
    assert_eq!(site.run("list -n 1").ok().stdout.lines().count(), 2);
}

#[test]
fn a_long_text_goes_to_the_pager() {
    let site = Site::new();
    for number in 0..100 {
        site.write(&format!("dist/file-{number:03}"), "x");
    }
    site.run("publish dist").ok();
    let show = |pager: &str, arguments: &[&str]| {
        let mut command = in_terminal(&site, arguments);
        command.env("GENSTORE_PAGER", pager);
        let (status, shown) = Terminal::start(&command, 80).end();
        assert_eq!(status, 0, "{shown}");
        plain(&shown)
    };
    let long = ["show", "--tree"];
    let paged = show("sed 's/^/paged: /'", &long);
    assert!(paged.contains("paged: f  1 B") && paged.contains("file-099"), "{paged}");
    assert!(!show("sed 's/^/paged: /'", &["show"]).contains("paged: "));
    for none in ["", "cat", "no-such-pager 2>/dev/null"] {
        let shown = show(none, &long);
        assert!(shown.contains("file-000") && shown.contains("file-099"), "{none}: {shown}");
    }
    // A pager that is left early is no failure.
    show("true", &long);
    assert!(
        !site
            .command("show --tree")
            .env("GENSTORE_PAGER", "sed 's/^/paged: /'")
            .run()
            .ok()
            .stdout
            .contains("paged")
    );
}

#[test]
fn a_directory_alone_is_compared_with_what_is_current() {
    let site = Site::published();
    site.write("dist/a.txt", "other");
    let both = site.run("diff @ dist").ok().stdout;
    assert!(both.contains("M  a.txt"), "{both}");
    assert_eq!(site.run("diff dist").ok().stdout, both);
    assert_eq!(site.run("diff ./dist/").ok().stdout.lines().nth(1), both.lines().nth(1));
    // The name of a generation comes first.
    fs::create_dir(site.path("1")).unwrap();
    site.run("diff 1").ok().stdout_has("1 ");
    site.run("diff none").exits(1).stderr_has("none");
    let left = site.run("diff dist --exclude a.txt").ok().stdout;
    assert!(left.contains("D  a.txt"), "{left}");
}

#[test]
fn patterns_of_the_command_line_add_to_those_of_the_project() {
    let site = Site::of(&[
        ("a.map", "=1"),
        ("b/a.map", "=2"),
        ("b/c.js", "=3"),
        ("tmp/x", "=4"),
        ("b/tmp/y", "=5"),
    ]);
    let paths = |args: &str| -> Vec<String> {
        site.run(&format!("publish dist {args}")).ok();
        let shown = site.run("show --tree --json").is_json("genstore.show/1");
        let entries = shown["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths("--exclude *.map --exclude /tmp/"), ["b/c.js", "b/tmp/y"]);
    site.write("genstore.toml", "[publish]\nexclude = ['*.map', 'tmp/']\n");
    assert_eq!(paths(""), ["b/c.js"]);
    assert_eq!(paths("--exclude !b/a.map"), ["b/a.map", "b/c.js"]);
    assert_eq!(paths("--include b/ --exclude *.js --exclude !tmp/"), ["b/tmp/y"]);
    site.run("publish dist --exclude a[").fails(2, "error: invalid value 'a[' for '--exclude <PATTERN>'");
    site.write("plan", "");
    site.run("publish --plan plan --exclude a")
        .fails(2, "error: --include and --exclude are for directories");
    let output = "build --exclude *.log -- sh -c".split(' ').collect::<Vec<_>>();
    site.run_with(&[&output[..], &["cd $GENSTORE_OUT; touch a.txt b.log"]].concat()).ok();
    assert_eq!(site.names("genstore/current"), ["a.txt"]);
}

#[test]
fn secrets_in_the_output_are_named() {
    let site = Site::of(&[
        ("index.html", "=1"),
        (".env", "=KEY=1"),
        (".env.example", "=KEY="),
        ("sub/.git/HEAD", "=ref"),
        ("key.pem", "=-----BEGIN EC PRIVATE KEY-----\n"),
        ("chain.pem", "=-----BEGIN CERTIFICATE-----\n"),
    ]);
    let told = site.run("publish dist").exits(0).stderr.clone();
    for named in [
        ".env is a file of environment variables;",
        "key.pem is a private key;",
        "sub/.git is a git repository\n",
    ] {
        assert!(told.contains(named), "{told}");
    }
    assert!(!told.contains("chain") && !told.contains("example") && told.contains("hint: "), "{told}");
    // An unchanged output needs no second warning.
    site.run("publish dist").ok();
    let doc = site.run("publish dist --always --json").is_json("genstore.publish/1");
    assert_eq!(doc["warnings"], json!([]));
    site.write("dist/index.html", "2");
    let doc = site.run("publish dist --json").is_json("genstore.publish/1");
    assert!(doc["warnings"][0]["message"].as_str().unwrap().contains(".env is"), "{doc}");
    site.write("genstore.toml", "[publish]\nsecrets = 'allow'\n");
    site.write("dist/index.html", "3");
    site.run("publish dist").ok();
    site.write("genstore.toml", "[publish]\nsecrets = 'refuse'\n");
    site.write("dist/index.html", "4");
    site.run("publish dist").fails(1, "error: the output holds secrets: .env is");
    site.run("publish dist --exclude .env* --exclude .git --exclude key.pem").ok();
    site.run("current").prints("5\n");
}

#[test]
fn details_list_the_changed_paths() {
    let site = Site::published();
    site.write("dist/a.txt", "other");
    let told = site.run("publish dist -v").exits(0).stderr.clone();
    assert!(told.contains("M  a.txt"), "{told}");
    assert!(!told.contains("logo"), "{told}");
}

#[test]
fn times_are_of_the_local_zone() {
    let site = Site::published();
    let pinned = site.run_with(&["pin", "1", "a", "--until", "2026-07-01 18:00"]).ok();
    assert!(pinned.stdout.contains("2026-07-01 18:00:00 UTC"), "{}", pinned.stdout);
    let berlin = site
        .command("pin 1 b --until 2026-07-01T18:00 --json")
        .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        .run();
    let doc = berlin.is_json("genstore.pin/1");
    assert_eq!(doc["until"], "2026-07-01T16:00:00Z", "{doc}");
    let shown = site.command("show 1").env("TZ", "JST-9").run().ok().stdout;
    assert!(shown.contains("2026-01-02 12:04:05 JST"), "{shown}");
}

/// Ctrl-C removes the bar, and the last line says what became of the command.
#[test]
fn an_interrupted_command_tells_what_became_of_it() {
    let site = Site::published();
    // A file of holes: it takes long to hash, and no space.
    let large = fs::File::create(site.path("dist/large")).unwrap();
    large.set_len(64 << 30).unwrap();
    let mut terminal = Terminal::start(&in_terminal(&site, &["publish", "dist", "--consume"]), 100);
    terminal.wait_for("Storing");
    terminal.send("\u{3}");
    terminal.wait_for("interrupted: readers see no change");
    let (status, _) = terminal.end();
    assert_eq!(status, 130);
    site.run("current").prints("2\n");
    fs::remove_file(site.path("dist/large")).unwrap();
    site.write("dist/a.txt", "other");
    site.run("publish dist").ok();
    site.run("verify").ok();
}
