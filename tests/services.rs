//! The recipes of `docs/guides/services.md`, with the real programs. Their files are in `examples/services`.

use crate::http::{free_port, get};
use crate::prelude::*;

/// The time after which an event counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a file of the recipes.
fn recipe(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/services").join(name)).unwrap()
}

/// A server that is killed on drop, with its children.
struct Server(Child);

impl Server {
    fn start(site: &Site, program: &str, args: &[&str]) -> Server {
        let log = fs::File::create(site.path(format!("{program}.log"))).unwrap();
        let mut command = Command::new(program);
        command.args(args).current_dir(site.path("")).stdin(Stdio::null()).process_group(0);
        Server(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        drop(self.0.wait());
    }
}

/// Waits until a server answers with this body.
fn answers(port: u16, path: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let found = get(port, path, None).map(|answer| answer.body).unwrap_or_default();
        if found == expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{path}: {found:?} and not {expected:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes the configuration of an nginx with one server, and returns its path.
fn nginx_conf(site: &Site, root: &str, server: &str) -> String {
    let user = if is_root() { "user www-data;" } else { "" };
    site.write(
        "nginx.conf",
        format!("daemon off; {user} pid {root}/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off; client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;\n{server}}}\n"),
    );
    site.path("nginx.conf").display().to_string()
}

/// opcache never looks at a script again here: only another path is another script.
#[test]
fn php_runs_the_current_generation_with_opcache() {
    if !has_program("nginx") || !has_program("php-fpm8.2") {
        return;
    }
    let site = Site::new();
    let publish = |version: &str| {
        site.tree(
            "dist",
            &[
                (
                    "public/index.php",
                    &format!("=<?php echo '{version} '; include __DIR__ . '/../part.php';"),
                ),
                ("part.php", &format!("=<?php echo '{version}';")),
            ],
        );
        site.run("publish dist -q").ok();
    };
    publish("one");
    let (port, home) = (free_port(), tempfile::tempdir().unwrap());
    let socket = home.path().join("php.sock").display().to_string();
    let root = site.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let who = if is_root() { "user = www-data\ngroup = www-data\nlisten.owner = www-data\n" } else { "" };
    site.write(
        "fpm.conf",
        format!("[global]\nerror_log = {root}/fpm.log\n[www]\n{who}listen = {socket}\npm = static\npm.max_children = 1\n"),
    );
    let server = recipe("nginx-php.conf")
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"))
        .replace("/srv/site", root)
        .replace("/run/php/php-fpm.sock", &socket);
    let conf = nginx_conf(&site, root, &server);
    // The workers of both run as another user.
    fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let fpm = [
        "-n",
        "-F",
        "-y",
        "fpm.conf",
        "-d",
        "zend_extension=opcache",
        "-d",
        "opcache.enable=1",
        "-d",
        "opcache.validate_timestamps=0",
    ];
    let _php = Server::start(&site, "php-fpm8.2", &fpm);
    let _nginx = Server::start(&site, "nginx", &["-p", root, "-c", &conf]);
    answers(port, "", "one one");
    for (version, expected) in [("two", "two two"), ("three", "three three")] {
        publish(version);
        answers(port, "", expected);
    }
    site.run("rollback -q").ok();
    answers(port, "", "two two");
    // The recipe's line is what does it: the link's own path is one script for ever.
    let _stop = _nginx;
    let stale = fs::read_to_string(&conf).unwrap().replace("$realpath_root", "$document_root");
    drop(_stop);
    fs::write(&conf, stale).unwrap();
    let _nginx = Server::start(&site, "nginx", &["-p", root, "-c", &conf]);
    answers(port, "", "two two");
    publish("four");
    let answer = get(port, "", None).unwrap();
    assert!(answer.body.starts_with("two "), "opcache is not at work: {}", answer.body);
}

/// A page that was loaded from generation 1 asks for its script while generation 2 is current.
#[test]
fn open_pages_go_on_loading_from_nginx_and_caddy() {
    if !has_program("nginx") || !has_program("caddy") {
        return;
    }
    let site = Site::new();
    site.write(
        "genstore.toml",
        "[retain]\nkeep_within = \"7d\"\n[[view]]\npath = \"public\"\nas = \"mirror\"\nkeep_removed = \"7d\"\n",
    );
    let publish = |version: &str| {
        let script = format!("assets/app-{version}.js");
        let page = format!("={version}");
        site.tree("dist", &[("index.html", &page), (&script, &page), (&format!("{version}.html"), &page)]);
        site.run("publish dist -q").ok();
    };
    publish("one");
    let root = site.path("").display().to_string();
    let root = root.trim_end_matches('/');
    fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    let (nginx_port, caddy_port) = (free_port(), free_port());
    let server = recipe("nginx-static.conf")
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{nginx_port}"))
        .replace("/srv/site", root);
    let conf = nginx_conf(&site, root, &server);
    let _nginx = Server::start(&site, "nginx", &["-p", root, "-c", &conf]);
    let caddyfile = recipe("Caddyfile")
        .replace("http://127.0.0.1:8080", &format!("http://:{caddy_port}"))
        .replace("/srv/site", root);
    site.write("Caddyfile", format!("{{\n admin off\n}}\n{caddyfile}"));
    let _caddy = Server::start(&site, "caddy", &["run", "--config", "Caddyfile"]);
    for port in [nginx_port, caddy_port] {
        answers(port, "", "one");
    }
    publish("two");
    for port in [nginx_port, caddy_port] {
        answers(port, "", "two");
        answers(port, "assets/app-one.js", "one");
        answers(port, "assets/app-two.js", "two");
        let withdrawn = get(port, "one.html", None).unwrap();
        assert_eq!(withdrawn.status, 404);
    }
    // A rollback keeps the files of the generation that it leaves.
    site.run("rollback -q").ok();
    for port in [nginx_port, caddy_port] {
        answers(port, "", "one");
        answers(port, "assets/app-two.js", "two");
    }
}

#[test]
fn systemd_accepts_the_units() {
    if !has_program("systemd-analyze") {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("units")).unwrap();
    let program = env!("CARGO_BIN_EXE_genstore");
    for name in ["site.service", "site.socket", "site-reload.path", "site-reload.service"] {
        site.write(&format!("units/{name}"), recipe(name).replace("/usr/local/bin/genstore", program));
    }
    for name in ["site.service", "site-reload.path"] {
        let path = site.path(format!("units/{name}"));
        let output =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !told.contains(name), "{name}: {told}");
    }
}

/// Writes a server that says which generation it runs on.
fn shell_server(site: &Site) {
    let script = "=import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
                  body = open(os.path.join(os.environ['GENSTORE_ROOT'], 'version')).read().encode()\n        \
                  self.send_response(200); self.end_headers(); self.wfile.write(body)\n    \
                  def log_message(self, *a): pass\nhttp.server.HTTPServer.allow_reuse_address = True\n\
                  http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n";
    site.tree("server", &[("server.py", script)]);
}

#[test]
fn supervisord_restarts_the_program_on_a_move() {
    if !has_program("supervisord") || !has_program("python3") {
        return;
    }
    let site = Site::new();
    shell_server(&site);
    let (port, home) = (free_port(), tempfile::tempdir().unwrap());
    let socket = home.path().join("s.sock").display().to_string();
    let (program, root) = (env!("CARGO_BIN_EXE_genstore"), site.path("").display().to_string());
    let root = root.trim_end_matches('/');
    let conf = recipe("supervisord.conf")
        .replace("/usr/local/bin/genstore", program)
        .replace(
            "exec /usr/bin/node \"$GENSTORE_ROOT/server.js\"",
            &format!("exec python3 {root}/server/server.py"),
        )
        .replace(
            "directory=/srv/site",
            &format!("directory={root}\nenvironment=PORT=\"{port}\",HOME=\"{root}\""),
        );
    let all = format!(
        "[unix_http_server]\nfile={socket}\n[supervisord]\nnodaemon=true\nlogfile={root}/s.log\npidfile={root}/s.pid\nchildlogdir={root}\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\nserverurl=unix://{socket}\n{conf}"
    );
    site.write("supervisord.conf", all);
    let hook =
        format!("[hooks]\npost_commit = [\"supervisorctl -c {root}/supervisord.conf restart site\"]\n");
    let publish = |version: &str| {
        site.tree("dist", &[("version", &format!("={version}"))]);
        site.run("publish dist -q").ok();
    };
    publish("one");
    let _supervisord = Server::start(&site, "supervisord", &["-n", "-c", "supervisord.conf"]);
    answers(port, "", "one");
    site.write("genstore.toml", hook);
    publish("two");
    answers(port, "", "two");
    site.run("rollback -q").ok();
    answers(port, "", "one");
}

/// PM2 with a home of its own. Its daemon is ended on drop.
struct Pm2<'s> {
    site: &'s Site,
    program: String,
}

impl Pm2<'_> {
    fn run(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.site.path("")).envs(self.environment());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("PM2_HOME", self.site.path("pm2").display().to_string()),
            ("PM2_DISABLE_VERSION_CHECK", "true".to_owned()),
        ]
    }
}

