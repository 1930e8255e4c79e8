//! `init`.

use crate::prelude::*;

const CREATED: &str =
    "Created the store [DIR]/genstore\nCreated [DIR]/genstore.toml, with all settings as comments\n";

#[test]
fn makes_a_store_once() {
    let site = Site::new();
    site.run("init").prints(CREATED);
    assert_eq!(site.read("genstore/format"), "genstore 1\n");
    assert_eq!(site.read("genstore/.gitignore"), "*\n");
    site.run("init").prints("The store [DIR]/genstore already exists\n");
}

/// Files that the Finder of a Mac makes in each folder are not published.
#[test]
fn the_files_of_a_finder_stay_out() {
    let site = Site::of(&[
        (".DS_Store", "=x"),
        ("img/.DS_Store", "=x"),
        ("img/._a.png", "=x"),
        ("img/a.png", "=a"),
    ]);
    site.run("init").prints(CREATED);
    site.run("publish dist").ok();
    let show = site.run("show --tree --json").is_json("genstore.show/1");
    let entries = show["entries"].as_array().unwrap();
    let paths: Vec<&str> = entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["img/a.png"]);
}

#[test]
fn tells_programs() {
    let site = Site::new();
    let path = site.path("x/st").to_string_lossy().into_owned();
    site.write("x/other", "");
    for created in [true, false] {
        let doc = site.run("init --store x/st --json").is_json("genstore.init/1");
        assert_eq!(doc, serde_json::json!({"schema": "genstore.init/1", "created": created, "path": path}));
    }
}

#[test]
fn is_quiet_when_asked() {
    let site = Site::new();
    site.run("-q init").prints("");
    assert!(site.has("genstore/format"));
}

#[test]
fn makes_a_store_here_even_below_another() {
    let site = Site::new();
    // Without a file there is no project, to which the folder would belong.
    site.run("init --no-project").ok();
    site.write("sub/file", "");
    site.command("init --no-project").dir("sub").run().prints("Created the store [DIR]/sub/genstore\n");
}

#[test]
fn makes_none_in_the_folders_of_another() {
    let site = Site::published();
    symlink("genstore/objects", site.path("link")).unwrap();
    for place in ["genstore/inner", "genstore/generations/1/tree/inner", "link/inner"] {
        for args in ["init", "publish dist"] {
            site.run(&format!("{args} --store {place}")).is(
                1,
                "",
                &format!(
                    "error: [DIR]/{place} lies in the store [DIR]/genstore\n\
                     hint: name a directory outside of it with --store\n"
                ),
            );
        }
        assert!(!site.has(place));
    }
    site.run("verify").ok();
}

#[test]
fn takes_the_project_s_place() {
    let site = Site::new();
    site.write("genstore.toml", "[store]\npath = 'var/out'\n");
    site.write("sub/file", "");
    site.write("var/file", "");
    site.command("init").dir("sub").run().prints("Created the store [DIR]/var/out\n");
    site.write("genstore.toml", "");
    site.command("init").dir("sub").run().prints("Created the store [DIR]/genstore\n");
}

#[test]
fn leaves_what_is_no_store_alone() {
    let site = Site::new();
    site.write("full/file", "");
    site.run("init --store full").exits(1).says(
        "error: [DIR]/full is not empty and cannot become a store\n\
         hint: name a directory that does not exist or is empty\n",
    );
    assert_eq!(site.names("full"), ["file"]);
    site.run("init --store absent/st").exits(1).says(
        "error: cannot open [DIR]/absent\n  No such file or directory (os error 2)\n\
         hint: check the spelling; the parent directory must exist\n",
    );
    site.write("file", "");
    site.run("init --store file").fails(1, "error: ");
    assert_eq!(site.read("file"), "");
}

#[test]
fn completes_what_a_crash_cut_short() {
    let site = Site::new();
    site.write("st/format", "");
    site.run("init --store st").prints("Created the store [DIR]/st\n");
    site.run("init --store st").prints("The store [DIR]/st already exists\n");
}

#[test]
fn takes_no_arguments() {
    Site::new().run("init here").fails(2, "error: unexpected argument 'here' found");
}

