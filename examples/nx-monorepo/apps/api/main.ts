import { createServer } from "node:http";
import { catalog, releases } from "@example/catalog";

const server = createServer((_, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ greeting: process.env["GREETING"], releases: releases(), articles: catalog() }));
});

// genstore holds the socket, and passes it on as descriptor 3.
const inherited = process.env["LISTEN_FDS"] === "1" && process.env["LISTEN_PID"] === String(process.pid);
server.listen(inherited ? { fd: 3 } : { port: 3333, host: "127.0.0.1" });
process.on("SIGTERM", () => server.close(() => process.exit(0)));
