//! Trust in configurations and stores, messages about commands, and the user's ways to change both.

use std::fs::{self, Permissions};
use std::os::unix::fs::chown;

use crate::prelude::*;

/// A user and a group that do not exist here.
pub const STRANGER: u32 = 26_660;

/// A project file with a command in every place that accepts one.
const COMMANDS: &str = "[build]\ncommand = 'echo 1 > $GENSTORE_OUT/f; echo build >> ../ran'\n\
    [audit]\nrun = ['echo audit >> ../ran']\n\
    [hooks]\npost_commit = 'echo hook >> ../ran'\n\
    [watch]\npaths = ['.']\nrun = ['echo watch >> ../ran']\n";

/// Creates a site with a store `st`, and a working folder below a folder that everybody may write to, like
/// /tmp.
fn shared_folder() -> Site {
    let site = Site::new();
    site.tree("pub/mine/dist", &[("a", "=1")]);
    site.run("publish pub/mine/dist --store st").ok();
    site.run("publish pub/mine/dist --store st --always").ok();
    site.mode("pub", 0o1777);
    site
}

/// The error about the project file in [`folder_with_a_strangers_file`].
const STRANGERS_FILE: &str =
    "[DIR]/pub/genstore.toml is not trusted: [DIR]/pub/genstore.toml belongs to user 26660";

/// Creates the shared folder, with another user's project file above the working folder.
fn folder_with_a_strangers_file() -> Site {
    let site = shared_folder();
    site.write("pub/genstore.toml", COMMANDS);
    site.give_away("pub/genstore.toml");
    site
}

impl Site {
    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
    }

    /// Changes the owner of a path to another user. Only root can do that.
    fn give_away(&self, path: &str) {
        chown(self.path(path), Some(STRANGER), Some(STRANGER)).unwrap();
    }

    /// Prepares a run in the folder of [`shared_folder`], with its own home.
    fn mine(&self, args: &str) -> Run<'_> {
        self.at_home(args).dir("pub/mine")
    }

    /// Prepares a run with a home.
    pub fn at_home(&self, args: &str) -> Run<'_> {
        self.command(args).env("HOME", self.path("home"))
    }
}

#[track_caller]
pub fn untrusted(output: Output, why: &str) {
    let found = (output.status, output.stderr.lines().next().unwrap_or_default().to_owned());
    assert_eq!(found, (1, format!("error: {why}")), "{}", output.stderr);
    assert!(output.stderr.contains("\nhint: "), "{}", output.stderr);
}

#[test]
fn no_command_of_a_stranger_runs() {
    needs!(is_root());
    let (site, why) = (folder_with_a_strangers_file(), STRANGERS_FILE);
    let id =
        site.run("begin --store st --ttl 1h").ok().stdout.split_whitespace().next().unwrap().to_owned();
    for args in
        ["publish dist", "build", "build -- true", "watch", "watch --path . -- true", "publish dist -n"]
    {
        untrusted(site.mine(&format!("{args} --store ../../st")).run(), why);
        untrusted(site.mine(args).run(), why);
    }
    untrusted(site.mine(&format!("commit {id} --store ../../st")).run(), why);
    for args in ["list", "switch 1", "rollback", "gc", "init", "doctor"] {
        untrusted(site.mine(args).run(), why);
    }
    assert_eq!(site.mine("list --json").run().json_error()["code"], "untrusted");
    // The file does not apply to a store that was named explicitly.
    for args in ["list", "switch 1", "gc", "rollback --keep-good", "verify"] {
        let output = site.mine(&format!("{args} --store ../../st")).run();
        assert!(!output.stderr.contains("genstore.toml"), "{args}: {}", output.stderr);
    }
    assert!(!site.has("ran") && !site.has("pub/ran") && !site.has("pub/genstore"));
    site.mine("publish dist --no-project --store ../../st").run().ok();
    assert!(!site.has("ran") && !site.has("pub/ran"));
    // A nearer file of the user's own ends the search, even if it is empty.
    site.write("pub/mine/genstore.toml", "");
    site.mine("publish dist").run().ok();
    assert!(!site.has("ran") && site.has("pub/mine/genstore/current"));
}

