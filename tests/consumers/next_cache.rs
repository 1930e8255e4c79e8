//! The recipe of the book for Next.js: pages that are made again while the server runs stay out of the generation.

use super::project::{Project, has_node};
use crate::http::get;
use crate::prelude::*;

const NEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers/node_modules/next/dist/bin/next");
const SERVICES: &str = include_str!("../../docs/guides/services.md");

/// Returns the block of the recipe with this fence, after its heading.
fn recipe(fence: &str) -> &'static str {
    let recipe = SERVICES.split_once("## Next.js and its caches").expect("the recipe").1;
    let block = recipe.split_once(&format!("```{fence}\n")).expect("a block").1;
    block.split_once("```").expect("its end").0
}

#[test]
fn pages_that_are_made_again_stay_out_of_the_generation() {
    needs!(has_node());
    let project = Project::empty();
    let site = &project.site;
    fs::create_dir(site.path("app")).unwrap();
    site.write("package.json", r#"{ "name": "shop", "private": true }"#);
    site.write("next.config.js", recipe("js"));
    site.write("genstore.toml", recipe("toml"));
    site.write(
        "app/layout.js",
        "export default function Layout({ children }) { return <html><body>{children}</body></html>; }\n",
    );
    site.write(
        "app/page.js",
        "export const revalidate = 1;\nexport default () => <p>{`made at ${Date.now()} ms`}</p>;\n",
    );
    let run = |args: &[&str]| {
        let mut command = Command::new("node");
        command.arg(NEXT).args(args).env("NEXT_TELEMETRY_DISABLED", "1").current_dir(site.path(""));
        command
    };
    let built = run(&["build", "--webpack"]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let publish =
        "publish --root .next=.next --root package.json=package.json --root next.config.js=next.config.js";
    site.run(publish).ok();
    let port = project.port.to_string();
    let _server = Running::of(run(&["start", "genstore/current/", "--port", &port]));
    let made = || {
        let body = get(project.port, "", None).ok()?.body;
        let at = body.split_once("made at ")?.1.split_once(" ms")?.0;
        at.parse::<u64>().ok()
    };
    let first = std::cell::Cell::new(None);
    eventually("the server answers", || {
        first.set(made());
        first.get().is_some()
    });
    eventually("the page is made again", || made() > first.get());
    // Nothing was written into the generation, so nothing is lost with it, and nothing is damaged.
    site.run("verify").ok();
    let again = site.run(publish).ok();
    assert!(!again.stderr.contains("written into"), "{}", again.stderr);
    let cache = fs::canonicalize(site.path("genstore/current/.next/cache")).unwrap();
    assert_eq!(cache, site.path("shared/next-cache"));
}
