// Logs a user in at an MCP server over HTTP, with an official client.
//
//   node login.mjs older|2026-07-28 URL USER [CLIENT]
//
// The client finds where to log in, registers (or has the id CLIENT), and sends the user there; a scripted browser comes back with
// a code. stdout is one JSON object: {refused} where the login failed, else
//   {tools}      what the user sees
//   {reads}      what a call of list_vms says, and {refused_call} what one of power_off_vm says
//   {refreshed}  whether there are other tokens after a refresh, and {tools_after} what the user sees then
//
// The command in PEERS_MEANWHILE is run before the refresh.

import { execFileSync } from "node:child_process";
import { browse } from "./browser.mjs";

const [lifecycle, url, user, id] = process.argv.slice(2);
const redirect = "http://127.0.0.1:7777/callback";
const identity = { name: "mcvsphere-peers", version: "1.0.0" };

async function library() {
  if (lifecycle !== "older") return import("@modelcontextprotocol/client");
  const parts = ["index", "streamableHttp", "auth"].map((name) => import(`@modelcontextprotocol/sdk/client/${name}.js`));
  return Object.assign({}, ...(await Promise.all(parts)));
}
const { Client, StreamableHTTPClientTransport, UnauthorizedError, auth } = await library();
const options = lifecycle === "older" ? {} : { versionNegotiation: { mode: { pin: lifecycle } } };

// What the official client keeps, and where it sends the user.
const store = {
  redirectUrl: redirect,
  clientMetadata: {
    client_name: "peers",
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "the state of the client",
  clientInformation() {
    return this.client ?? (id && { client_id: id });
  },
  saveClientInformation(client) {
    this.client = client;
  },
  tokens() {
    return this.kept;
  },
  saveTokens(tokens) {
    this.kept = tokens;
  },
  invalidateCredentials(what) {
    if (what !== "client") delete this.kept;
  },
  redirectToAuthorization(address) {
    this.address = address;
  },
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  },
  codeVerifier() {
    return this.verifier;
  },
  saveDiscoveryState(state) {
    this.discovered = state;
  },
  discoveryState() {
    return this.discovered;
  },
};

const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: store });

async function connected() {
  const client = new Client(identity, options);
  await client.connect(transport());
  return client;
}

async function logIn() {
  const first = transport();
  try {
    await new Client(identity, options).connect(first);
    throw new Error("the client was let in without a login");
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  const answer = new URL(await browse(store.address, user, redirect)).searchParams;
  if (answer.get("error")) return { refused: answer.get("error") };
  if (answer.get("state") !== "the state of the client") throw new Error("the answer has another state");
  await first.finishAuth(lifecycle === "older" ? answer.get("code") : answer);
  const client = await connected();
  const names = async (client) => (await client.listTools()).tools.map((tool) => tool.name);
  const call = async (name, given) => (await client.callTool({ name, arguments: given })).structuredContent ?? null;
  const told = { tools: await names(client) };
  told.reads = await call("list_vms", { limit: 1 });
  told.refused_call = await call("power_off_vm", { vm: "no such VM" });
  await client.close();
  const before = store.kept;
  if (process.env.PEERS_MEANWHILE) execFileSync("sh", ["-c", process.env.PEERS_MEANWHILE], { stdio: ["ignore", 2, 2] });
  // Where the refresh is refused, the client wants to send the user to a login again.
  told.refreshed = (await auth(store, { serverUrl: url })) === "AUTHORIZED" && store.kept.access_token !== before.access_token;
  if (told.refreshed) {
    const again = await connected();
    told.tools_after = await names(again);
    await again.close();
  }
  return told;
}

process.stdout.write(JSON.stringify(await logIn()));
