import { createServer } from "node:http";
import { catalog, releases } from "@example/catalog";

const server = createServer((_, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ releases: releases(), articles: catalog() }));
});

server.listen(Number(process.env["PORT"] ?? 3333), "127.0.0.1");
