// The programs that a person has open while working: the editor's language server, the web application in
// `next dev`, and the tests.
"use strict";

const http = require("node:http");
const path = require("node:path");
const { createInterface } = require("node:readline");
const { run } = require("./trial.js");

/** The file that the editor has open, and the place of the name whose type it shows. */
const OPEN = { file: "apps/api/open.ts", text: 'import { release } from "@example/units";\nexport { release };\n' };
const NAME = { line: 1, offset: 10 };

/** TypeScript's language server, as VS Code and Neovim run it. */
class Editor {
  constructor(workspace) {
    const server = path.join(workspace, "node_modules/typescript/lib/tsserver.js");
    this.file = path.join(workspace, OPEN.file);
    this.child = run(process.execPath, [server, "--disableAutomaticTypingAcquisition"], workspace, "pipe");
    Object.assign(this, { sent: 0, waiting: new Map() });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      if (!line.startsWith("{")) return;
      const { type, request_seq: number, body } = JSON.parse(line);
      if (type === "response") this.waiting.get(number)?.(body);
    });
    this.send("open", { file: this.file });
  }

  send(command, args) {
    const request = { seq: ++this.sent, type: "request", command, arguments: args };
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    return request.seq;
  }

  /** Tells the release that a type of the libraries names. */
  async release() {
    const body = await new Promise((resolve) => {
      this.waiting.set(this.send("quickinfo", { file: this.file, ...NAME }), resolve);
    });
    return /"(1\.0\.\d+)"/.exec(body?.displayString)?.[1];
  }
}

/** Asks a server once, over a connection of its own. */
function get(port) {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: "127.0.0.1", agent: false }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => resolve({ status: response.statusCode, text }));
      response.on("error", reject);
    });
    request.on("error", reject);
  });
}

/** The web application, in `next dev`. */
class Web {
  constructor(workspace, port) {
    const next = path.join(workspace, "node_modules/next/dist/bin/next");
    const args = [next, "dev", "--turbopack", "apps/web", "-H", "127.0.0.1", "-p", String(port)];
    Object.assign(this, { port, pages: 0, mixed: 0, failed: 0, reasons: new Set() });
    this.child = run(process.execPath, args, workspace);
  }

  /** Tells the release of the page; nothing, where there is no page yet. */
  async release() {
    const { status, text } = await get(this.port).catch(() => ({}));
    // It listens before it is ready.
    if (status === undefined) return undefined;
    this.pages++;
    const found = /data-releases="([^"]*)"/.exec(text)?.[1].split(" ");
    if (status !== 200 || !found) {
      this.failed++;
      this.reasons.add(/(?:Error|error)[^<"\\]*/.exec(text)?.[0] ?? status);
      return undefined;
    }
    if (found.length !== 3 || new Set(found).size !== 1) this.mixed++;
    return found[0];
  }
}

/** Runs the tests once. Returns whether each ran once, on this release. */
async function tested(workspace, release) {
  const jest = path.join(workspace, "node_modules/jest/bin/jest.js");
  const child = run(process.execPath, [jest, "-c", "apps/api/jest.config.js", "--json"], workspace, "ignore", { RELEASE: release });
  let [out, said] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (said += data));
  const status = await child.ended;
  if (status !== 0 || said.includes("collision")) return said;
  const { numTotalTestSuites: suites, numPassedTests: passed } = JSON.parse(out);
  return suites === 1 && passed === 1 ? undefined : `${passed} tests of ${suites} files`;
}

module.exports = { Editor, OPEN, Web, get, tested };
