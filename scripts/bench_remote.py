#!/usr/bin/env python3
"""Measures pushes and pulls through a server of S3 that answers each request late, and peers beside them.

usage: scripts/bench remote [--files N] [--delay MS] [--keep DIR] [--genstore PROGRAM] [--only NAME,...]

The tree is @mui/icons-material 7.3.2 (64,653 files), or N files of its kind. Each row: seconds, requests,
bytes up and down, and the peak of memory. Peers are measured where they are installed: rclone, restic,
ostree (behind nginx, with static deltas), and rsync through a shell that delays both directions. `versions`
has the bytes of a follower from one version of a package to the next.
"""
import argparse, http.client, http.server, json, os, random, shutil, signal, socket, subprocess, sys
import tempfile, threading, time, zipfile
from pathlib import Path

PACKAGE = "@mui/icons-material@7.3.2"

# The registry, the package, and two versions that follow each other.
VERSIONS = [
    ("npm", "next", "15.5.0", "15.5.1"),
    ("pip", "streamlit", "1.45.0", "1.45.1"),
    ("npm", "typescript", "5.7.2", "5.8.2"),
    ("npm", "next", "15.4.1", "15.5.0"),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Late(http.server.BaseHTTPRequestHandler):
    """Passes requests on after a delay, and counts them."""

    protocol_version = "HTTP/1.1"
    delay, target, count, up, down, lock = 0.05, 0, 0, 0, 0, threading.Lock()

    def handle_any(self):
        time.sleep(Late.delay)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not hasattr(self, "server_side"):
            self.server_side = http.client.HTTPConnection("127.0.0.1", Late.target)
        self.server_side.request(self.command, self.path, body, dict(self.headers))
        answer = self.server_side.getresponse()
        data = answer.read()
        with Late.lock:
            Late.count, Late.up, Late.down = Late.count + 1, Late.up + len(body), Late.down + len(data)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, *_):
        pass


class Servers(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, *_):
        pass