#[test]
fn a_user_may_trust_a_strangers_file() {
    needs!(is_root());
    let (site, why) = (folder_with_a_strangers_file(), STRANGERS_FILE);
    let ran = || {
        let ran = fs::read_to_string(site.path("ran")).unwrap_or_default();
        fs::remove_file(site.path("ran")).ok();
        ran
    };
    // Trust for one run.
    site.mine("build --trust -q").run().ok();
    assert_eq!(ran(), "build\naudit\nhook\n");
    untrusted(site.mine("build").run(), why);
    // Permanent trust, by folder: that of the file, or one above it.
    for folder in ["pub", "."] {
        let folder = site.path(folder).canonicalize().unwrap();
        site.write("home/.config/genstore/config.toml", format!("trusted = [\"{}\"]\n", folder.display()));
        site.mine("build -q").run().ok();
        assert_eq!(ran(), "build\n", "its tree is current");
    }
    site.write(
        "home/.config/genstore/config.toml",
        format!("trusted = [\"{}\"]\n", site.path("st").display()),
    );
    untrusted(site.mine("build").run(), why);
    // Trust in the present form of the file.
    site.mine("trust")
        .run()
        .ok()
        .stdout_starts("Trusted [DIR]/pub/genstore.toml, which runs [build] echo 1 ");
    site.mine("build -q").run().ok();
    assert_eq!(ran(), "build\n");
    site.write("pub/genstore.toml", format!("{COMMANDS}poll = '1s'\n"));
    untrusted(site.mine("build").run(), why);
    site.at_home("trust pub").run().ok();
    site.mine("build -q").run().ok();
    site.at_home("trust pub --revoke").run().prints("[DIR]/pub/genstore.toml is not trusted any more\n");
    untrusted(site.mine("build").run(), why);
    assert_eq!(ran(), "build\n");
}

#[test]
fn a_file_that_others_may_change_is_a_strangers() {
    needs!(is_root());
    let site = Site::new();
    site.tree("p/deep/dist", &[("a", "=1")]);
    site.write("p/genstore.toml", "[hooks]\npost_commit = 'touch ran'\n");
    let check = |path: &str, mode: u32, gid: u32, expected: Option<&str>| {
        let meta = fs::metadata(site.path(path)).unwrap();
        site.mode(path, mode);
        chown(site.path(path), None, Some(gid)).unwrap();
        let output = site.command("publish dist --always").dir("p/deep").run();
        match expected {
            None => drop(output.ok()),
            Some(who) => {
                let why = format!("[DIR]/p/genstore.toml is not trusted: {who} may write to [DIR]/{path}");
                untrusted(output, &why);
            }
        }
        assert_eq!(site.has("p/ran"), expected.is_none(), "{path} {mode:o} {gid}");
        fs::remove_file(site.path("p/ran")).ok();
        chown(site.path(path), None, Some(0)).unwrap();
        site.mode(path, 0o7777 & meta.permissions().mode());
    };
    for path in ["p", "p/genstore.toml"] {
        check(path, 0o775, STRANGER, Some("group 26660"));
        check(path, 0o757, 0, Some("everybody"));
        if path != "p" {
            // The sticky bit of /tmp protects names in a folder, not bytes in a file.
            check(path, 0o1757, 0, Some("everybody"));
        }
        // root's group has no other members.
        check(path, 0o775, 0, None);
    }
    // Nobody can replace another user's file there.
    check("p", 0o1777, 0, None);
    check("p", 0o1775, STRANGER, None);
    // The working directory does not matter: it is not part of the file's path.
    check("p/deep", 0o777, 0, None);
    // The link, and its target.
    site.write("else/real.toml", "[hooks]\npost_commit = 'touch ran'\n");
    fs::remove_file(site.path("p/genstore.toml")).unwrap();
    symlink("../else/real.toml", site.path("p/genstore.toml")).unwrap();
    site.command("publish dist --always -q").dir("p/deep").run().ok();
    assert!(site.has("p/ran"));
    site.mode("else", 0o777);
    let why = "[DIR]/p/genstore.toml is not trusted: everybody may write to [DIR]/else";
    untrusted(site.command("publish dist").dir("p/deep").run(), why);
    site.mode("else", 0o755);
    std::os::unix::fs::lchown(site.path("p/genstore.toml"), Some(STRANGER), None).unwrap();
    let why = "[DIR]/p/genstore.toml is not trusted: [DIR]/p/genstore.toml belongs to user 26660";
    untrusted(site.command("publish dist").dir("p/deep").run(), why);
}

#[test]
fn under_sudo_the_invoking_user_counts() {
    needs!(is_root());
    let site = Site::of(&[("a", "=1")]);
    site.write("genstore.toml", "[hooks]\npost_commit = 'touch ran'\n");
    site.give_away("genstore.toml");
    let publish = |uid: &str| site.command("publish dist --always -q").env("SUDO_UID", uid).run();
    publish("26661").fails(1, "error: [DIR]/genstore.toml is not trusted: ");
    publish("x").fails(1, "error: [DIR]/genstore.toml is not trusted: ");
    assert!(!site.has("ran"));
    publish("26660").ok();
    assert!(site.has("ran"));
}

