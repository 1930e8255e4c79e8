#!/usr/bin/env node
// Runs the program, for `npx genstore` and scripts of package.json.

import { spawn } from "node:child_process";
import { constants } from "node:os";

import { findBinary } from "../binary.js";

const child = spawn(findBinary(), process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    // A terminal sends ctrl-C to the program itself, too. A second one would end it at once.
    if (signal !== "SIGINT" || !process.stdin.isTTY) {
      child.kill(signal);
    }
  });
}
child.on("error", (error) => {
  console.error(`error: cannot run genstore: ${error.message}`);
  console.error("hint: install the package of this platform, or set GENSTORE_BINARY");
  process.exit(127);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
