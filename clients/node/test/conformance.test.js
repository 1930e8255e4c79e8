// The list of `../../conformance.json`, step by step.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";

import { Genstore, GenstoreError } from "../index.js";

const list = JSON.parse(readFileSync(new URL("../../conformance.json", import.meta.url), "utf8"));

for (const { name, steps } of list.cases) {
  test(name, async () => {
    const dir = mkdtempSync(join(process.env.GENSTORE_TEST_DIR ?? tmpdir(), "client-"));
    try {
      const run = new Run(dir);
      for (const step of steps) {
        await run.step(step);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
}

class Run {
  output = [];
  results = {};

  constructor(dir) {
    this.dir = dir;
    this.store = new Genstore({ directory: dir, onOutput: (line) => this.output.push(line) });
  }

  /** Replaces `{NAME.FIELD}` in every text of a value. */
  filled(value) {
    const fill = (text) => text.replace(/\{(\w+)\.(\w+)\}/g, (_, name, field) => this.results[name][field]);
    return JSON.parse(JSON.stringify(value), (_, inner) => (typeof inner === "string" ? fill(inner) : inner));
  }

  async step(step) {
    for (const [path, content] of Object.entries(step.write ?? {})) {
      const file = resolve(this.dir, this.filled(path));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    for (const [path, content] of Object.entries(step.read ?? {})) {
      assert.equal(readFileSync(join(this.dir, path), "utf8"), content);
    }
    if (!step.call) return;
    let result;
    try {
      result = await this[step.call](step, step.options);
    } catch (error) {
      assert(error instanceof GenstoreError && step.fails, error);
      assert(error.message && error.hint, "a message and a hint");
      return has({ ...error.document, code: error.code, exit: error.exit }, step.fails, step.call);
    }
    assert(!step.fails, `${step.call} should fail: ${JSON.stringify(step.fails)}`);
    if (step.gives) has(result, this.filled(step.gives), step.call);
    if (step.as) this.results[step.as] = result;
  }

  publish({ directory }, options) {
    return this.store.publish(directory, options);
  }

  publishPlan({ entries }, options) {
    const read = ({ bytes, ...entry }) => (bytes ? { ...entry, bytes: Buffer.from(bytes, "base64") } : entry);
    return this.store.publishPlan(entries.map(read), options);
  }

  /** A generator of entries that fails in the middle. */
  async brokenPlan() {
    const entries = function* () {
      yield { path: "a", text: "1" };
      throw new RangeError("no more");
    };
    await assert.rejects(this.store.publishPlan(entries()), RangeError);
  }

  begin(_, options) {
    return this.store.begin(options);
  }

  commit({ stage }, options) {
    return this.results[stage].commit(options);
  }

  abort({ stage }) {
    return this.results[stage].abort();
  }

  current() {
    return this.store.current();
  }

  show() {
    return this.store.json("genstore.show/1", ["show"]);
  }

  rollback(_, options) {
    return this.store.rollback(options);
  }

  wait(_, options) {
    return this.store.wait(options);
  }

  async interruptedWait() {
    const ending = new AbortController();
    const wait = this.store.wait({ signal: ending.signal });
    ending.abort();
    return wait;
  }

  /** Returns the last of the expected events. */
  async watch({ events, output }, options) {
    const missing = [...events];
    for await (const event of this.store.watch(options)) {
      if (event.event === missing[0]) missing.shift();
      if (missing.length === 0) {
        assert(this.output.some((line) => line.includes(output)), `${this.output}`);
        return event;
      }
    }
    assert.fail(`missing: ${missing}`);
  }
}

/** Asserts that a value has these parts. Lists have the same length. */
function has(value, expected, place) {
  if (typeof expected !== "object" || expected === null) {
    return assert.equal(value, expected, place);
  }
  assert(typeof value === "object" && value !== null, `${place}: ${value}`);
  if (Array.isArray(expected)) assert.equal(value.length, expected.length, `${place}: length`);
  for (const [name, inner] of Object.entries(expected)) {
    has(value[name], inner, `${place}.${name}`);
  }
}
