// Runs an MCP server over stdio with an official client, makes the calls it is told, and prints what came back.
//
//   node client.mjs older|2026-07-28 COMMAND '[{"name": "list_vms", "arguments": {}}, ...]'
//
// stdout is one JSON object: {protocol, server, instructions, tools, results, progress}. The server inherits the
// environment, which is where its settings are.

const [lifecycle, command, calls] = process.argv.slice(2);
const identity = { name: "mcvsphere-peers", version: "1.0.0" };

async function connect() {
  const server = { command, args: [], env: process.env, stderr: "inherit" };
  if (lifecycle === "older") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const client = new Client(identity);
    const transport = new StdioClientTransport(server);
    // This generation tells the version that was agreed only to its transport.
    let protocol;
    transport.setProtocolVersion = (version) => (protocol = version);
    await client.connect(transport);
    return { client, protocol };
  }
  const { Client } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  // Pinned: a server that only speaks the older lifecycle must fail here, not fall back.
  const client = new Client(identity, { versionNegotiation: { mode: { pin: lifecycle } } });
  await client.connect(new StdioClientTransport(server));
  return { client, protocol: client.getNegotiatedProtocolVersion() };
}

async function call(client, request, progress) {
  const options = { onprogress: (step) => progress.push({ tool: request.name, ...step }) };
  return lifecycle === "older"
    ? client.callTool(request, undefined, options)
    : client.callTool(request, options);
}

const { client, protocol } = await connect();
try {
  const { tools } = await client.listTools();
  const progress = [];
  const results = [];
  for (const request of JSON.parse(calls)) {
    results.push(await call(client, request, progress));
  }
  const report = {
    protocol,
    server: client.getServerVersion(),
    instructions: client.getInstructions(),
    tools,
    results,
    progress,
  };
  process.stdout.write(JSON.stringify(report) + "\n");
} finally {
  await client.close();
}
