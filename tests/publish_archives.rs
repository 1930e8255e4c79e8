//! `publish --from-tar` with compressed archives, and with parts of archives.

use crate::prelude::*;

/// Packs `src`, through this filter of tar.
fn pack(site: &Site, filter: &str) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["-cf", "-", filter, "-C", "src", "."])
        .current_dir(site.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn site() -> Site {
    let site = Site::new();
    site.tree(
        "src",
        &[("v1/bin/run", "!#!"), ("v1/doc/a", "=one"), ("v1/doc/d", "/"), ("README", "=readme")],
    );
    fs::hard_link(site.path("src/v1/doc/a"), site.path("src/v1/doc/same")).unwrap();
    site
}

#[test]
fn the_content_decides_how_it_is_unpacked() {
    let site = site();
    site.run("publish src").ok();
    for (filter, program) in [("--gzip", "gzip"), ("--zstd", "zstd"), ("--xz", "xz")] {
        if !has_program(program) {
            continue;
        }
        // A name that says something else does not matter.
        let packed = pack(&site, filter);
        assert_ne!(&packed[..2], b"./");
        site.write("x.tar", &packed);
        let output = site.run("publish --from-tar x.tar").ok();
        assert!(output.stdout.contains("Unchanged"), "{program}: {}", output.stdout);
        // A stream that was cut off is refused.
        site.write("x.tar", &packed[..packed.len() / 2]);
        assert_eq!(site.run("publish --from-tar x.tar").status, 1, "{program}");
    }
    site.write("x", "BZh91AY");
    site.run("publish --from-tar x").fails(1, "error: x is compressed with bzip2\n");
    // A bomb is stopped by the limit, however small it is.
    site.write("src/zeros", vec![0; 4 << 20]);
    site.write("x.tgz", pack(&site, "--gzip"));
    assert_eq!(
        site.run("publish --from-tar x.tgz --max-total 1MiB --json").json_error()["code"],
        "too-large"
    );
}

#[test]
fn a_part_of_an_archive_is_published() {
    for (args, expected) in [
        ("--strip-components 1", vec!["bin/run", "doc/a", "doc/d", "doc/same"]),
        ("--subdir v1/doc", vec!["a", "d", "same"]),
        ("--subdir v1/ --strip-components 1", vec!["a", "d", "run", "same"]),
    ] {
        let site = site();
        site.write("x.tar", pack(&site, "--gzip"));
        site.run(&format!("publish --from-tar x.tar {args}")).ok();
        let tree = read_tree(&site.path("genstore/current")).unwrap();
        let paths: Vec<_> = tree.keys().cloned().collect();
        let leaves =
            paths.iter().filter(|path| !paths.iter().any(|other| other.starts_with(&format!("{path}/"))));
        assert_eq!(leaves.collect::<Vec<_>>(), expected, "{args}");
    }
    let site = site();
    site.write("x.tar", pack(&site, "--gzip"));
    for args in ["--subdir v2", "--strip-components 9"] {
        site.run(&format!("publish --from-tar x.tar {args}"))
            .fails(1, "error: x.tar has no member in that folder\n");
    }
    for args in ["src --subdir v1", "--root a=src --strip-components 1", "--from-tar x.tar --subdir ../v1"]
    {
        assert_eq!(site.run(&format!("publish {args}")).status, 2, "{args}");
    }
}
