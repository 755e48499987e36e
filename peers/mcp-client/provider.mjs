// A provider of identities (oidc-provider), until it is killed.
//
//   node provider.mjs PORT BASE '{"viewer": ["vsphere-viewers"], ...}'
//
// BASE is the URL of the server that users log in at, which is the client `mcvsphere`, whose secret is in PEERS_SECRET. The users
// are in the groups named. Access tokens are for BASE/mcp where they are asked for by `resource`; only the provider itself can read
// those of the client `opaque`.

import Provider from "oidc-provider";

const [port, base, given] = process.argv.slice(2);
const groups = JSON.parse(given);
const issuer = `http://127.0.0.1:${port}`;

const grants = ["authorization_code", "refresh_token"];
const anyone = {
  token_endpoint_auth_method: "none",
  application_type: "native",
  redirect_uris: ["http://127.0.0.1:7777/callback"],
  grant_types: grants,
};
const claims = (id) => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] });

new Provider(issuer, {
  clients: [
    {
      client_id: "mcvsphere",
      client_secret: process.env.PEERS_SECRET,
      redirect_uris: [`${base}/auth/callback`],
      grant_types: grants,
    },
    { client_id: "direct", ...anyone },
    { client_id: "opaque", ...anyone },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  conformIdTokenClaims: false,
  findAccount: async (_, id) => ({ accountId: id, claims: async () => claims(id) }),
  extraTokenClaims: async (_, token) => ({ groups: groups[token.accountId] ?? [] }),
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  features: {
    revocation: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, __, oneOf) => oneOf,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, __, client) => ({
        scope: "openid profile email",
        audience: `${base}/mcp`,
        accessTokenFormat: client.clientId === "opaque" ? "opaque" : "jwt",
      }),
    },
  },
}).listen(Number(port), "127.0.0.1");
