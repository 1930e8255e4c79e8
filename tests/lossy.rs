//! Attributes of sources that a generation does not keep: one warning per publish, or a refusal.

use std::fs::Permissions;

use genstore_testkit as testkit;
use rustix::fs::XattrFlags;

use crate::prelude::*;

const PRIVATE: &str = "2 files with restricted read permission become readable to all, the first is b/c\n";
const SET_ID: &str = "1 file loses its set-user-id, set-group-id or sticky bit: run\n";

fn chmod(site: &Site, path: &str, mode: u32) {
    fs::set_permissions(site.path(path), Permissions::from_mode(mode)).unwrap();
}

fn lossy() -> Site {
    let site = Site::of(&[("a", "=1"), ("b/c", "=2"), ("b/d", "=3"), ("run", "!#!")]);
    for (path, mode) in [("b/d", 0o640), ("b/c", 0o600), ("run", 0o4755)] {
        chmod(&site, &format!("dist/{path}"), mode);
    }
    site
}

#[test]
fn modes_that_are_lost_are_said_with_a_count_and_the_first_path() {
    let site = lossy();
    let told = site.run("publish dist").ok().stderr;
    assert!(told.contains(PRIVATE) && told.contains(SET_ID), "{told}");
    // One warning per publish, also for reused files, and also for programs.
    testkit::settle(&site.path(""));
    site.write("dist/a", "11");
    let doc = site.run("publish dist --json").ok().json("genstore.publish/1");
    let messages: Vec<&str> =
        doc["warnings"].as_array().unwrap().iter().map(|w| w["message"].as_str().unwrap()).collect();
    assert_eq!(messages, [PRIVATE.trim_end(), SET_ID.trim_end()]);
    assert_eq!(site.run("publish dist --always --lossy allow").ok().stderr, "");
}

#[test]
fn losses_are_refused_where_that_is_wished_for() {
    let site = lossy();
    let refused = format!("error: {}; {}", PRIVATE.trim_end(), SET_ID.trim_end());
    site.run("publish dist --lossy allow").ok();
    site.run("publish dist --always --lossy refuse").fails(1, &refused);
    site.write("genstore.toml", "[publish]\nlossy = 'refuse'\n");
    for args in ["publish dist", "publish dist --always", "publish dist --consume", "publish --root x=dist"]
    {
        let output = site.run(args);
        assert!(output.status == 1 && output.stderr.contains("become readable to all"), "{args}");
    }
    site.run("build -- /bin/sh -c umask${IFS}077;echo>$GENSTORE_OUT/x")
        .fails(1, "error: 1 file with restricted read permission becomes readable to all: x");
    assert_eq!(site.names("genstore/generations"), ["1"]);
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    site.run("publish dist --always --lossy warn").ok();
    site.write("genstore.toml", "[publish]\nlossy = 'maybe'\n");
    site.run("publish dist").fails(2, "error: [DIR]/genstore.toml:2: \"maybe\" is not \"warn\"");
}

#[test]
fn private_files_stay_private_in_a_private_store() {
    let site = lossy();
    site.run("init --private").ok();
    let told = site.run("publish dist").ok().stderr;
    assert!(!told.contains("readable") && told.contains(SET_ID), "{told}");
}

#[test]
fn attributes_are_looked_for_in_what_is_read_and_in_all_where_they_are_refused() {
    let site = Site::of(&[("a", "=1"), ("b", "=2"), ("c", "=3")]);
    for name in ["a", "b"] {
        let path = site.path(format!("dist/{name}"));
        if let Err(error) = rustix::fs::setxattr(&path, "user.origin", b"x", XattrFlags::empty()) {
            skip_on_this_machine(format!("no extended attributes here: {error}"));
            return;
        }
    }
    testkit::settle(&site.path(""));
    let lost = "2 files lose their extended attributes, the first is a\n";
    assert!(site.run("publish dist").ok().stderr.contains(lost));
    // Neither file is read, so nothing is checked; with `refuse` both are checked.
    site.write("dist/c", "33");
    assert_eq!(site.run("publish dist").ok().stderr, "");
    site.run("publish dist --always --lossy refuse").fails(1, &format!("error: {lost}"));
    assert!(site.run("publish dist --always --rehash").ok().stderr.contains(lost));
}

/// Returns an access list in the system's format: the owner and this user may do all, others may read.
pub fn access_list(user: u32) -> Vec<u8> {
    const NO_ID: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 7, NO_ID), (0x02, 7, user), (0x04, 5, NO_ID), (0x10, 7, NO_ID), (0x20, 5, NO_ID)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn access_lists_and_capabilities_are_lost() {
    let site = Site::of(&[("a", "=1"), ("b", "=2"), ("c", "=3")]);
    let set = |path: &str, name: &str, value: &[u8]| {
        let done = rustix::fs::setxattr(site.path(path), name, value, XattrFlags::empty());
        if let Err(error) = &done {
            skip_on_this_machine(format!("no {name} here: {error}"));
        }
        done.is_ok()
    };
    // The second revision of file capabilities: the program starts with CAP_NET_BIND_SERVICE.
    let capability = [&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat();
    if !set("dist/b", "system.posix_acl_access", &access_list(2777))
        || !set("dist/c", "system.posix_acl_access", &access_list(2777))
        || !set("dist/a", "security.capability", &capability)
    {
        return;
    }
    let told =
        ["1 file loses its capabilities: a", "2 files lose their access control lists, the first is b"];
    let stderr = site.run("publish dist").ok().stderr;
    for line in told {
        assert!(stderr.contains(&format!("{line}\n")), "{stderr}");
    }
    let refused = format!("error: {}", told.join("; "));
    site.run("publish dist --always --lossy refuse").fails(1, &refused);
}
