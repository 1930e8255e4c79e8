// Measures the client: publications of an unchanged directory, each beside a plain run of the program.
//
// Usage: GENSTORE_BINARY=target/release/genstore node test/overhead.js [ROUNDS]

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

import { Genstore, findBinary } from "../index.js";

const rounds = Number(process.argv[2] ?? 100);
const directory = mkdtempSync(join(tmpdir(), "genstore-overhead-"));
mkdirSync(join(directory, "dist"));
for (let number = 0; number < 50; number += 1) {
  writeFileSync(join(directory, "dist", `${number}`), `${number}`);
}

const genstore = new Genstore({ directory });
const plain = (args) =>
  new Promise((resolve) => {
    spawn(findBinary(), args, { cwd: directory, stdio: "ignore" }).once("exit", resolve);
  });
const ways = {
  client: () => genstore.publish("dist"),
  program: () => plain(["--json", "publish", "--", "dist"]),
  start: () => plain(["current"]),
};

const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
await ways.client();
for (let round = 0; round < rounds; round += 1) {
  for (const [way, run] of Object.entries(ways)) {
    const start = performance.now();
    await run();
    times[way].push(performance.now() - start);
  }
}
rmSync(directory, { recursive: true });

const middle = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1].toFixed(2);
for (const [way, all] of Object.entries(times)) {
  console.log(`${way.padEnd(8)} ${middle(all)} ms`);
}
console.log(`client, less the program: ${middle(times.client.map((time, at) => time - times.program[at]))} ms`);