#[test]
fn a_store_may_be_for_a_group_or_for_its_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    let mode = |below: &str| site.path(below).metadata().unwrap().mode() & 0o7777;
    site.run("init --shared --store group")
        .prints("Created the store [DIR]/group, shared with its group\n");
    assert_eq!((mode("group"), mode("group/objects"), mode("group/notice")), (0o2775, 0o2775, 0o664));
    site.run("init --shared --store group").prints("The store [DIR]/group already exists\n");
    site.run("init --private --store own")
        .prints("Created the store [DIR]/own, readable by its owner only, also through views\n");
    assert_eq!(mode("own"), 0o700);
    site.run("init --shared --store own")
        .fails(1, "error: [DIR]/own exists already and is not shared with a group");
    site.run("init --private --store group")
        .fails(1, "error: the store [DIR]/group is shared with a group");
    site.run("init --private --shared --store other").fails(2, "error: ");
    site.tree("dist", &[("a/b", "=1")]);
    for store in ["group", "own"] {
        site.run(&format!("publish dist --store {store}")).ok();
        site.run(&format!("verify --store {store}")).ok();
    }
}

/// A project with one tool whose file can be changed, and one whose file cannot.
fn with_tools() -> Site {
    let site = Site::new();
    site.write("tsconfig.json", "{\n  \"include\": [\"**/*\"]\n}\n");
    site.write("package.json", "{\"jest\": {}}\n");
    site
}

const TSCONFIG: &str =
    "{\n  \"exclude\": [\"node_modules\", \"genstore\"],\n  \"include\": [\"**/*\"]\n}\n";
const JEST: &str = "jest (package.json): modulePathIgnorePatterns: [\"<rootDir>/genstore/\"]";

#[test]
fn without_a_terminal_it_asks_nothing_and_names_the_tools() {
    let site = with_tools();
    let before = site.read("tsconfig.json");
    site.run("init").is(
        0,
        CREATED,
        &format!(
            "These tools walk into the store. To keep them out, add:\n   \
             typescript (tsconfig.json): \"exclude\": [\"node_modules\", \"genstore\"]\n   {JEST}\n\
             hint: `genstore doctor --fix` adds lines where that is safe\n"
        ),
    );
    assert_eq!(site.read("tsconfig.json"), before);
    // A first publication that creates the store only points to it.
    let site = with_tools();
    site.tree("dist", &[("a", "=1")]);
    let stderr = site.run("publish dist").ok().stderr;
    let hint = "hint: keep typescript and jest out of the store: see `genstore doctor`\n";
    assert_eq!(stderr, hint);
    assert_eq!(site.run("publish dist").ok().stderr, "");
}

#[test]
fn yes_adds_what_keeps_tools_out() {
    let site = with_tools();
    site.run("init --yes").is(
        0,
        CREATED,
        &format!(
            "added to tsconfig.json: \"exclude\": [\"node_modules\", \"genstore\"]\n\
             Left to add by hand:\n   {JEST}\n"
        ),
    );
    assert_eq!(site.read("tsconfig.json"), TSCONFIG);
    let site = with_tools();
    let doc = site.run("init --yes --json").is_json("genstore.init/1");
    let added: Vec<(&str, bool)> = doc["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| (tool["tool"].as_str().unwrap(), tool["added"].as_bool().unwrap()))
        .collect();
    assert_eq!(added, [("typescript", true), ("jest", false)]);
}

#[test]
fn at_a_terminal_it_asks_where_the_store_should_be() {
    // Python's pty is a terminal.
    let script = "import os, pty, sys\n\
                  pid, master = pty.fork()\n\
                  if pid == 0: os.execv(sys.argv[2], sys.argv[2:])\n\
                  seen = b''\n\
                  while b'Which? [1] ' not in seen: seen += os.read(master, 1024)\n\
                  os.write(master, sys.argv[1].encode() + b'\\n')\n\
                  try:\n\
                  \x20   while True: seen += os.read(master, 1024) or sys.exit('end')\n\
                  except OSError: pass\n\
                  print(os.waitpid(pid, 0)[1])\n";
    needs!(has_program("python3"));
    let answer = |answer: &str| {
        let site = with_tools();
        let run = site.command("--color never init").under(&["python3", "-c", script, answer]).run();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("0\n", ""));
        site
    };
    let site = answer("");
    assert_eq!((site.read("tsconfig.json").as_str(), site.has("genstore/format")), (TSCONFIG, true));
    let site = answer("n");
    assert_ne!(site.read("tsconfig.json"), TSCONFIG);
    assert!(site.has("genstore/format"));
    let site = answer("2");
    assert!(site.read("genstore.toml").contains("\n[store]\n# The store.\npath = \".genstore\"\n"));
    assert!(site.has(".genstore/format") && !site.has("genstore"));
    site.tree("dist", &[("a", "=1")]);
    site.run("publish dist").ok();
    assert_eq!(site.read(".genstore/current/a"), "1");
}
