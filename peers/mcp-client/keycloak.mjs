// Administers Keycloak, which is asked as its user `admin`, by the password in PEERS_SECRET.
//
//   node keycloak.mjs URL make '["http://127.0.0.1:8000", ...]' '{"viewer": ["vsphere-viewers"], ...}'
//   node keycloak.mjs URL leave USER GROUP
//   node keycloak.mjs URL disable USER
//
// `make` makes the realm `peers` with these users and their groups, and two clients of servers with these URLs: `mcvsphere`, which
// is the login proxy, and `direct`, which anyone is, and whose access tokens are for the servers.

import { password } from "./browser.mjs";

const [url, act, ...given] = process.argv.slice(2);
const secret = process.env.PEERS_SECRET;
let token;

async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${url}${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return method === "GET" ? answer.json() : undefined;
}

async function logIn() {
  const form = { grant_type: "password", client_id: "admin-cli", username: "admin", password: secret };
  const answer = await fetch(`${url}/realms/master/protocol/openid-connect/token`, { method: "POST", body: new URLSearchParams(form) });
  ({ access_token: token } = await answer.json());
}

const mapper = (name, kind, config) => ({
  name,
  protocol: "openid-connect",
  protocolMapper: kind,
  config: { "id.token.claim": "true", "access.token.claim": "true", "userinfo.token.claim": "true", ...config },
});

// Groups come with their whole path.
const groupsClaim = mapper("groups", "oidc-group-membership-mapper", { "claim.name": "groups", "full.path": "true" });

function make([bases, groups]) {
  const all = [...new Set(Object.values(groups).flat())];
  const user = (name) => ({
    username: name,
    enabled: true,
    email: `${name}@corp.example`,
    firstName: name,
    lastName: name,
    credentials: [{ type: "password", value: password }],
    realmRoles: ["default-roles-peers"],
    groups: groups[name].map((group) => `/${group}`),
  });
  const client = { protocol: "openid-connect", enabled: true, standardFlowEnabled: true };
  const audience = (base) =>
    mapper(base, "oidc-audience-mapper", { "included.custom.audience": `${base}/mcp`, "id.token.claim": "false" });
  return ask("POST", "/admin/realms", {
    realm: "peers",
    enabled: true,
    sslRequired: "none",
    groups: all.map((name) => ({ name })),
    users: Object.keys(groups).map(user),
    clients: [
      {
        ...client,
        clientId: "mcvsphere",
        secret,
        redirectUris: bases.map((base) => `${base}/auth/callback`),
        protocolMappers: [groupsClaim],
      },
      {
        ...client,
        clientId: "direct",
        publicClient: true,
        redirectUris: ["http://127.0.0.1:7777/callback"],
        protocolMappers: [groupsClaim, ...bases.map(audience)],
      },
    ],
  });
}

async function userNamed(name) {
  const [user] = await ask("GET", `/admin/realms/peers/users?exact=true&username=${name}`);
  return user;
}

await logIn();
if (act === "make") {
  await make(given.map((text) => JSON.parse(text)));
} else if (act === "leave") {
  const [name, group] = given;
  const { id } = await userNamed(name);
  const groups = await ask("GET", `/admin/realms/peers/users/${id}/groups`);
  const { id: of } = groups.find((one) => one.name === group);
  await ask("DELETE", `/admin/realms/peers/users/${id}/groups/${of}`);
} else {
  const user = await userNamed(given[0]);
  await ask("PUT", `/admin/realms/peers/users/${user.id}`, { ...user, enabled: false });
}
