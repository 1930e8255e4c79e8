//! The lines that `doctor` advises, tried with the tools themselves: without the line, the tool takes in files of
//! the store; with it, it takes in its project alone.

use crate::prelude::*;

/// A tool, and its files.
struct Tool {
    name: &'static str,
    /// Its program in the packages of `tests/consumers`, and the arguments with which it names what it takes in.
    program: &'static str,
    args: &'static [&'static str],
    /// Its configuration without the line, and with it at `LINE`. `None` if `doctor --fix` adds the line.
    config: Option<(&'static str, &'static str, &'static str)>,
}

const JEST: Tool = Tool {
    name: "jest",
    program: "jest/bin/jest.js",
    args: &["--listTests"],
    config: Some((
        "jest.config.js",
        "module.exports = { haste: {} };\n",
        "module.exports = { haste: {}, LINE };\n",
    )),
};

const VITEST: Tool = Tool {
    name: "vitest",
    program: "vitest/vitest.mjs",
    args: &["list", "--filesOnly"],
    config: Some((
        "vitest.config.mts",
        "export default { test: {} };\n",
        "import { configDefaults } from \"vitest/config\";\nexport default { LINE };\n",
    )),
};

const ESLINT: Tool = Tool {
    name: "eslint",
    program: "eslint/bin/eslint.js",
    args: &["--format", "json", "."],
    config: Some(("eslint.config.js", "module.exports = [];\n", "module.exports = [LINE];\n")),
};

const PRETTIER: Tool = Tool {
    name: "prettier",
    program: "prettier/bin/prettier.cjs",
    args: &["--list-different", "."],
    config: None,
};

fn packages() -> Option<PathBuf> {
    let consumers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers");
    has_node_modules(&consumers).then(|| consumers.join("node_modules"))
}

impl Tool {
    /// Creates a project with one test and a store that has another, neither formatted.
    fn project(&self, packages: &Path) -> Site {
        let site = Site::of(&[("lib/published.test.js", "=test( \"published\", () => {} )\n")]);
        site.write("src/own.test.js", "test( \"own\", () => {} )\n");
        site.write("package.json", format!("{{ \"devDependencies\": {{ \"{}\": \"*\" }} }}\n", self.name));
        symlink(packages, site.path("node_modules")).unwrap();
        site.run("publish dist").ok();
        fs::remove_dir_all(site.path("dist")).unwrap();
        site
    }

    /// Returns whether it takes in the project's own file, and a published one.
    fn takes_in(&self, site: &Site) -> (bool, bool) {
        let program = site.path("node_modules").join(self.program);
        let mut node = Command::new("node");
        node.arg(program).args(self.args).current_dir(site.path("")).env("CI", "1").env("NO_COLOR", "1");
        let said = node.output().unwrap();
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        (said.contains("own.test.js"), said.contains("published.test.js"))
    }

    #[track_caller]
    fn keeps_out_of_the_store(&self) {
        let Some(packages) = packages() else { return };
        let site = self.project(&packages);
        if let Some((file, text, _)) = self.config {
            site.write(file, text);
        }
        assert_eq!(self.takes_in(&site), (true, true), "without the line");
        let doc = site.run("doctor --json").is_json("genstore.doctor/1");
        let advice = doc["checks"].as_array().unwrap().iter().find(|check| check["name"] == self.name);
        let line = advice.expect("an advice")["line"].as_str().unwrap();
        match self.config {
            Some((file, _, text)) => site.write(file, text.replace("LINE", line)),
            None => drop(site.run("doctor --fix").ok()),
        }
        assert_eq!(self.takes_in(&site), (true, false), "with the line {line}");
        let doc = site.run("doctor --json").is_json("genstore.doctor/1");
        assert!(doc["checks"].as_array().unwrap().iter().all(|check| check["name"] != self.name));
    }
}

/// Nx reads the `.gitignore` in the store, so it needs no line.
#[test]
fn nx() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nx-monorepo");
    needs!(has_node_modules(&example));
    let site = Site::of(&[("lib/project.json", "={ \"name\": \"published\" }\n")]);
    site.write("libs/own/project.json", "{ \"name\": \"own\" }\n");
    site.write("package.json", "{}\n");
    site.write("nx.json", "{}\n");
    symlink(example.join("node_modules"), site.path("node_modules")).unwrap();
    site.run("publish dist").ok();
    fs::remove_dir_all(site.path("dist")).unwrap();
    let program = site.path("node_modules/nx/dist/bin/nx.js");
    let mut nx = Command::new("node");
    nx.arg(program).args(["show", "projects"]).current_dir(site.path("")).env("NX_DAEMON", "false");
    let said = nx.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "own\n", "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn jest() {
    JEST.keeps_out_of_the_store();
}

#[test]
fn vitest() {
    VITEST.keeps_out_of_the_store();
}

#[test]
fn eslint() {
    ESLINT.keeps_out_of_the_store();
}

#[test]
fn prettier() {
    PRETTIER.keeps_out_of_the_store();
}
