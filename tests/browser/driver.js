// Drives a browser for a test: each line of stdin is a script in JSON, and each line of stdout its result.
"use strict";
const readline = require("node:readline");
const puppeteer = require("puppeteer-core");

const AsyncFunction = (async () => {}).constructor;

(async () => {
  const browser = await puppeteer.launch({
    executablePath: process.argv[2],
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const seen = { errors: [], requests: [] };
  const open = async (address) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(60000);
    page.on("console", (message) => {
      // Browsers ask for an icon that most sites of tests do not have.
      if (message.type() === "error" && !message.location().url?.endsWith("/favicon.ico")) seen.errors.push(message.text());
    });
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    page.on("request", (request) => seen.requests.push(request.url()));
    if (address) await page.goto(address, { waitUntil: "load" });
    return page;
  };
  const kept = {};
  console.log(JSON.stringify({ result: "ready" }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      const run = new AsyncFunction("open", "kept", "seen", JSON.parse(line));
      console.log(JSON.stringify({ result: (await run(open, kept, seen)) ?? null }));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error.stack || error) }));
    }
  }
  await browser.close();
})();
