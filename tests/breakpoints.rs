//! A breakpoint in a TypeScript source, in a program that runs what was built and published: a debugger finds it
//! through the source maps of the build.

use crate::http::free_port;
use crate::prelude::*;
use crate::watch::Loop;

const CONSUMERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/breakpoints/client.js");

/// A source with this many lines before the function.
fn source(lines: usize, version: &str) -> String {
    format!(
        "{}export function price(): string {{\n  const said = \"{version}\";\n  return said;\n}}\n",
        "// -\n".repeat(lines)
    )
}

#[test]
fn a_breakpoint_in_a_source_is_hit_after_each_commit() {
    needs!(has_node_modules(Path::new(CONSUMERS)));
    let site = Site::new();
    let port = free_port();
    let tsc = Path::new(CONSUMERS).join("node_modules/typescript/bin/tsc");
    // The maps name their sources from where the build writes: build/libs.
    let options = r#"{ "compilerOptions": { "outDir": "../../build/libs/shop", "rootDir": ".", "module": "commonjs",
        "target": "es2022", "sourceMap": true, "types": [] }, "files": ["src/index.ts"] }"#;
    site.write("libs/shop/tsconfig.json", options);
    let build = format!("node {} -p libs/shop", tsc.display());
    site.write(
        "genstore.toml",
        format!(
            "[build]\ncommand = \"{build}\"\noutput = 'build/libs'\n[watch]\npaths = ['libs']\n\
             [[view]]\npath = 'dist/libs'\nas = 'mirror'\n\
             [watch.run.api]\ncommand = 'node --inspect=127.0.0.1:{port} api.js'\n"
        ),
    );
    site.write(
        "api.js",
        "const { price } = require('./dist/libs/shop/src/index.js');\nsetInterval(price, 10);\n",
    );
    let path = site.path("libs/shop/src/index.ts");
    let mut watch = None;
    for (lines, version) in [(0, "one"), (2, "two"), (1, "three")] {
        site.write("libs/shop/src/index.ts", source(lines, version));
        let watch = watch.get_or_insert_with(|| Loop::start(&site, "", ""));
        watch.event("published");
        watch.child("api", "started");
        let line = (lines + 3).to_string();
        let client = Command::new("node")
            .args(["--experimental-websocket", CLIENT, &port.to_string()])
            .args([path.as_os_str(), line.as_ref(), "said".as_ref()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&client.stderr);
        assert_eq!(String::from_utf8_lossy(&client.stdout), format!("{version}\n"), "{said}");
    }
    watch.unwrap().end(&site);
}
