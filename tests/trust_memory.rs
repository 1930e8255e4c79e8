//! Files that others may have written are not trusted: the memory of `trust`, and files with access lists.

use rustix::fs::XattrFlags;

use crate::lossy::access_list;
use crate::prelude::*;
use crate::trust::{STRANGER, untrusted};

const HOOK: &str = "[hooks]\npost_commit = 'touch ran'\n";

#[test]
fn a_memory_that_others_may_write_to_is_neither_read_nor_written() {
    let site = Site::of(&[("a", "=1")]);
    site.write("home/.config/genstore/config.toml", "require_trust = true\n");
    site.write("genstore.toml", HOOK);
    site.at_home("trust -q").run().ok();
    let folder = "home/.local/state/genstore/allowed";
    site.mode(folder, 0o777);
    let publish = || site.at_home("publish dist -q").run();
    untrusted(
        site.at_home("publish dist").run(),
        "the commands of [DIR]/genstore.toml are not allowed yet",
    );
    let before = site.names(folder);
    fs::remove_file(site.path(folder).join(&before[0])).unwrap();
    site.at_home("trust").run().fails(
        1,
        &format!(
            "error: cannot remember that you trust [DIR]/genstore.toml\n  everybody may write to [DIR]/{folder}\n"
        ),
    );
    assert_eq!(site.names(folder), [""; 0]);
    assert!(!site.has("ran") && !site.has("genstore"));
    site.mode(folder, 0o700);
    site.at_home("trust -q").run().ok();
    assert_eq!(site.names(folder), before);
    publish().ok();
    assert!(site.has("ran"));
}

#[test]
fn an_access_list_may_let_others_in() {
    let site = Site::new();
    site.tree("p/dist", &[("a", "=1")]);
    site.write("p/genstore.toml", HOOK);
    for path in ["p", "p/genstore.toml"] {
        let list = access_list(STRANGER);
        let place = site.path(path);
        if let Err(error) =
            rustix::fs::setxattr(&place, "system.posix_acl_access", &list, XattrFlags::empty())
        {
            skip_on_this_machine(format!("no access lists here: {error}"));
            return;
        }
        let why = format!(
            "[DIR]/p/genstore.toml is not trusted: others may write to [DIR]/{path} (it has an access list)"
        );
        untrusted(site.command("publish dist").dir("p").run(), &why);
        rustix::fs::removexattr(&place, "system.posix_acl_access").unwrap();
        site.mode(path, 0o755);
    }
    assert!(!site.has("p/ran"));
    site.command("publish dist -q").dir("p").run().ok();
    assert!(site.has("p/ran"));
}

#[test]
fn each_kind_of_command_waits_to_be_allowed() {
    let site = Site::of(&[("a", "=1")]);
    site.write("home/.config/genstore/config.toml", "require_trust = true\n");
    for (text, args) in [
        ("[build]\ncommand = 'touch ran'\n", "build"),
        ("[build]\nenv = { BASH_ENV = 'ran' }\n", "build -- touch ran"),
        ("[audit]\nrun = ['touch ran']\n", "publish dist"),
        ("[hooks]\npost_commit = 'touch ran'\n", "publish dist"),
        ("[build]\ncommand = 'true'\n[watch]\nrun = ['touch ran']\n", "watch"),
    ] {
        site.write("genstore.toml", text);
        let why = "the commands of [DIR]/genstore.toml are not allowed yet";
        untrusted(site.at_home(args).run(), why);
        assert!(!site.has("ran") && !site.has("genstore/current"), "{text}");
    }
}
