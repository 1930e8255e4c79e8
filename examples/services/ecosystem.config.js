// PM2 runs the server of the current generation. It resolves `cwd` when it starts a process, so a reload starts the
// server on the generation that is current then.
module.exports = { apps: [{ name: "site", cwd: "/srv/site/genstore/current", script: "./server.js" }] };
