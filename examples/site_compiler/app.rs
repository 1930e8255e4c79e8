//! The application: a generated shell program of several files that contains the assets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::plan::Output;

const RUN: &str = r#"#!/bin/sh
# Generated. Gives out the assets of the site it was built with.
here=$(dirname "$0")
. "$here/lib/version.sh"
. "$here/lib/assets.sh"
case ${1-} in
list) printf '%s\n' $ASSETS ;;
get) asset "${2-}" ;;
version) printf '%s\n' "$VERSION" ;;
*)
  echo "usage: run list | get NAME | version" >&2
  exit 2
  ;;
esac
"#;

/// Generates the application; assets are given by name.
pub(crate) fn files(assets: &[(String, Vec<u8>)], build: Option<u64>) -> Vec<(String, Output)> {
    let version = build.map_or("none".to_owned(), |build| build.to_string());
    let names: Vec<&str> = assets.iter().map(|(name, _)| name.as_str()).collect();
    let mut cases = String::new();
    for (name, bytes) in assets {
        cases.push_str(&format!("  {name}) printf %s {} | base64 -d ;;\n", STANDARD.encode(bytes)));
    }
    let assets = format!(
        "ASSETS='{}'\nasset() {{\n  case $1 in\n{cases}  *)\n    echo \"no asset $1\" >&2\n    return 1\n    ;;\n  esac\n}}\n",
        names.join(" "),
    );
    vec![
        ("app/run".to_owned(), Output { bytes: RUN.into(), executable: true }),
        ("app/lib/assets.sh".to_owned(), Output::text(assets)),
        ("app/lib/version.sh".to_owned(), Output::text(format!("VERSION='build {version}'\n"))),
    ]
}
