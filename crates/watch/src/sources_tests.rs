//! Tests of the files that count as sources.

#![allow(clippy::disallowed_methods, reason = "tests write files")]

use std::fs;

use super::*;
use crate::rules::MOST_RULES_BYTES;
use crate::touched::Touched;

struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[&str]) -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        files.iter().for_each(|file| project.write(file, "1"));
        project
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn rules(&self) -> SourceRules {
        SourceRules { root: self.root(), paths: vec![self.root()], ..SourceRules::default() }
    }

    fn names(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let root = self.root();
        paths.into_iter().map(|p| p.strip_prefix(&root).unwrap().display().to_string()).collect()
    }

    fn files(&self, rules: SourceRules) -> Vec<String> {
        let scan = Sources::new(rules).unwrap().scan();
        assert_eq!(scan.problems, [""; 0]);
        self.names(Scan::default().changes(&scan))
    }
}

#[test]
fn sources_are_what_git_would_not_ignore() {
    let all = ["src/a.ts", "src/b.log", "src/.env", "gen/x.ts", "node_modules/p/i.js", ".git/HEAD", "z.md"];
    let project = Project::new(&all);
    project.write(".gitignore", "*.log\n");
    let seen = |change: &dyn Fn(&mut SourceRules)| {
        let mut rules = project.rules();
        change(&mut rules);
        project.files(rules).join(" ")
    };
    assert_eq!(seen(&|_| {}), ".gitignore gen/x.ts src/.env src/a.ts z.md");
    assert_eq!(seen(&|r| r.extensions = vec!["ts".into()]), "gen/x.ts src/a.ts");
    assert_eq!(seen(&|r| r.ignore = vec!["gen/".into(), "*.md".into()]), ".gitignore src/.env src/a.ts");
    let unignore = |r: &mut SourceRules| r.ignore = vec!["!node_modules/".into(), "*.md".into()];
    assert_eq!(seen(&unignore), ".gitignore gen/x.ts node_modules/p/i.js src/.env src/a.ts");
    assert_eq!(seen(&|r| r.never = vec![r.root.join("src")]), ".gitignore gen/x.ts z.md");
    let two = |r: &mut SourceRules| r.paths = vec![r.root.join("gen"), r.root.join("z.md")];
    assert_eq!(seen(&two), "gen/x.ts z.md");
}

#[test]
fn rules_that_cannot_be_read_never_block() {
    let project = Project::new(&["a/x", "b/y", "z"]);
    let scan = |folder: &str| {
        let root = project.root();
        let rules = SourceRules { paths: vec![root.join(folder)], root, ..SourceRules::default() };
        let scan = Sources::new(rules).unwrap().scan();
        let top = format!("{}/", project.root().display());
        let problems = scan.problems.iter().map(|p| p.replace(&top, "")).collect::<Vec<_>>().join("|");
        (project.names(Scan::default().changes(&scan)).join(" "), problems)
    };
    let made = std::process::Command::new("mkfifo").arg(project.root().join("a/.gitignore")).status();
    assert!(made.unwrap().success());
    let told = "a/.gitignore is not a regular file; its folder is not watched";
    assert_eq!(scan(""), ("b/y z".to_owned(), told.to_owned()));
    fs::remove_file(project.root().join("a/.gitignore")).unwrap();
    // git does not follow a link in the place of its rules either.
    std::os::unix::fs::symlink("/dev/zero", project.root().join(".gitignore")).unwrap();
    assert_eq!(scan("a"), ("a/x".to_owned(), String::new()));
    fs::remove_file(project.root().join(".gitignore")).unwrap();
    project.write(".gitignore", &"#".repeat(MOST_RULES_BYTES as usize + 1));
    let told = ".gitignore is longer than 1 MiB; it is left out";
    assert_eq!(scan("a"), ("a/x".to_owned(), told.to_owned()));
}

