// A browser for logins: keeps cookies for each origin, follows redirects and fills in what forms ask for.
//
//   node browser.mjs URL USER REDIRECT
//
// begins at URL, logs USER in, and prints the address below REDIRECT that it is sent to at last, which it does not open.

import { fileURLToPath } from "node:url";

// The password of every user at every provider.
export const password = "a password of the peers";

const unescaped = (text) =>
  text.replaceAll("&quot;", '"').replaceAll("&#34;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// The last page without a form that leads on may have a link back to the client, which tells it of an error.
const wayBack = (html) => html.match(/href="([^"]*error=[^"]*)"/)?.[1];

const attribute = (tag, name) => {
  const [, quoted, bare] = tag.match(new RegExp(`\\s${name}=(?:"([^"]*)"|([^\\s">]+))`)) ?? [];
  const value = quoted ?? bare;
  return value === undefined ? undefined : unescaped(value);
};

// What a user would send with this form: they log in, and agree.
function filled(inside, user) {
  const body = new URLSearchParams();
  let agreed = false;
  for (const [input] of inside.matchAll(/<(input|button)\b[^>]*>/g)) {
    const [name, value] = [attribute(input, "name"), attribute(input, "value") ?? ""];
    const isButton = input.startsWith("<button") || attribute(input, "type") === "submit";
    if (!name || (isButton && (agreed || ["deny", "refuse", "cancel", "logout", "switch"].includes(value)))) continue;
    agreed ||= isButton;
    const fields = { login: user, username: user, password };
    body.set(name, fields[name] ?? value);
  }
  return body;
}

// The address below `redirect` that the browser is sent to.
export async function browse(url, user, redirect) {
  const jars = new Map();
  let request = { url: String(url), method: "GET" };
  for (let steps = 0; steps < 30; steps++) {
    if (request.url.startsWith(redirect)) return request.url;
    const { origin } = new URL(request.url);
    const jar = jars.get(origin) ?? new Map();
    jars.set(origin, jar);
    const headers = { accept: "text/html", cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
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
    const forms = [...html.matchAll(/(<form\b[^>]*>)([\s\S]*?)<\/form>/g)];
    const form = forms.find(([, tag]) => attribute(tag, "method")?.toLowerCase() === "post");
    if (!form) {
      const back = wayBack(html);
      if (back) return unescaped(back);
      throw new Error(`no form at ${request.url} (${answer.status}): ${html}`);
    }
    const action = attribute(form[1], "action") || request.url;
    request = { url: String(new URL(action, request.url)), method: "POST", body: filled(form[2], user) };
  }
  throw new Error(`the login does not end: ${request.url}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, user, redirect] = process.argv.slice(2);
  process.stdout.write(await browse(url, user, redirect));
}
