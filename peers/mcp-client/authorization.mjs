// Runs what the MCP conformance suite requires of an authorization server.
//
//   node authorization.mjs ISSUER RESOURCE USER PORT RESULTS
//
// A client is registered at ISSUER, and the suite runs with it; a scripted browser logs USER in and hands the suite its code at PORT.
// The suite writes its results into the folder RESULTS, and its words go to stderr.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { browse } from "./browser.mjs";

const [issuer, resource, user, port, results] = process.argv.slice(2);
const redirect = `http://127.0.0.1:${port}/callback`;
const suite = new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url).pathname;

const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
const registered = await fetch(metadata.registration_endpoint, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ client_name: "conformance", redirect_uris: [redirect], token_endpoint_auth_method: "none" }),
});
const { client_id } = await registered.json();

const options = { "--url": issuer, "--client-id": client_id, "--resource": resource, "--port": port, "--output-dir": results };
const args = [suite, "authorization", ...Object.entries(options).flat()];
const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
const ended = new Promise((resolve) => child.on("close", resolve));
for await (const line of createInterface(child.stdout)) {
  console.error(line);
  if (line.startsWith(metadata.authorization_endpoint)) await fetch(await browse(line, user, redirect));
}
process.exitCode = await ended;