#[test]
fn what_programs_keep_beside_open_files_is_no_source_unless_it_is_taken_back() {
    let beside = [
        ".a.ts.swp",
        ".a.ts.swx",
        "a.ts~",
        "#a.ts#",
        ".#a.ts",
        ".DS_Store",
        ".~lock.a.ods#",
        ".a.kate-swp",
    ];
    let project = Project::new(&beside);
    project.write("a.ts", "1");
    project.write("a#b", "1");
    assert_eq!(project.files(project.rules()), ["a#b", "a.ts"]);
    let rules = SourceRules { ignore: vec!["!*~".into(), "!.DS_Store".into()], ..project.rules() };
    assert_eq!(project.files(rules), [".DS_Store", "a#b", "a.ts", "a.ts~"]);
}

#[test]
fn what_git_ignores_can_be_taken_back_or_named() {
    let project = Project::new(&["src/a", "gen/b.log", "gen/c", "x.log", ".env"]);
    project.write(".gitignore", "gen/\n*.log\n.env\n");
    let rules = project.rules();
    assert_eq!(project.files(rules.clone()), [".gitignore", "src/a"]);
    let back = SourceRules { ignore: vec!["!gen/".into(), "!.env".into()], ..rules.clone() };
    assert_eq!(project.files(back), [".env", ".gitignore", "gen/c", "src/a"]);
    // A path that is named although it is ignored counts as a whole.
    let named =
        SourceRules { paths: vec![project.root().join("gen"), project.root().join(".env")], ..rules };
    assert_eq!(project.files(named), [".env", "gen/b.log", "gen/c"]);
}

#[test]
fn a_path_may_be_optional() {
    let project = Project::new(&["src/a"]);
    let optional = ["conf/.env", "src/b"].map(|path| project.root().join(path)).to_vec();
    let rules = SourceRules { paths: vec![], optional, root: project.root(), ..SourceRules::default() };
    let sources = Sources::new(rules).unwrap();
    let before = sources.scan();
    assert_eq!((before.files(), before.problems.len()), (0, 0));
    let watched: Vec<_> = before.watched().map(|(path, _)| PathBuf::from(path)).collect();
    assert_eq!(watched, [project.root(), project.root().join("src")], "the nearest folders that are there");
    project.write("conf/.env", "1");
    project.write("src/b/deep/c", "1");
    let after = sources.scan_again(&before, &Touched::default());
    assert_eq!(project.names(before.changes(&after)), ["conf/.env", "src/b/deep/c"]);
}

#[test]
fn a_view_that_is_never_a_source_is_not_followed() {
    let project = Project::new(&["real/a"]);
    std::os::unix::fs::symlink("real", project.root().join("view")).unwrap();
    let mut rules = project.rules();
    rules.never = vec![project.root().join("view")];
    assert_eq!(project.files(rules), ["real/a"]);
}

#[test]
fn a_comparison_names_what_is_new_gone_or_other() {
    let project = Project::new(&["same", "other", "gone"]);
    let sources = Sources::new(project.rules()).unwrap();
    let before = sources.scan();
    assert_eq!(before.changes(&sources.scan()), [""; 0].map(PathBuf::from));
    project.write("other", "22");
    project.write("new/deep/file", "1");
    fs::remove_file(project.root().join("gone")).unwrap();
    let after = sources.scan();
    assert_eq!(project.names(before.changes(&after)), ["gone", "new/deep/file", "other"]);
    // The size is equal, the time differs.
    filetime::set_file_mtime(project.root().join("same"), filetime::FileTime::from_unix_time(7, 0))
        .unwrap();
    assert_eq!(project.names(after.changes(&sources.scan())), ["same"]);
}

#[test]
fn all_that_is_wrong_is_told() {
    let project = Project::new(&["a"]);
    let mut rules = project.rules();
    rules.paths = vec![project.root().join("no"), project.root().join("neither")];
    rules.ignore = vec!["# nothing".into()];
    let BadSources(bad) = Sources::new(rules).err().unwrap();
    assert_eq!(bad.len(), 3, "{bad:?}");
}
