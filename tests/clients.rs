//! The clients for Node and Go, each by the list of `clients/conformance.json` and its own test; the npm
//! packages, installed without a network.

use crate::prelude::*;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// Prepares a command that finds the shipped program as clients do.
fn client(program: &str, args: &[&str], dir: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env("GENSTORE_BINARY", crate::harness::SHIPPED).env_remove("GENSTORE_STORE");
    command
}

/// Runs a command, which must succeed. Returns its stdout.
#[track_caller]
fn output_of(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Returns the number of cases in the list.
fn cases() -> usize {
    let list = fs::read_to_string(Path::new(TOP).join("clients/conformance.json")).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    list["cases"].as_array().unwrap().len()
}

#[test]
fn the_client_for_node_passes_the_list() {
    needs!(has_program("node"));
    let scratch = genstore_testkit::scratch();
    let mut command = client(
        "node",
        &["--test", "--test-reporter=tap", "test/conformance.test.js"],
        Path::new(TOP).join("clients/node"),
    );
    let told = output_of(command.env("GENSTORE_TEST_DIR", scratch.path()));
    assert!(told.contains(&format!("# pass {}\n", cases())), "{told}");
}

#[test]
fn the_client_for_go_passes_the_list() {
    needs!(has_program("go"));
    let (scratch, dir) = (genstore_testkit::scratch(), Path::new(TOP).join("clients/go"));
    for args in [&["vet", "./..."][..], &["test", "-count=1", "-v", "./..."]] {
        let mut command = client("go", args, &dir);
        let environment = crate::go_module::environment();
        let told = output_of(command.envs(environment).env("TMPDIR", scratch.path()));
        let passed = told.matches("    --- PASS: ").count();
        assert!(args[0] == "vet" || passed == cases(), "{told}");
    }
}

#[test]
fn the_types_of_the_client_for_node_fit_its_use() {
    needs!(has_node_modules(&Path::new(TOP).join("tests/consumers")));
    let dir = genstore_testkit::scratch();
    let project = dir.path().to_owned();
    let package = project.join("node_modules/genstore");
    fs::create_dir_all(&package).unwrap();
    let source = Path::new(TOP).join("clients/node");
    for (from, to) in [("index.d.ts", &package), ("package.json", &package), ("test/types.ts", &project)] {
        let name = Path::new(from).file_name().unwrap();
        fs::copy(source.join(from), to.join(name)).unwrap();
    }
    let compiler = Path::new(TOP).join("tests/consumers/node_modules/.bin/tsc");
    let args = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "types.ts",
    ];
    let types = format!("{TOP}/tests/consumers/node_modules/@types");
    let args = [&args[..], &["--typeRoots", &types, "--types", "node"]].concat();
    output_of(&mut client(compiler.to_str().unwrap(), &args, &project));
}

#[test]
fn the_npm_packages_install_and_run_without_a_network() {
    needs!(has_program("npm"));
    let site = Site::of(&[("a", "=1")]);
    // The tests' program is large because it has debugging information.
    let program = site.path("program").display().to_string();
    output_of(&mut client("strip", &["-o", &program, crate::harness::SHIPPED], TOP));
    let folder = site.path("packages").display().to_string();
    let packed = output_of(&mut client("scripts/package-npm", &[&program, &folder], TOP));
    let packed: Vec<&str> = packed.lines().collect();
    assert_eq!(packed.len(), 2, "{packed:?}");
    site.write("package.json", r#"{"private": true, "type": "module"}"#);
    let install = ["install", "--offline", "--no-audit", "--no-fund", "--omit=peer"];
    let mut npm = client("npm", &[&install[..], &packed[..]].concat(), site.path(""));
    // Neither a cache nor a registry has the packages of other platforms, which are optional.
    output_of(npm.env("npm_config_cache", site.path("cache")));
    site.write(
        "publish.js",
        "import { Genstore, findBinary } from 'genstore';\n\
         const { generation } = await new Genstore().publish('dist');\n\
         console.log(findBinary(), generation);\n",
    );
    // Neither the variable nor PATH has the program.
    let mut script = client("node", &["publish.js"], site.path(""));
    let told = output_of(script.env_remove("GENSTORE_BINARY"));
    assert!(told.contains("node_modules/@genstore/linux-"), "{told}");
    assert!(told.ends_with("/bin/genstore 1\n"), "{told}");
    let mut command = client("node_modules/.bin/genstore", &["current"], site.path(""));
    assert_eq!(output_of(command.env_remove("GENSTORE_BINARY")), "1\n");
}
