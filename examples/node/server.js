// Answers every request with what it was: method, path, headers and body. No dependencies.
const http = require("node:http");

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    response.setHeader("Content-Type", "application/json");
    response.end(
      JSON.stringify({
        runtime: "node",
        method: request.method,
        path: request.url,
        headers: request.headers,
        body: Buffer.concat(parts).toString(),
      }),
    );
  });
});

process.on("SIGTERM", () => process.exit(0));
server.listen(Number(process.env.PORT), process.env.HOST ?? "0.0.0.0", () => {
  console.log("listening on", process.env.PORT);
});
