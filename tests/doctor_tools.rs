//! `doctor`: the project's own tools that walk into the store, and the lines that keep them out.

use crate::prelude::*;

/// Returns the advice of this name: its file, its line and the text.
fn advice(site: &Site, name: &str) -> Option<(String, String, String)> {
    let doc = site.run("doctor --json").is_json("genstore.doctor/1");
    let checks = doc["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("file"), text("line"), text("text")))
}

fn package(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/node_modules").join(name);
    let found = path.canonicalize().ok();
    if found.is_none() {
        skip_without_package(name);
    }
    found
}

#[test]
fn a_tsconfig_that_takes_in_all_files_is_mended() {
    let Some(tsc) = package("typescript/bin/tsc") else { return };
    let site = Site::new();
    site.write("app/page.ts", "export default function page(): number { return 1; }\n");
    let config = r#"{
  // as create-next-app writes it
  "compilerOptions": { "noEmit": true, "module": "esnext", "moduleResolution": "bundler", "target": "es2022", "types": [] },
  "include": ["**/*.ts", ".next/types/**/*.ts"],
  "exclude": ["node_modules"],
}"#;
    site.write("tsconfig.json", config);
    let build = "mkdir -p .next/types/app; echo 'import page from \"../../../app/page.js\"; const p: number = page(); \
                 export { p };' > .next/types/app/page.ts; node ";
    let build = format!("{build}{}", tsc.display());
    let run = || site.command("build --output .next").args(&["--", "sh", "-c", &build]).run();
    run().ok();
    let failed = run();
    assert_ne!(failed.status, 0, "it checks genstore/current, too");
    let (file, line, text) = advice(&site, "typescript").unwrap();
    assert_eq!((&*file, &*line), ("tsconfig.json", r#""exclude": ["node_modules", "genstore"]"#));
    assert!(text.ends_with("(`genstore doctor --fix` does)"), "{text}");
    site.run("doctor --fix").ok().stderr_has("added to tsconfig.json: \"exclude\"");
    assert_eq!(
        site.read("tsconfig.json"),
        config.replace("[\"node_modules\"]", "[\"genstore\", \"node_modules\"]")
    );
    assert_eq!(advice(&site, "typescript"), None);
    run().ok();
    site.run("doctor --fix").ok();
    assert_eq!(site.read("tsconfig.json").matches("genstore").count(), 1);
}

#[test]
fn lists_of_patterns_get_a_line_and_programs_are_left_to_people() {
    let site = Site::published();
    site.write("package.json", r#"{"devDependencies": {"prettier": "3", "vitest": "3", "jest": "30"}}"#);
    site.write("eslint.config.js", "export default [];\n");
    site.write("next.config.mjs", "export default {};\n");
    site.write("Dockerfile", "FROM scratch\nCOPY dist /\n");
    site.write(".dockerignore", "node_modules");
    let found = |name: &str| {
        let (file, line, _) = advice(&site, name).unwrap();
        format!("{file}: {line}")
    };
    assert_eq!(found("prettier"), ".prettierignore: /genstore/");
    assert_eq!(found("docker"), ".dockerignore: genstore");
    assert_eq!(found("eslint"), "eslint.config.js: { ignores: [\"genstore/\"] }");
    assert_eq!(found("jest"), "package.json: modulePathIgnorePatterns: [\"<rootDir>/genstore/\"]");
    assert_eq!(found("next"), "next.config.mjs: outputFileTracingExcludes: { \"*\": [\"./genstore/**\"] }");
    assert!(found("vitest").starts_with("vitest.config.ts: test: { exclude: [...configDefaults.exclude,"));
    site.run("doctor --fix").ok();
    assert_eq!(site.read(".prettierignore"), "/genstore/\n");
    assert_eq!(site.read(".dockerignore"), "node_modules\ngenstore\n");
    assert_eq!(site.read("eslint.config.js"), "export default [];\n");
    for gone in ["prettier", "docker"] {
        assert_eq!(advice(&site, gone), None);
    }
    // The image copies from the store on purpose.
    site.write("Dockerfile", "FROM scratch\nCOPY genstore/current /\n");
    fs::remove_file(site.path(".dockerignore")).unwrap();
    assert_eq!(advice(&site, "docker"), None);
    // A store elsewhere is in nobody's way.
    site.run("--store ../elsewhere doctor").ok();
    site.run("verify").ok();
}

#[test]
fn a_compiler_that_reads_the_view_of_its_own_build_is_seen() {
    let site = Site::new();
    site.write(
        "genstore.toml",
        "[build]\ncommand = 'true'\noutput = 'build/libs'\n[[view]]\npath = 'dist/libs'\n",
    );
    let config = r#"{"compilerOptions": {"paths": {"@x/*": ["./dist/libs/*/index"]}}, "files": []}"#;
    site.write("tsconfig.base.json", config);
    site.write("build/libs/a/index.js", "");
    site.run("build").ok();
    let (file, line, text) = advice(&site, "typescript").unwrap();
    assert_eq!(file, "tsconfig.base.json");
    assert_eq!(line, r#""paths": { "@x/*": ["./build/libs/*/index"] } in a tsconfig for builds"#);
    assert!(text.contains("finds @x/* in the view dist/libs"), "{text}");
    let failed = site.command("build -- sh -c").args(&["exit 1"]).run();
    let hint = "by tsconfig.base.json, a plain `tsc` finds @x/* in the view dist/libs, which shows the last publication";
    assert!(failed.stderr.contains(hint), "{}", failed.stderr);
    // Also before the first publication, when the view is only declared.
    fs::remove_dir_all(site.path("genstore")).unwrap();
    site.command("build -- sh -c").args(&["exit 1"]).run().stderr_has(hint);
    // A tsconfig for builds, as advised.
    let builds = r#"{"extends": "./tsconfig.base.json", "compilerOptions": {"paths": {"@x/*": ["./build/libs/*/index"]}}}"#;
    site.write("tsconfig.build.json", builds);
    let failed = site.command("build -- sh -c").args(&["exit 1"]).run();
    assert!(!failed.stderr.contains("plain `tsc`"), "{}", failed.stderr);
}

#[test]
fn a_failed_build_that_read_the_store_is_told_so() {
    let site = Site::published();
    site.write("tsconfig.json", "{}");
    let run = |script: &str| site.command("build -- sh -c").args(&[script]).run().stderr;
    let said = run("echo 'genstore/current/a.ts(1,1): error TS2307'; exit 2");
    let hint = "exit status 2 is the command's; its log names files in the store: see `genstore doctor` to keep \
                typescript out\n";
    assert!(said.ends_with(hint), "{said}");
    // The folder that a build writes to is no sign.
    let said = run("echo $GENSTORE_OUT; exit 1");
    assert!(!said.contains("doctor"), "{said}");
    site.run("doctor --fix").ok();
    let said = run("echo genstore/generations/1/tree/a.ts; exit 1");
    assert!(said.contains("to keep a tool of the build out"), "{said}");
}

#[test]
fn packages_beside_a_link_are_not_found_through_it() {
    let site = Site::published();
    site.write("apps/api/package.json", "{}");
    let said = site.run("view add apps/api/dist").ok().stderr;
    assert!(said.starts_with("warning: [DIR]/apps/api/dist is a link, which Node resolves:"), "{said}");
    assert!(said.ends_with("hint: genstore view rm [DIR]/apps/api/dist && genstore view add [DIR]/apps/api/dist --as mirror\n"), "{said}");
    let (_, line, text) = advice(&site, "packages").unwrap();
    assert!(
        text.contains("it does not find [DIR]/apps/api/package.json")
            || text.contains("apps/api/package.json"),
        "{text}"
    );
    assert!(line.contains("genstore view add ") && line.ends_with("/apps/api/dist --as mirror"), "{line}");
    site.run("view rm apps/api/dist").ok();
    assert_eq!(site.run("view add apps/api/dist --as mirror").ok().stderr, "");
    assert_eq!(advice(&site, "packages"), None);
    // Above both, Node finds them.
    site.write("package.json", "{}");
    site.run("view add shown").ok();
    assert_eq!(advice(&site, "packages"), None);
}

#[test]
fn a_list_that_is_a_symlink_is_left_alone() {
    let site = Site::new();
    let elsewhere = genstore_testkit::scratch();
    let target = elsewhere.path().join("somebody-elses");
    fs::write(&target, "one\n").unwrap();
    site.write(".prettierrc", "{}");
    symlink(&target, site.path(".prettierignore")).unwrap();
    site.run("init").ok();
    let (file, line, _) = advice(&site, "prettier").unwrap();
    assert_eq!((&*file, &*line), (".prettierignore", "/genstore/"));
    let fixed = site.run("doctor --fix").ok();
    assert!(!fixed.stderr.contains("added to"), "{}", fixed.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "one\n");
    assert!(site.path(".prettierignore").is_symlink());
}

#[test]
fn gos_tools_pass_the_store_over() {
    let site = Site::new();
    site.write("go.mod", "module example.org/site\n\ngo 1.21\n");
    site.write("main.go", "package main\n\nfunc main() {}\n");
    // The published file is no valid Go.
    let build = "mkdir -p $GENSTORE_OUT/gen && printf 'package gen\\nfunc {\\n' > $GENSTORE_OUT/gen/gen.go";
    let run = |build: &str| site.command("build").args(&["--", "sh", "-ec", build]).run();
    run(build).ok();
    assert_eq!(site.read("genstore/go.mod"), "");
    assert_eq!(advice(&site, "go"), None);
    // A store of an older program has none.
    fs::remove_file(site.path("genstore/go.mod")).unwrap();
    assert_eq!(advice(&site, "go").unwrap().0, "genstore/go.mod");
    site.run("doctor --fix").ok();
    assert_eq!(advice(&site, "go"), None);
    site.run("verify").ok();
    needs!(has_program("go"));
    let vet = |site: &Site| {
        let mut vet = Command::new("go");
        vet.args(["vet", "./..."]).current_dir(site.path("")).envs(crate::go_module::environment());
        vet.output().unwrap()
    };
    let clean = vet(&site);
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
    fs::remove_file(site.path("genstore/go.mod")).unwrap();
    assert!(!vet(&site).status.success(), "it would walk into the store");
}

#[test]
fn a_build_knows_where_readers_see_it() {
    let site = Site::new();
    let build = "echo $GENSTORE_PUBLIC > $GENSTORE_OUT/where";
    site.command("build").args(&["--", "sh", "-c", build]).run().ok();
    let public: PathBuf = site.read("genstore/current/where").trim().into();
    assert_eq!(public, site.path("genstore/current"));
    assert_eq!(fs::read_to_string(public.join("where")).unwrap(), site.read("genstore/current/where"));
}
