// Runs an MCP server over stdio with an official client, does the steps it is told, and prints what came back. In the place of
// the server's command there may be the URL of one that runs: the client's bearer token is then in PEERS_TOKEN.
//
//   node client.mjs older|2026-07-28 COMMAND|URL '[{"name": "list_vms", "arguments": {}}, ...]'
//
// A step is one of
//   {name, arguments}          a call; with `answer: "accept"|"decline"`, what the user answers to the server's question;
//                              with `confirm: true`, by the plan token that the step before gave
//   {watch: uri}               asks to be told of changes of a resource
//   {told: uri}                waits until it was told of one
//   {read: uri}                reads a resource
// A client that is given no `answer` in any step does not say that it can ask.
//
// stdout is one JSON object: {protocol, server, instructions, tools, results, progress, questions}, with a result a step.
// The server inherits the environment, which is where its settings are.

const [lifecycle, command, given] = process.argv.slice(2);
const older = lifecycle === "older";
const steps = JSON.parse(given);
const identity = { name: "mcvsphere-peers", version: "1.0.0" };
const canAsk = steps.some((step) => step.answer);
const capabilities = canAsk ? { elicitation: { form: {} } } : {};

const progress = [];
const questions = [];
const told = [];
let answer;

function answered(request) {
  questions.push(request.params.message);
  return answer === "accept" ? { action: "accept", content: { confirm: true } } : { action: "decline" };
}

// Over HTTP, where the server is named by its URL.
function overHttp(StreamableHTTPClientTransport) {
  const headers = { Authorization: `Bearer ${process.env.PEERS_TOKEN}` };
  return new StreamableHTTPClientTransport(new URL(command), { requestInit: { headers } });
}

async function connect() {
  const isUrl = /^https?:/.test(command);
  const server = { command, args: [], env: process.env, stderr: "inherit" };
  if (older) {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const types = await import("@modelcontextprotocol/sdk/types.js");
    const client = new Client(identity, { capabilities });
    if (canAsk) client.setRequestHandler(types.ElicitRequestSchema, answered);
    client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) => void told.push(params.uri));
    const transport = isUrl ? overHttp(StreamableHTTPClientTransport) : new StdioClientTransport(server);
    // This generation tells the version that was agreed only to its transport.
    let protocol;
    const tell = transport.setProtocolVersion?.bind(transport);
    transport.setProtocolVersion = (version) => {
      protocol = version;
      tell?.(version);
    };
    await client.connect(transport);
    return { client, protocol };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  // Pinned: a server that only speaks the older lifecycle must fail here, not fall back.
  const client = new Client(identity, { capabilities, versionNegotiation: { mode: { pin: lifecycle } } });
  if (canAsk) client.setRequestHandler("elicitation/create", answered);
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => void told.push(params.uri));
  await client.connect(isUrl ? overHttp(StreamableHTTPClientTransport) : new StdioClientTransport(server));
  return { client, protocol: client.getNegotiatedProtocolVersion() };
}

async function call(client, step, before) {
  answer = step.answer;
  const token = step.confirm ? { confirm: before.structuredContent.plan_token } : {};
  const request = { name: step.name, arguments: { ...step.arguments, ...token } };
  const options = { onprogress: (made) => progress.push({ tool: step.name, ...made }) };
  return older ? client.callTool(request, undefined, options) : client.callTool(request, options);
}

async function untilTold(uri) {
  const end = Date.now() + 10_000;
  while (!told.includes(uri)) {
    if (Date.now() > end) throw new Error(`not told of ${uri} within 10 s`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
  return { told };
}

async function take(client, step, before) {
  if (step.name) return call(client, step, before);
  if (step.read) return client.readResource({ uri: step.read });
  if (step.told) return untilTold(step.told);
  const uri = step.watch;
  told.length = 0;
  if (older) return client.subscribeResource({ uri });
  const { honoredFilter } = await client.listen({ resourceSubscriptions: [uri] });
  return honoredFilter;
}

const { client, protocol } = await connect();
try {
  const { tools } = await client.listTools();
  const results = [];
  for (const step of steps) results.push(await take(client, step, results.at(-1)));
  const report = {
    protocol,
    server: client.getServerVersion(),
    instructions: client.getInstructions(),
    tools,
    results,
    progress,
    questions,
  };
  process.stdout.write(JSON.stringify(report) + "\n");
} finally {
  await client.close();
}
