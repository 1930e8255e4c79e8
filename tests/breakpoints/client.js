// A debugger, as an editor is one: sets a breakpoint at a line of a TypeScript source, through the source maps of
// what the program has loaded, and prints the value of an expression there once it is hit.
//
// node --experimental-websocket client.js PORT SOURCE LINE EXPRESSION
"use strict";

const { readFileSync } = require("node:fs");
const { fileURLToPath, pathToFileURL } = require("node:url");

const [port, source, line, expression] = process.argv.slice(2);
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Reads the numbers of one segment of a source map. */
function numbers(segment) {
  const all = [];
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if ((bits & 32) === 0) {
      all.push(value & 1 ? -(value >> 1) : value >> 1);
      [value, shift] = [0, 0];
    }
  }
  return all;
}

/** Finds where a line of a source is in what was made of it. */
function position(map, index, wanted) {
  let [from, at] = [0, 0];
  for (const [lineNumber, segments] of map.mappings.split(";").entries()) {
    let columnNumber = 0;
    for (const segment of segments.split(",").filter(Boolean)) {
      const [column, file = 0, row = 0] = numbers(segment);
      columnNumber += column;
      from += file;
      at += row;
      if (from === index && at === wanted) return { lineNumber, columnNumber };
    }
  }
}

/** Finds the source among those of a script, and the place of its line. */
function place(script) {
  if (!script.sourceMapURL || !script.url.startsWith("file:")) return;
  const file = new URL(script.sourceMapURL, script.url);
  const map = JSON.parse(readFileSync(fileURLToPath(file), "utf8"));
  const wanted = pathToFileURL(source).href;
  const index = map.sources.findIndex((name) => new URL((map.sourceRoot ?? "") + name, file).href === wanted);
  return index < 0 ? undefined : position(map, index, Number(line) - 1);
}

/** Waits until the program has its inspector open. */
async function target() {
  for (;;) {
    try {
      const [first] = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      return first.webSocketDebuggerUrl;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Longer than any start of the program. */
const PATIENCE_MS = 60_000;

async function main() {
  setTimeout(() => {
    process.stderr.write("it was not hit\n");
    process.exit(1);
  }, PATIENCE_MS);
  const socket = new WebSocket(await target());
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
  const answers = new Map();
  const ask = (method, params = {}) =>
    new Promise((resolve) => {
      answers.set(answers.size + 1, resolve);
      socket.send(JSON.stringify({ id: answers.size, method, params }));
    });
  const events = {
    async "Debugger.scriptParsed"(script) {
      const at = place(script);
      if (at) await ask("Debugger.setBreakpoint", { location: { scriptId: script.scriptId, ...at } });
    },
    async "Debugger.paused"({ callFrames: [{ callFrameId }] }) {
      const { result } = await ask("Debugger.evaluateOnCallFrame", { callFrameId, expression });
      process.stdout.write(`${result.value}\n`);
      await ask("Debugger.resume");
      process.exit(0);
    },
  };
  socket.onmessage = ({ data }) => {
    const { id, result, method, params } = JSON.parse(data);
    if (id) answers.get(id)(result);
    else events[method]?.(params);
  };
  socket.onclose = () => process.exit(1);
  await ask("Debugger.enable");
}

main();
