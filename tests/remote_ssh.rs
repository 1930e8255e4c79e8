//! Remotes behind a real sshd on a port of the loopback, with keys of its own.

use crate::prelude::*;

/// A site, an sshd, and programs named `ssh` that reach it.
struct Host {
    site: Site,
    sshd: Child,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.sshd.kill().and_then(|()| self.sshd.wait()).expect("end sshd");
    }
}

/// Counts the turns of a connection: one each time the client sends something after the other side did. With
/// `CUT`, the first connection ends after this number of turns.
const RELAY: &str = r#"
import os, selectors, subprocess, sys, time
child = subprocess.Popen(["ssh-plain"] + sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
choose = selectors.DefaultSelector()
choose.register(0, selectors.EVENT_READ, (child.stdin.fileno(), True))
choose.register(child.stdout, selectors.EVENT_READ, (1, False))
turns, last = 0, False
cut = os.environ.get("CUT")
if cut and os.path.exists("was-cut"):
    cut = None
while True:
    for key, _ in choose.select():
        to, is_client = key.data
        bytes = os.read(key.fd, 1 << 16)
        if not bytes:
            choose.unregister(key.fileobj)
            if not is_client:
                open("turns", "w").write(str(turns))
                sys.exit(child.wait())
            child.stdin.close()
            continue
        if is_client and not last:
            turns += 1
        last = is_client
        if cut and turns > int(cut):
            open("was-cut", "w").close()
            child.kill()
            sys.exit(255)
        time.sleep(float(os.environ.get("DELAY", "0")))
        while bytes:
            bytes = bytes[os.write(to, bytes):]
"#;

impl Host {
    /// Starts sshd. Returns `None` if it is not installed.
    fn start() -> Option<Host> {
        let sshd = "/usr/sbin/sshd";
        if !has_program(sshd) || !has_program("ssh-keygen") {
            return None;
        }
        if is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let site = Site::published();
        for name in ["host_key", "key", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(site.path(name));
            assert!(keygen.status().unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = site.path("").display().to_string();
        site.write(
            "sshd_config",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}host_key\nPidFile none\nUsePAM no\n\
                 AuthorizedKeysFile {dir}authorized_keys\nStrictModes no\nPermitRootLogin yes\n\
                 MaxStartups 100\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            ),
        );
        site.write("authorized_keys", site.read("key.pub"));
        site.write("known_hosts", format!("[127.0.0.1]:{port} {}", site.read("host_key.pub")));
        site.write(
            "ssh_config",
            format!(
                "Host here\nHostName 127.0.0.1\nPort {port}\nHost *\nIdentityFile {dir}key\n\
                 IdentitiesOnly yes\nBatchMode yes\nUserKnownHostsFile {dir}known_hosts\n\
                 GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
            ),
        );
        let plain = format!("#!/bin/sh\nexec /usr/bin/ssh -F {dir}ssh_config \"$@\"\n");
        for (name, text) in [
            ("plain/ssh", plain.clone()),
            ("relayed/ssh-plain", plain),
            ("relayed/ssh", format!("#!/usr/bin/env python3\n{RELAY}")),
        ] {
            site.write(name, text);
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let log = fs::File::create(site.path("sshd.log")).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(site.path("sshd_config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let host = Host { sshd: command.spawn().unwrap(), site };
        eventually("sshd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(host)
    }

    /// Returns the address of a directory of the site, with the program that serves it.
    fn url(&self, dir: &str) -> String {
        format!("ssh://here{}?program={}", self.site.path(dir).display(), crate::harness::SHIPPED)
    }

    fn command(&self, machine: &str, args: &str) -> Run<'_> {
        let path = format!("{}:/usr/bin:/bin", self.site.path("plain").display());
        let run = self.site.command(&args.replace("REMOTE", &self.url("remote")));
        run.env("XDG_STATE_HOME", self.site.path(machine)).env("PATH", path)
    }

    fn run(&self, machine: &str, args: &str) -> Output {
        self.command(machine, args).run()
    }

    /// Runs it through the relay. Returns the output and the number of turns.
    fn relayed(&self, machine: &str, args: &str, vars: &[(&str, &str)]) -> (Output, u32) {
        let path = format!("{}:{}", self.site.path("relayed").display(), std::env::var("PATH").unwrap());
        let run = self.command(machine, args).env("PATH", path);
        let output = vars.iter().fold(run, |run, (name, value)| run.env(name, value)).run();
        (output, self.site.read("turns").parse().unwrap())
    }

    /// Limits the key to a command.
    fn force(&self, command: &str) {
        let command = command.replacen("genstore", crate::harness::SHIPPED, 1);
        self.site.write(
            "authorized_keys",
            format!("command=\"{command}\",restrict {}", self.site.read("key.pub")),
        );
    }
}

/// Runs a command that fails, and checks its messages.
#[track_caller]
fn refused(host: &Host, args: &str, parts: &[&str]) {
    let output = host.run("a", args).exits(1);
    for part in parts {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}

#[test]
fn a_directory_of_another_host_is_a_remote() {
    let Some(host) = Host::start() else { return };
    let text = "Pushed generation 2 [ID] to [URL] main (record 1): 4 objects, 20 B\n";
    let stdout = host.run("a", "push REMOTE").ok().stdout.replace(&host.url("remote"), "[URL]");
    let stdout = host.site.replace(&stdout);
    assert!(stdout.starts_with("Pushed generation 2 [ID] to ssh://here[DIR]/remote"), "{stdout} {text}");
    host.run("b", "--store other pull REMOTE --activate").ok();
    assert_eq!(host.site.read("other/current/a.txt"), "one\ntwo\n");
    host.run("b", "--store other verify").ok();
    host.run("a", "promote REMOTE main stable").ok();
    host.run("a", "push 1 REMOTE main").ok();
    host.run("a", "remote pin REMOTE stable v1").ok();
    host.run("a", "remote gc REMOTE --keep-last 1").ok();
    host.run("c", "--store third pull REMOTE v1 --activate").ok();
    assert_eq!(host.site.read("third/current/a.txt"), "one\ntwo\n");
    host.run("a", "remote test REMOTE").ok();
    // The same directory is a remote without ssh, too.
    let url = format!("file://{}", host.site.path("remote").display());
    host.run("d", &format!("--store fourth pull {url} --activate")).ok();
}

#[test]
fn a_push_of_ten_files_is_three_round_trips() {
    let Some(host) = Host::start() else { return };
    let tree = |text: &str| {
        let names: Vec<String> = (0..40).map(|number| format!("f{number:02}")).collect();
        let all = names.iter().enumerate().map(|(number, name)| {
            (name.as_str(), if number < 10 { format!("={text}{number}") } else { format!("=same{number}") })
        });
        let all: Vec<(&str, String)> = all.collect();
        let list: Vec<(&str, &str)> = all.iter().map(|(name, text)| (*name, text.as_str())).collect();
        host.site.tree("dist", &list);
        host.site.run("publish dist").ok();
    };
    tree("first");
    host.run("a", "push REMOTE").ok();
    host.run("b", "--store other pull REMOTE --activate").ok();
    // The eighth record comes with a hint.
    for number in 0..8 {
        tree(&format!("text{number}-"));
        let vars = [("DELAY", if number == 0 { "0.05" } else { "0" })];
        let (pushed, turns) = host.relayed("a", "push REMOTE --json", &vars);
        let document = pushed.is_json("genstore.push/1");
        assert_eq!(document["objects"], 10);
        // The hint of the eighth record is a turn, too, but the push does not wait for its answer.
        assert!(turns <= 3 + u32::from(document["record"] == 8), "{turns} round trips: {document}");
    }
    let (pulled, turns) = host.relayed("b", "--store other pull REMOTE --activate --json", &[]);
    pulled.is_json("genstore.pull/1");
    assert!(turns <= 20, "{turns} round trips of a follower that was away for eight records");
    let (pulled, turns) = host.relayed("b", "--store other pull REMOTE --activate --json", &[]);
    pulled.is_json("genstore.pull/1");
    assert_eq!(turns, 1, "round trips without news");
}

#[test]
fn a_forced_command_limits_a_key() {
    let Some(host) = Host::start() else { return };
    host.run("a", "push 1 REMOTE").ok();
    let dir = host.site.path("remote").display().to_string();
    host.force(&format!("genstore serve --stdio --allow pull {dir}"));
    host.run("b", "--store other pull REMOTE --activate").ok();
    refused(
        &host,
        "push REMOTE",
        &["this account may only pull", "hint: use an address, or a key, that may"],
    );
    host.force(&format!("genstore serve --stdio --allow push {dir}"));
    host.run("a", "push REMOTE").ok();
    host.run("a", "push 1 REMOTE other").ok();
    let before = host.run("a", "remote log REMOTE --json").ok().stdout;
    host.run("a", "push 2 REMOTE other").ok();
    host.run("a", "push 1 REMOTE main").ok();
    host.run("a", "remote gc REMOTE --keep-last 1").exits(1).stderr_has("this account may only push");
    assert!(!before.is_empty());
    host.run("c", "--store third pull REMOTE main").ok();
    let elsewhere = host.run("a", &format!("push {}", host.url("elsewhere"))).exits(1);
    elsewhere.stderr_has("this account serves another directory");
    assert!(!host.site.has("elsewhere"));
}

#[test]
fn the_reason_why_ssh_fails_is_said() {
    let Some(host) = Host::start() else { return };
    let dir = host.site.path("remote").display().to_string();
    let program = |name: &str, text: &str| {
        host.site.write(name, text);
        fs::set_permissions(host.site.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        format!("push ssh://here{dir}?program={}", host.site.path(name).display())
    };
    let missing = format!("push ssh://here{dir}?program=/nowhere/genstore");
    refused(&host, &missing, &["here has no program /nowhere/genstore", "hint: install genstore there"]);
    let older = "#!/bin/sh\necho \"error: unrecognized verb 'serve'\" >&2\nexit 2\n";
    let said =
        ["the genstore of here does not know `serve --stdio`", "hint: install this version of genstore"];
    refused(&host, &program("older", older), &said);
    let newer = "#!/bin/sh\nprintf 'gst-pipe\\002\\000\\000\\000\\000\\000'; cat >/dev/null\n";
    let newer = host.run("a", &program("newer", newer)).exits(12);
    newer.stderr_has("the genstore of here is newer");
    let loud = "#!/bin/sh\necho Welcome to this host; cat >/dev/null\n";
    host.run("a", &program("loud", loud))
        .exits(1)
        .stderr_has("prints \"Welcome \" before genstore answers");
    let dead = "#!/bin/sh\necho out of memory >&2; exit 3\n";
    host.run("a", &program("dead", dead))
        .exits(1)
        .stderr_has("genstore ended with 3 on here: out of memory");
    host.site.write("authorized_keys", host.site.read("stranger.pub"));
    refused(&host, "push REMOTE", &["ssh to here is refused", "hint: try `ssh` to this host by hand"]);
    host.site.write("known_hosts", "");
    host.run("a", "push REMOTE").exits(1).stderr_has("ssh to here is refused");
    assert!(!host.site.has("remote"));
}

#[test]
fn a_lost_connection_is_made_again() {
    let Some(host) = Host::start() else { return };
    for (number, cut) in ["0", "1", "2"].iter().enumerate() {
        host.site.tree("dist", &[("a.txt", &format!("=text{number}"))]);
        host.site.run("publish dist").ok();
        if host.site.has("was-cut") {
            fs::remove_file(host.site.path("was-cut")).unwrap();
        }
        let (pushed, _) = host.relayed("a", "push REMOTE --json", &[("CUT", cut)]);
        let document = pushed.is_json("genstore.push/1");
        assert_eq!(document["record"], number as u64 + 1, "nothing is appended twice");
        assert!(host.site.has("was-cut"), "the connection was cut at turn {cut}");
    }
    host.run("b", "--store other pull REMOTE --activate").ok();
    assert_eq!(host.site.read("other/current/a.txt"), "text2");
}