#[test]
fn a_strangers_store_is_not_found() {
    needs!(is_root());
    let site = shared_folder();
    let refused =
        "error: the store [DIR]/pub/genstore is not trusted: [DIR]/pub/genstore belongs to user 26660\n";
    site.run("publish pub/mine/dist --store pub/genstore").ok();
    site.give_away("pub/genstore");
    for args in ["publish dist", "list", "gc", "current", "build -- true", "begin --ttl 1h", "verify"] {
        site.mine(args).run().fails(1, refused);
    }
    site.mine("list --store ../genstore").run().ok();
    site.mine("list --trust").run().ok();
    let config = format!("trusted = [\"{}\"]\n", site.path("pub").display());
    site.write("home/.config/genstore/config.toml", config);
    site.mine("list").run().ok();
    // root may use a folder of the store's owner: it acts for that owner.
    fs::remove_dir_all(site.path("home")).unwrap();
    site.mode("pub", 0o755);
    site.give_away("pub");
    site.command("list").dir("pub").run().ok();
    // But not if everybody could have created it.
    site.mode("pub", 0o777);
    site.command("list")
        .dir("pub")
        .run()
        .fails(1, "error: the store [DIR]/pub/genstore is not trusted: everybody may write to [DIR]/pub\n");
}

#[test]
fn a_group_finds_its_store() {
    needs!(is_root());
    let site = Site::new();
    site.tree("web/dist", &[("a", "=1")]);
    site.run("publish web/dist --store web/genstore").ok();
    chown(site.path("web"), Some(0), Some(STRANGER)).unwrap();
    chown(site.path("web/genstore"), Some(STRANGER), Some(STRANGER)).unwrap();
    for folder in ["web", "web/genstore"] {
        site.mode(folder, 0o2775);
    }
    for folder in site.path("").ancestors().take(1) {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    // A member of the group who is not the owner. The program may be in a folder closed to others, so a
    // copy is run.
    fs::copy(crate::harness::PROGRAM, site.path("program")).unwrap();
    let list = |groups: &str| {
        let ground = site.path("").canonicalize().unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "26661", "--regid", "26661", groups])
            .arg(site.path("program"))
            .arg("list");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("GENSTORE_GROUND", ground);
        command.current_dir(site.path("web")).output().unwrap()
    };
    let output = list("--groups=26660");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let refused = |groups: &str| {
        let output = list(groups);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && text.contains(" is not trusted: "), "{text}");
    };
    refused("--clear-groups");
    // If everybody may create folders, the group's number proves nothing.
    site.mode("web", 0o1777);
    refused("--groups=26660");
    // A store that its group cannot write to is its owner's.
    site.mode("web", 0o2775);
    site.mode("web/genstore", 0o2755);
    refused("--groups=26660");
    site.mode("web/genstore", 0o2775);
    assert!(list("--groups=26660").status.success());
    // So is one in a folder of a user outside the group.
    chown(site.path("web"), Some(26_662), Some(26_662)).unwrap();
    site.mode("web", 0o755);
    refused("--groups=26660");
}

#[test]
fn commands_are_told_of_when_they_are_new() {
    let site = Site::of(&[("a", "=1")]);
    site.write("genstore.toml", "[hooks]\npost_commit = 'echo   done'\n[audit]\nrun = [['true', 'x']]\n");
    let said = |args: &str| site.at_home(args).run().ok().stderr;
    let line = "[DIR]/genstore.toml runs [audit] true x; [hooks] echo done\n";
    // If nothing is shown, nothing is remembered.
    assert_eq!(said("publish dist -q"), "done\n");
    assert_eq!(said("publish dist --always --json"), "done\n");
    assert_eq!(said("list"), "");
    assert_eq!(said("publish dist --always"), format!("{line}done\n"));
    assert_eq!(said("publish dist --always"), "done\n");
    assert_eq!(said("switch 1"), "done\n");
    site.write("genstore.toml", "[hooks]\npost_commit = 'echo more'\n[retain]\nkeep_last = 3\n");
    let line = "[DIR]/genstore.toml runs [hooks] echo more\n";
    assert_eq!(said("switch 2"), format!("{line}more\n"));
    site.write("genstore.toml", "[hooks]\npost_commit = 'echo more'\n");
    assert_eq!(said("rollback -q"), "more\n");
    assert_eq!(said("publish dist --always"), "more\n");
    site.write("genstore.toml", "[build]\ncommand = 'echo 1 > $GENSTORE_OUT/f'\nenv = { A = 'b' }\n");
    let line = "[DIR]/genstore.toml runs [build] echo 1 > $GENSTORE_OUT/f; [build] A=b\n";
    assert_eq!(said("build"), line);
    assert_eq!(said("build"), "");
    let folders = site.path("home/.local/state/genstore").metadata().unwrap().permissions().mode();
    assert_eq!(folders & 0o777, 0o700);
    // Without a home nothing can be remembered, and nothing is shown.
    assert_eq!(site.run("build").ok().stderr, "");
}

