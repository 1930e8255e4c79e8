#!/usr/bin/env python3
"""Measures `genstore serve`, with nginx and caddy on the same files in the same run.

scripts/bench serve [--seconds 10] [--connections 64] [--files 200] [--large-mib 64] [--rounds 3] [--genstore PROGRAM]

- small: requests per second of files of 2 KiB over connections that stay open (wrk).
- 304: the same with If-None-Match.
- large: MiB per second of one large file.
- first: the time from the start of the program to the first byte of a response.
- memory: resident memory before the first request, and after all of them.

The rounds alternate between the servers, and the median counts. A server that is not installed is left out, and the
table says so. Nothing else should run on the machine.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

WORK = Path("target/bench/serve")
NGINX = """
worker_processes auto;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  include /etc/nginx/mime.types;
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; etag on;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
CADDY = "{{\n  admin off\n  auto_https off\n}}\nhttp://127.0.0.1:{port} {{\n  root * {root}\n  file_server\n}}\n"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(port, path, headers=()):
    """Sends one request. Returns the head of the response, and the time of its first byte."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        head = connection.recv(65536)
        at = time.perf_counter()
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("the response is cut short")
            head += more
        return head.split(b"\r\n\r\n")[0].decode(), at


class Server:
    """A server of the files, with its measurements."""

    def __init__(self, name, command, work):
        self.name, self.command, self.work = name, command, work
        self.results = {}

    def start(self):
        self.port = free_port()
        argv = self.command(self.port)
        began = time.perf_counter()
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.work)
        while True:
            try:
                head, at = request(self.port, "/0.css")
                break
            except (ConnectionError, OSError):
                if self.process.poll() is not None:
                    message = self.process.stderr.read().decode(errors="replace")
                    raise SystemExit(f"bench: {self.name} ended: {message}")
                # It does not listen yet.
                time.sleep(0.0005)
        if " 200" not in head.splitlines()[0]:
            raise SystemExit(f"bench: {self.name}: {head}")
        tag = re.search(r"(?im)^etag: *(.*?)\r?$", head)
        self.tag = tag.group(1) if tag else None
        self.add("first", (at - began) * 1000)
        self.add("idle", self.memory())

    def add(self, what, value):
        self.results.setdefault(what, []).append(value)

    def memory(self):
        """Returns the memory of the server and its workers in MiB: of pages that they share, each has its part."""
        pids = [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        total = 0
        for pid in pids + [int(pid) for pid in children]:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"(?m)^Pss: +(\d+)", text).group(1))
        return total / 1024

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()

    def load(self, script, seconds, connections):
        """Runs wrk. Returns requests and bytes per second."""
        argv = ["wrk", "-t2", "--timeout", "30s", f"-c{connections}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{self.port}/"]
        out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        done = re.search(r"result (\d+) (\d+) (\d+) (\d+)", out)
        requests, size, micros, wrong = map(int, done.groups())
        if wrong:
            raise SystemExit(f"bench: {self.name}: {wrong} wrong responses:\n{out}")
        return requests / micros * 1e6, size / micros * 1e6


def script(path, body, header, status):
    """Writes a script for wrk: paths in turn, one header, and the status that each response must have."""
    path.write_text(f"""
local n = 0
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init() other = 0 end
function request() n = n + 1; return wrk.format("GET", {body}, {{{header}}}) end
function response(status) if status ~= {status} then other = other + 1 end end
function done(summary)
  local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("other") end
  print(string.format("result %d %d %d %d", summary.requests, summary.bytes, summary.duration, wrong))
end
""")
    return str(path)


def make(root, files, large):
    root.mkdir(parents=True)
    for number in range(files):
        text = f"/* {number} */\n" + "".join(f".c{number}-{n} {{ color: #{n:06x}; }}\n" for n in range(80))
        (root / f"{number}.css").write_text(text[:2048])
    block = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(1 << 15))
    with open(root / "large.bin", "wb") as out:
        for _ in range(large):
            out.write(block)


def servers(work, root, program):
    store = work / "genstore"
    found = [Server("genstore", lambda port: [program, "--store", str(store), "serve", "--addr", str(port)], work)]
    missing = []
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if Path(nginx).exists():
        def start_nginx(port):
            conf = work / "nginx.conf"
            user = "user root;\n" if os.geteuid() == 0 else ""
            conf.write_text(user + NGINX.format(work=work, port=port, root=root))
            return [nginx, "-p", str(work), "-c", str(conf), "-e", str(work / "nginx.log"), "-g", "daemon off;"]
        found.append(Server("nginx", start_nginx, work))
    else:
        missing.append("nginx")
    caddy = shutil.which("caddy")
    if caddy:
        def start_caddy(port):
            conf = work / "Caddyfile"
            conf.write_text(CADDY.format(port=port, root=root))
            return [caddy, "run", "--adapter", "caddyfile", "--config", str(conf)]
        found.append(Server("caddy", start_caddy, work))
    else:
        missing.append("caddy")
    return found, missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--large-mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--genstore", default="target/release/genstore")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("bench: wrk makes the load: apt-get install wrk")
    work = WORK.resolve()
    shutil.rmtree(work, ignore_errors=True)
    root = work / "files"
    make(root, args.files, args.large_mib)
    program = str(Path(args.genstore).resolve())
    publish = [program, "--no-project", "--store", str(work / "genstore"), "publish", "-q", str(root)]
    subprocess.run(publish, check=True)
    found, missing = servers(work, root, program)
    for _ in range(args.rounds):
        for server in found:
            server.start()
            try:
                path = f'"/" .. (n % {args.files}) .. ".css"'
                small = script(work / "small.lua", path, "", 200)
                server.add("small", server.load(small, args.seconds, args.connections)[0])
                if server.tag:
                    header = f"['If-None-Match'] = '{server.tag}'"
                    same = script(work / "same.lua", '"/0.css"', header, 304)
                    server.add("304", server.load(same, args.seconds, args.connections)[0])
                large = script(work / "large.lua", '"/large.bin"', "", 200)
                server.add("large", server.load(large, args.seconds, min(8, args.connections))[1] / (1 << 20))
                server.add("after", server.memory())
            finally:
                server.end()
    names = [("small", "small files, requests/s", 0), ("304", "304, requests/s", 0), ("large", "large file, MiB/s", 0),
             ("first", "first byte after the start, ms", 1), ("idle", "memory at rest, MiB", 1),
             ("after", "memory after the load, MiB", 1)]
    print("| | " + " | ".join(server.name for server in found) + " |")
    print("|---|" + "---:|" * len(found))
    for key, name, digits in names:
        cells = [f"{statistics.median(s.results[key]):,.{digits}f}" if key in s.results else "-" for s in found]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if missing:
        print(f"\nnot installed: {', '.join(missing)}", file=sys.stderr)


if __name__ == "__main__":
    main()