impl Drop for Pm2<'_> {
    fn drop(&mut self) {
        self.run(&["kill"]);
    }
}

#[test]
fn pm2_starts_the_program_again_on_a_move() {
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers/node_modules");
    needs!(has_node_modules(Path::new(modules).parent().unwrap()));
    let site = Site::new();
    let port = free_port();
    let server = format!(
        "=require('http').createServer((_, answer) => answer.end(require('fs').readFileSync(__dirname + '/version')))
           .listen({port}, '127.0.0.1');"
    );
    let publish = |version: &str| {
        site.tree("dist", &[("server.js", &server), ("version", &format!("={version}"))]);
        site.run("publish dist -q").ok();
    };
    publish("one");
    let root = site.path("").display().to_string();
    site.write(
        "ecosystem.config.js",
        recipe("ecosystem.config.js").replace("/srv/site", root.trim_end_matches('/')),
    );
    let pm2 = Pm2 { site: &site, program: format!("{modules}/.bin/pm2") };
    let started = pm2.run(&["start", "ecosystem.config.js"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    answers(port, "", "one");
    let variables = pm2.environment().map(|(name, value)| format!("{name}='{value}'")).join(" ");
    site.write(
        "genstore.toml",
        format!(
            "[hooks]\npost_commit = [[\"sh\", \"-c\", \"{variables} exec {} startOrReload ecosystem.config.js --update-env\"]]\n",
            pm2.program
        ),
    );
    publish("two");
    answers(port, "", "two");
    site.run("rollback -q").ok();
    answers(port, "", "one");
}

#[test]
fn a_container_sees_moves_through_the_folder_above() {
    let can =
        Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !can {
        skip_on_this_machine("no mounts of one's own");
        return;
    }
    let site = Site::new();
    let publish = |version: &str| {
        site.tree("dist", &[("version", &format!("={version}"))]);
        site.run("publish dist -q").ok();
    };
    publish("one");
    for folder in ["store", "only"] {
        fs::create_dir(site.path(folder)).unwrap();
    }
    // A mount namespace is what a container has. The first mount is the recipe, the second the mistake.
    let script = "mount --bind genstore store && mount --bind genstore/current/ only && echo ready && read go && \
                  cat store/current/version only/version";
    let mut inside = Command::new("unshare");
    inside.args(["-m", "sh", "-ec", script]).current_dir(site.path(""));
    let mut inside = Running::of(inside);
    assert_eq!(inside.line(), "ready");
    publish("two");
    inside.send(b"go\n");
    assert_eq!(inside.end(&site).stdout, "twoone");
}

#[test]
fn a_hook_tells_what_a_release_changed() {
    let site = Site::new();
    let told = "if [ -n \\\"$GENSTORE_PREVIOUS\\\" ]; then PROGRAM diff $GENSTORE_PREVIOUS $GENSTORE_GENERATION --json > told; fi";
    let told = told.replace("PROGRAM", env!("CARGO_BIN_EXE_genstore"));
    site.write("genstore.toml", format!("[hooks]\npost_commit = [[\"sh\", \"-c\", \"{told}\"]]\n"));
    for version in ["=one", "=two"] {
        site.tree("dist", &[("a", version), ("b", "=b")]);
        site.run("publish dist -q").ok();
    }
    let told = site.read("told");
    let document: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    has(&document["summary"], json!({"modified": 1, "added": 0}));
    has(&document, json!({"from": 1, "to": 2}));
}