def start_server(folder):
    """Starts ministack, and the delay in front of it; gives the endpoint."""
    Late.target = free_port()
    env = os.environ | {"GATEWAY_PORT": str(Late.target), "BIND_HOST": "127.0.0.1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(["ministack"], cwd=folder, env=env, **quiet)
    begun = time.monotonic()
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", Late.target)
            connection.request("PUT", "/bench")
            if connection.getresponse().status == 200:
                break
        except OSError:
            pass
        if time.monotonic() - begun > 60:
            sys.exit("bench: ministack does not answer")
        time.sleep(0.1)
    proxy = Servers(("127.0.0.1", 0), Late)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    return child, f"http://127.0.0.1:{proxy.server_port}"


ROWS = []


def measure(name, words, env=None, cwd=None):
    """Runs a command, and prints its row."""
    before = Late.count, Late.up, Late.down
    start = time.monotonic()
    pid = os.posix_spawnp(words[0], words, os.environ | (env or {}), file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, "bench.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)])
    _, status, usage = os.wait4(pid, 0)
    took = time.monotonic() - start
    row = {
        "name": name, "seconds": round(took, 2), "requests": Late.count - before[0],
        "up": Late.up - before[1], "down": Late.down - before[2], "memory_mib": usage.ru_maxrss // 1024,
        "ok": status == 0,
    }
    ROWS.append(row)
    failed = "" if status == 0 else f"  FAILED: {Path('bench.err').read_text().strip()[-200:]}"
    print(f"{name:42} {took:8.2f} s {row['requests']:7} {row['up']:12,} {row['down']:12,} "
          f"{row['memory_mib']:6} MiB{failed}", flush=True)


def make_tree(folder, files):
    """Unpacks the package, or makes as many files of its kind."""
    folder.mkdir()
    if files:
        dice = random.Random(1)
        words = [f"{dice.getrandbits(40):x}" for _ in range(4000)]
        for number in range(files):
            path = folder / f"d{number // 1000}" / f"icon{number}.js"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(dice.choices(words, k=35)))
        return
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder.parent, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: npm pack failed: {done.stderr.strip()[-200:]}")
    archive = folder.parent / done.stdout.split()[-1]
    subprocess.run(["tar", "-xzf", archive, "-C", folder, "--strip-components=1"], check=True)


def unpack(folder, kind, package, version):
    """Downloads a version of a package, and unpacks it."""
    folder.mkdir()
    archives = folder.parent / f"{version}.archives"
    archives.mkdir()
    get = {
        "npm": ["npm", "pack", "--silent", f"{package}@{version}"],
        "pip": [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"{package}=={version}"],
    }[kind]
    subprocess.run(get, cwd=archives, check=True, stdout=subprocess.DEVNULL)
    [archive] = archives.iterdir()
    if kind == "npm":
        subprocess.run(["tar", "-xzf", archive, "-C", folder, "--strip-components=1"], check=True)
    else:
        zipfile.ZipFile(archive).extractall(folder)
    return folder


def change(tree, count, mark):
    """Changes files, with fresh mtimes as a build makes them."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    for path in random.Random(mark).sample(paths, min(count, len(paths))):
        path.write_text(path.read_text(errors="replace") + f"\n// {mark}\n")
    return len(paths)


def steps(tree, push, pull):
    """Measures the steps that all programs do: the names stand for a push or a pull each."""
    push("first push")
    pull("fresh host")
    for mark in range(3):
        total = change(tree, 10, f"ten-{mark}")
        push(f"push, 10 of {total} changed")
        pull("follower, 10 changed")
    pull("follower, nothing new")
    change(tree, max(total // 100, 1), "percent")
    push("push, 1 % changed")
    pull("follower, 1 % changed")


def genstore(program, tree, endpoint):
    url = f"s3://bench/genstore?endpoint={endpoint}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    here, there = (keys | {"XDG_STATE_HOME": os.path.abspath(name)} for name in ("here", "there"))

    def push(name):
        subprocess.run([program, "--store", "store", "publish", tree, "-q"], check=True)
        measure(f"genstore: {name}", [program, "--store", "store", "push", url, "-q"], here)

    def pull(name):
        measure(f"genstore: {name}", [program, "--store", "pulled", "pull", url, "--activate", "-q"], there)

    # The check of a server is made once.
    subprocess.run([program, "remote", "test", url, "-q"], env=os.environ | here, check=True)
    steps(tree, push, pull)
    subprocess.run([program, "--store", "pulled", "verify", "-q"], check=True)


def versions(program, endpoint):
    """Measures a follower of packages: one version is pulled, and then the next one."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    here, there = (keys | {"XDG_STATE_HOME": os.path.abspath(name)} for name in ("here", "there"))
    for number, (kind, package, old, new) in enumerate(VERSIONS):
        url = f"s3://bench/versions-{number}?endpoint={endpoint}"
        folder = Path(f"versions-{number}")
        folder.mkdir()
        subprocess.run([program, "remote", "test", url, "-q"], env=os.environ | here, check=True)
        for version in (old, new):
            tree = unpack(folder / version, kind, package, version)
            subprocess.run([program, "--store", folder / "store", "publish", tree, "-q"], check=True)
            name = f"genstore: {package} {version}"
            measure(f"{name}, push", [program, "--store", str(folder / "store"), "push", url, "-q"], here)
            pull = [program, "--store", str(folder / "pulled"), "pull", url, "--activate", "-q"]
            measure(f"{name}, pull", pull, there)
        shutil.rmtree(folder)


def rclone(tree, endpoint):
    remote = f":s3,provider=Other,access_key_id=test,secret_access_key=test,endpoint='{endpoint}':bench/rclone"
    flags = ["--fast-list", "--transfers=16", "--checkers=16"]
    steps(
        tree,
        lambda name: measure(f"rclone sync: {name}", ["rclone", "sync", *flags, str(tree), remote]),
        lambda name: measure(f"rclone sync: {name}", ["rclone", "sync", *flags, remote, "rclone-pulled"]),
    )


def restic(tree, endpoint):
    env = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "RESTIC_PASSWORD": "bench",
           "RESTIC_REPOSITORY": f"s3:{endpoint}/bench/restic", "RESTIC_CACHE_DIR": os.path.abspath("restic-cache")}
    subprocess.run(["restic", "init", "-q"], env=os.environ | env, check=True)
    steps(
        tree,
        lambda name: measure(f"restic backup: {name}", ["restic", "backup", "-q", str(tree)], env),
        lambda name: measure(
            f"restic restore: {name}", ["restic", "restore", "-q", "latest", "--target", "restic-pulled"], env),
    )