#[test]
fn where_the_user_wants_to_be_asked_nothing_runs_before() {
    let site = Site::of(&[("a", "=1")]);
    site.write("home/.config/genstore/config.toml", "require_trust = true\n");
    site.write("genstore.toml", COMMANDS.replace("../ran", "ran"));
    site.run("publish dist -q --no-project").ok();
    site.run("publish dist -q --no-project --always").ok();
    let why = "the commands of [DIR]/genstore.toml are not allowed yet";
    for args in ["publish dist", "build", "watch", "switch 1", "rollback"] {
        untrusted(site.at_home(args).run(), why);
    }
    assert_eq!(site.at_home("build --json").run().json_error()["code"], "not-allowed");
    assert!(!site.has("ran"));
    site.run("current").prints("2\n");
    // A verb that runs no command of the file needs no trust, and a command of the user's own is not the
    // file's.
    site.at_home("list -q").run().ok();
    site.at_home("publish dist -n -q").run().ok();
    // A project cannot turn that off.
    site.write("genstore.toml", "require_trust = false\n");
    site.at_home("build").run().fails(2, "error: [DIR]/genstore.toml:1: unknown key `require_trust`");
    site.write("genstore.toml", "[build]\ncommand = 'echo 1 > $GENSTORE_OUT/f'\n");
    site.at_home("trust")
        .run()
        .prints("Trusted [DIR]/genstore.toml, which runs [build] echo 1 > $GENSTORE_OUT/f\n");
    site.at_home("build -q").run().ok();
    site.write("genstore.toml", "[build]\ncommand = 'echo 2 > $GENSTORE_OUT/f'\n");
    untrusted(site.at_home("build").run(), why);
    site.at_home("build -q --trust").run().ok();
    let doc = site.at_home("trust --json").run().is_json("genstore.trust/1");
    assert_eq!(
        (&doc["trusted"], &doc["commands"][0]),
        (&true.into(), &"[build] echo 2 > $GENSTORE_OUT/f".into())
    );
    site.at_home("trust --revoke -q").run().ok();
    untrusted(site.at_home("build").run(), why);
    site.write("genstore.toml", "");
    site.at_home("trust").run().prints("Trusted [DIR]/genstore.toml: it runs no commands\n");
    fs::remove_file(site.path("genstore.toml")).unwrap();
    site.at_home("trust").run().fails(1, "error: there is no genstore.toml in [DIR] or above it\n");
}

#[test]
fn the_users_own_configuration_is_checked_too() {
    let site = Site::of(&[("a", "=1")]);
    site.write("genstore.toml", "[hooks]\npost_commit = 'touch ran'\n");
    let config = "home/.config/genstore/config.toml";
    let publish = |site: &Site| site.at_home("publish dist --always").run();
    site.write(config, "require_trst = true\n");
    publish(&site).fails(2, "error: [DIR]/home/.config/genstore/config.toml:1: unknown key `require_trst`");
    site.write(config, "trusted = ['here']\n");
    publish(&site)
        .fails(2, "error: [DIR]/home/.config/genstore/config.toml: here is not an absolute path\n");
    site.write(config, "require_trust = false\n");
    site.mode("home/.config", 0o777);
    let why = "your configuration [DIR]/home/.config/genstore/config.toml is not trusted: \
               everybody may write to [DIR]/home/.config";
    untrusted(publish(&site), why);
    site.mode("home/.config", 0o755);
    fs::remove_file(site.path(config)).unwrap();
    assert!(Command::new("mkfifo").arg(site.path(config)).status().unwrap().success());
    publish(&site).fails(
        1,
        "error: cannot read [DIR]/home/.config/genstore/config.toml\n  it is not a regular file\n",
    );
    assert!(!site.has("ran") && !site.has("genstore"));
    // XDG_CONFIG_HOME takes precedence over HOME; a relative one is ignored.
    site.write("xdg/genstore/config.toml", "require_trust = true\n");
    fs::remove_file(site.path(config)).unwrap();
    let output = site.at_home("publish dist").env("XDG_CONFIG_HOME", site.path("xdg")).run();
    untrusted(output, "the commands of [DIR]/genstore.toml are not allowed yet");
    site.at_home("publish dist -q").env("XDG_CONFIG_HOME", "xdg").run().ok();
    assert!(site.has("ran"));
}

