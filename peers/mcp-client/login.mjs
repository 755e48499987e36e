// Logs users in at mcvsphere over HTTP, with the official MCP client and an independent provider of identities (oidc-provider).
//
//   node login.mjs proxy|direct COMMAND '{"viewer": ["vsphere-viewers"], ...}'
//
// COMMAND is mcvsphere, which is started with the settings that it needs. For each user, who is in the groups named, the client
// finds the provider, registers (proxy) or is registered (direct), and is sent to it; a scripted browser follows, fills in the
// forms and comes back. stdout is one JSON object: for each user {tools, refreshed} or {refused}.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import Provider from "oidc-provider";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError, refreshAuthorization } from "@modelcontextprotocol/sdk/client/auth.js";

const [mode, command, given] = process.argv.slice(2);
const groups = JSON.parse(given);
const secret = "a client secret of the peers, long enough";
const redirect = "http://127.0.0.1:7777/callback";

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const [idpPort, port] = [await freePort(), await freePort()];
const issuer = `http://127.0.0.1:${idpPort}`;
const base = `http://127.0.0.1:${port}`;
const resource = `${base}/mcp`;

// What the provider says on stdout would be no JSON.
console.info = console.warn = console.log = (...words) => console.error(...words);

function provider() {
  const claims = async (id) => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] });
  const oidc = new Provider(issuer, {
    clients: [
      {
        client_id: "mcvsphere",
        client_secret: secret,
        redirect_uris: [`${base}/auth/callback`],
        grant_types: ["authorization_code", "refresh_token"],
      },
      {
        client_id: "direct",
        token_endpoint_auth_method: "none",
        application_type: "native",
        redirect_uris: [redirect],
        grant_types: ["authorization_code", "refresh_token"],
      },
    ],
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
    conformIdTokenClaims: false,
    findAccount: async (_, id) => ({ accountId: id, claims: () => claims(id) }),
    extraTokenClaims: async (_, token) => ({ groups: groups[token.accountId] ?? [] }),
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    features: {
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_, __, oneOf) => oneOf,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: "openid profile email", audience: resource, accessTokenFormat: "jwt" }),
      },
    },
  });
  return new Promise((resolve) => {
    const server = oidc.listen(idpPort, "127.0.0.1", () => resolve(server));
  });
}

function mcvsphere() {
  const settings = {
    MCP_TRANSPORT: "streamable-http",
    MCP_PORT: String(port),
    OAUTH_ENABLED: "true",
    OAUTH_MODE: mode,
    OAUTH_ISSUER_URL: issuer,
    OAUTH_BASE_URL: base,
    OAUTH_CLIENT_ID: "mcvsphere",
    OAUTH_CLIENT_SECRET: secret,
  };
  return spawn(command, [], { env: { ...process.env, ...settings }, stdio: ["ignore", 2, 2] });
}

async function untilItAnswers(child) {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`mcvsphere ended with ${child.exitCode}`);
    try {
      await fetch(`${base}/healthz`);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error("mcvsphere does not answer");
}

const unescaped = (text) => text.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// A browser that keeps cookies for each origin, follows redirects and fills in what forms ask for, until it is sent to the client.
async function browse(url, user) {
  const jars = new Map();
  let request = { url: String(url), method: "GET" };
  for (let steps = 0; steps < 30; steps++) {
    if (request.url.startsWith(redirect)) return new URL(request.url).searchParams;
    const { origin } = new URL(request.url);
    const jar = jars.get(origin) ?? new Map();
    jars.set(origin, jar);
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
    if (request.method === "POST") Object.assign(headers, { origin, "content-type": "application/x-www-form-urlencoded" });
    const answer = await fetch(request.url, { method: request.method, headers, body: request.body, redirect: "manual" });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
      jar.set(name, value);
    }
    const location = answer.headers.get("location");
    if (location) {
      request = { url: String(new URL(location, request.url)), method: "GET" };
      continue;
    }
    const html = await answer.text();
    const form = html.match(/<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/);
    if (!form) {
      const back = html.match(/href="([^"]*error=[^"]*)"/);
      if (back) return new URL(unescaped(back[1])).searchParams;
      throw new Error(`no form at ${request.url} (${answer.status}): ${html}`);
    }
    const body = new URLSearchParams();
    for (const [input] of form[2].matchAll(/<(input|button)[^>]*>/g)) {
      const attribute = (name) => unescaped(input.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1] ?? "");
      if (!attribute("name") || attribute("value") === "deny") continue;
      const filled = { login: user, password: "any" }[attribute("name")];
      body.set(attribute("name"), filled ?? attribute("value"));
    }
    request = { url: String(new URL(unescaped(form[1]), request.url)), method: "POST", body };
  }
  throw new Error("the login does not end");
}

// What the official client keeps, and where it sends the user.
class Store {
  redirectUrl = redirect;
  clientMetadata = {
    client_name: "peers",
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  state = () => "the state of the client";
  clientInformation = () => this.client ?? (mode === "direct" ? { client_id: "direct" } : undefined);
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = (tokens) => void (this.kept = tokens);
  redirectToAuthorization = (url) => void (this.url = url);
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
}

async function listed(store) {
  const client = new Client({ name: "mcvsphere-peers", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { authProvider: store }));
  const { tools } = await client.listTools();
  await client.close();
  return tools.map((tool) => tool.name);
}

async function logIn(user) {
  const store = new Store();
  const transport = new StreamableHTTPClientTransport(new URL(resource), { authProvider: store });
  try {
    await new Client({ name: "mcvsphere-peers", version: "1.0.0" }).connect(transport);
    throw new Error("the client was let in without a login");
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  const answer = await browse(store.url, user);
  if (answer.get("error")) return { refused: answer.get("error") };
  if (answer.get("state") !== "the state of the client") throw new Error("the answer has another state");
  await transport.finishAuth(answer.get("code"));
  const tools = await listed(store);
  if (mode === "direct") return { tools };
  const metadata = await (await fetch(`${base}/.well-known/oauth-authorization-server`)).json();
  const refreshed = await refreshAuthorization(base, {
    metadata,
    clientInformation: store.client,
    refreshToken: store.kept.refresh_token,
    resource: new URL(resource),
  });
  store.kept = refreshed;
  return { tools, refreshed: (await listed(store)).length === tools.length };
}

const idp = await provider();
const child = mcvsphere();
const result = {};
try {
  await untilItAnswers(child);
  for (const user of Object.keys(groups)) result[user] = await logIn(user);
} finally {
  child.kill();
  idp.close();
  idp.closeAllConnections();
}
process.stdout.write(JSON.stringify(result));