def ostree(tree, _endpoint):
    """ostree from a web server that is as late. A static delta is what its documentation advises."""
    port, nginx = free_port(), shutil.which("nginx") or "/usr/sbin/nginx"
    work = os.getcwd()
    temporary = "".join(f"{kind}_temp_path {work}/t-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    Path("nginx.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} pid {work}/nginx.pid; events {{}} http {{ access_log off; {temporary} "
        f"server {{ listen 127.0.0.1:{port}; root {work}; }} }}")
    server = subprocess.Popen([nginx, "-p", work, "-c", f"{work}/nginx.conf", "-e", "stderr", "-g", "daemon off;"],
                              stderr=subprocess.DEVNULL)
    bucket, Late.target = Late.target, port
    proxy = Servers(("127.0.0.1", 0), Late)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        subprocess.run(["ostree", "init", "--repo=ostree", "--mode=archive"], check=True)
        subprocess.run(["ostree", "init", "--repo=ostree-pulled", "--mode=bare-user"], check=True)
        subprocess.run(["ostree", "--repo=ostree-pulled", "remote", "add", "--no-gpg-verify", "origin",
                        f"http://127.0.0.1:{proxy.server_port}/ostree"], check=True)

        def push(name):
            commit = f"ostree commit --repo=ostree -b main {tree}"
            first = " --empty" if name == "first push" else ""
            delta = f"ostree static-delta generate --repo=ostree{first} main"
            measure(f"ostree commit, delta: {name}", ["sh", "-ec", f"{commit}; {delta}; ostree summary --repo=ostree -u"])

        steps(tree, push, lambda name: measure(
            f"ostree pull: {name}", ["ostree", "--repo=ostree-pulled", "pull", "origin", "main"]))
    finally:
        Late.target = bucket
        server.send_signal(signal.SIGTERM)
        server.wait()


def rsync(tree, _endpoint):
    """rsync by checksums, as mtimes are fresh, through a program that delays both directions."""
    relay = Path("late-shell")
    relay.write_text(
        "#!/usr/bin/env python3\nimport os, subprocess, sys, threading, time\n"
        "child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "def copy(a, b, close):\n"
        "    while data := os.read(a, 1 << 20):\n"
        f"        time.sleep({Late.delay / 2})\n"
        "        while data: data = data[os.write(b, data):]\n"
        "    close()\n"
        "thread = threading.Thread(target=copy, args=(0, child.stdin.fileno(), child.stdin.close), daemon=True)\n"
        "thread.start()\ncopy(child.stdout.fileno(), 1, lambda: None)\nsys.exit(child.wait())\n")
    relay.chmod(0o755)
    words = ["rsync", "-rlc", "--delete", "-z", "-e", str(relay.absolute())]
    steps(
        tree,
        lambda name: measure(f"rsync -c: {name}", [*words, f"{tree}/", f"host:{os.path.abspath('rsync-there')}/"]),
        lambda name: measure(
            f"rsync -c: {name}", [*words, f"host:{os.path.abspath('rsync-there')}/", "rsync-pulled/"]),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--delay", type=float, default=50)
    parser.add_argument("--keep")
    parser.add_argument("--genstore", default="target/release/genstore")
    parser.add_argument("--only", default="genstore,versions,rclone,restic,rsync,ostree")
    args = parser.parse_args()
    program = os.path.abspath(args.genstore)
    if not shutil.which("ministack"):
        sys.exit("bench: ministack is not installed: scripts/setup installs it")
    Late.delay = args.delay / 1000
    folder = Path(args.keep or tempfile.mkdtemp(prefix="genstore-bench-"))
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    server, endpoint = start_server(folder)
    try:
        make_tree(folder / "original", args.files)
        print(f"{'':42} {'':>10} requests     bytes up   bytes down memory   (delay {args.delay:g} ms)")
        for name in args.only.split(","):
            if name == "versions":
                versions(program, endpoint)
                continue
            tree = folder / f"tree-{name}"
            shutil.copytree(folder / "original", tree, symlinks=True)
            if name == "genstore":
                genstore(program, tree, endpoint)
            elif shutil.which(name):
                globals()[name](tree, endpoint)
            else:
                print(f"{name} is not installed")
            shutil.rmtree(tree)
        Path("rows.json").write_text(json.dumps(ROWS, indent=1))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