#[test]
fn reading_a_configuration_never_blocks() {
    let site = Site::of(&[("a", "=1")]);
    site.run("publish dist -q").ok();
    fs::create_dir(site.path("sub")).unwrap();
    for name in ["genstore.toml", "sub/genstore.toml"] {
        let check = |why: &str| {
            for args in ["list", "publish dist -n"] {
                let output = site.command(args).dir(if name.starts_with("sub") { "sub" } else { "" }).run();
                output.fails(1, &format!("error: cannot read [DIR]/{name}\n  {why}"));
            }
            fs::remove_file(site.path(name)).or_else(|_| fs::remove_dir(site.path(name))).unwrap();
        };
        fs::create_dir(site.path(name)).unwrap();
        check("Is a directory");
        assert!(Command::new("mkfifo").arg(site.path(name)).status().unwrap().success());
        check("it is not a regular file\n");
        for target in ["/dev/zero", "/dev/tty", "/dev/null"] {
            symlink(target, site.path(name)).unwrap();
            check("it is not a regular file\n");
        }
        symlink("genstore.toml", site.path(name)).unwrap();
        check("Too many levels of symbolic links");
        symlink("nowhere", site.path(name)).unwrap();
        check("No such file or directory");
        site.write(name, "#".repeat((1 << 20) + 1));
        check("it is longer than 1 MiB\n");
        let socket = std::os::unix::net::UnixListener::bind(site.path(name)).unwrap();
        check("it is not a regular file\n");
        drop(socket);
        site.write(name, b"\xff");
        check("it is not UTF-8\n");
    }
    // This does not mark the root of a project, whatever the file is.
    assert!(Command::new("mkfifo").arg(site.path("sub/package.json")).status().unwrap().success());
    site.command("list").dir("sub").run().ok();
}

#[test]
fn a_view_is_not_led_elsewhere_by_another_user() {
    needs!(is_root());
    let site = Site::of(&[("a", "=1")]);
    site.tree("precious", &[("a", "=mine")]);
    site.run("publish dist").ok();
    fs::create_dir_all(site.path("pub/sub/deep")).unwrap();
    site.give_away("pub");
    for args in ["pub/sub/link", "pub/sub/deep/mirror --as mirror"] {
        site.run(&format!("view add {args}")).ok();
    }
    // The owner of `pub` replaces a folder of root's by a link.
    fs::rename(site.path("pub/sub"), site.path("pub/before")).unwrap();
    symlink("../precious", site.path("pub/sub")).unwrap();
    std::os::unix::fs::lchown(site.path("pub/sub"), Some(STRANGER), None).unwrap();
    fs::create_dir(site.path("precious/deep")).unwrap();
    site.write("dist/a", "2");
    let why = "[DIR]/pub/sub is a symlink that another user may have put there, which is not followed";
    for args in ["publish dist", "publish dist --always", "switch 1", "switch 2"] {
        let told = site.run(args).stderr;
        assert!(told.matches(why).count() == 2, "{args}: {told}");
    }
    for args in ["pub/sub/new", "pub/sub/new --as mirror", "pub/sub/x/new --parents", "pub/sub/a --replace"]
    {
        site.run(&format!("view add {args}")).fails(1, &format!("error: {why}\n"));
    }
    assert_eq!(
        (site.names("precious"), site.read("precious/a")),
        (vec!["a".into(), "deep".into()], "mine".into())
    );
    assert_eq!(site.names("precious/deep"), [""; 0]);
    // `view rm` removes the record, whatever is at the path.
    site.run("view rm pub/sub/link").ok();
    // The same link of a trusted owner is followed, as by any program.
    std::os::unix::fs::lchown(site.path("pub/sub"), Some(0), None).unwrap();
    chown(site.path("pub"), Some(0), None).unwrap();
    site.run("view add pub/sub/new").ok();
    assert_eq!(site.names("precious"), ["a", "deep", "new"]);
}
