// Looks at the pages of a login in Chromium, without scripts: wide and narrow, light and dark.
//
//   node pages.mjs BASE [PICTURES]
//
// BASE is the URL of a server with the login proxy, before the provider of provider.mjs. PEERS_CHROMIUM is the browser. With the
// folder PICTURES, the pages are pictured there. It fails at the first thing that is wrong; stdout names what was looked at.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [base, pictures] = process.argv.slice(2);
const endless = "Supercalifragilistic".repeat(4);
const seen = [];

// A client that waits for the answer of a login at an address of its own.
const answers = [];
const listener = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, base);
  if (pathname === "/callback") answers.push(searchParams);
  response.end("<title>The client</title>Back.");
});
await new Promise((ready) => listener.listen(0, "127.0.0.1", ready));
const local = `http://127.0.0.1:${listener.address().port}/callback`;

async function register(client_name, redirect) {
  const body = JSON.stringify({ client_name, redirect_uris: [redirect] });
  const answer = await fetch(`${base}/register`, { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.equal(answer.status, 201, await answer.clone().text());
  const { client_id } = await answer.json();
  const asked = { response_type: "code", client_id, redirect_uri: redirect, code_challenge: "c".repeat(43) };
  return `${base}/authorize?${new URLSearchParams({ ...asked, code_challenge_method: "S256", state: "s" })}`;
}

const addresses = {
  known: await register("Claude Code", local),
  application: await register("Cursor", "cursor://anysphere.cursor-mcp/oauth/callback"),
  endless: await register(endless, `https://${"a".repeat(60)}.example/${"b".repeat(500)}`),
  markup: await register("<b onclick=x>\"Bold\"</b>", local),
};

const browser = await chromium.launch({ executablePath: process.env.PEERS_CHROMIUM, args: ["--no-sandbox"] });

// A page that says what it is denied, and what it loads from elsewhere.
async function opened(width, colorScheme) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width, height: 720 }, colorScheme });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    // The provider's pages are its own affair, and that a page has the status of an error is as it should be.
    const isOurs = page.url().startsWith(base) && message.location().url.startsWith(base);
    if (isOurs && !/responded with a status of/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const address = request.url();
    if (address.startsWith(base) && request.resourceType() !== "document") complaints.push(`loads ${address}`);
  });
  page.on("response", (response) => {
    const policy = response.headers()["content-security-policy"];
    if (response.url().startsWith(base) && response.headers()["content-type"]?.startsWith("text/html"))
      assert.match(policy ?? "", /default-src 'none'; style-src 'sha256-/, response.url());
  });
  return { context, page, complaints };
}

// Everything is inside the page, has its style, and can be read.
async function look({ page, complaints }, name, colorScheme) {
  assert.deepEqual(complaints, [], name);
  const found = await page.evaluate(() => {
    const wide = [...document.querySelectorAll("body *")].filter((element) => {
      const { left, right } = element.getBoundingClientRect();
      return left < 0 || right > innerWidth || element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline";
    });
    const luminance = (color) => {
      const [r, g, b] = color.match(/[\d.]+/g).map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const { backgroundColor } = getComputedStyle(at);
        if (!/, 0\)$|transparent/.test(backgroundColor)) return backgroundColor;
      }
      return "rgb(255, 255, 255)";
    };
    const contrast = (element) => {
      const [one, other] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => a - b);
      return (other + 0.05) / (one + 0.05);
    };
    const texts = [...document.querySelectorAll("p, h1, dt, dd, small, button, a")];
    const faint = texts.filter((element) => element.textContent && contrast(element) < 4.5);
    const named = (elements) => elements.map((element) => `${element.tagName} ${element.textContent.slice(0, 40)}`);
    return {
      wide: named(wide),
      faint: named(faint),
      scrolls: document.documentElement.scrollWidth > innerWidth,
      ground: luminance(getComputedStyle(document.body).backgroundColor),
      headings: document.querySelectorAll("h1").length,
      language: document.documentElement.lang,
    };
  });
  assert.deepEqual({ ...found, ground: 0 }, { wide: [], faint: [], scrolls: false, ground: 0, headings: 1, language: "en" }, name);
  assert.equal(found.ground < 0.5, colorScheme === "dark", `${name}: the ground in ${colorScheme}`);
  seen.push(name);
}

async function picture(page, name) {
  if (pictures && (name.startsWith("consent") || !name.endsWith("-dark"))) await page.screenshot({ path: `${pictures}/${name}.png` });
}

// The provider's own pages, as a user fills them in.
async function logInAtProvider(page, user) {
  await page.fill("input[name=login]", user);
  await page.fill("input[name=password]", "any");
  await page.click("button[type=submit]");
  await page.click("button[type=submit]");
}

async function consent(opening, address, decision) {
  await opening.page.goto(address);
  await opening.page.click(`button[value=${decision}]`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [320, 620, 1280]) {
    const at = `${width} ${colorScheme}`;
    const suffix = colorScheme === "dark" ? "-dark" : "";
    const opening = await opened(width, colorScheme);
    const { context, page } = opening;
    for (const [name, address] of Object.entries(addresses)) {
      await page.goto(address);
      await look(opening, `consent ${name} ${at}`, colorScheme);
      if (name === "known" && width === 620) await picture(page, `consent${suffix}`);
    }
    assert.equal(await page.locator("main b").count(), 0, "a name is text");
    const id = "client_id=mcv_client_unknown";
    await page.goto(`${base}/authorize?${id}`);
    await look(opening, `client not known ${at}`, colorScheme);
    if (width === 620) await picture(page, `client-not-known${suffix}`);
    await page.goto(`${base}/auth/callback?state=none`);
    await look(opening, `login not known ${at}`, colorScheme);

    await consent(opening, addresses.known, "deny");
    assert.equal(await page.title(), "The client");
    assert.equal(answers.pop().get("error"), "access_denied");

    await consent(opening, addresses.known, "allow");
    await logInAtProvider(page, "stranger");
    await look(opening, `no permission ${at}`, colorScheme);
    if (width === 620) await picture(page, `no-permission${suffix}`);
    await page.click("a.button");
    assert.equal(answers.pop().get("error"), "access_denied");
    await context.close();

    // A browser without a window waits for ever for an answer to whether it should open the application.
    const denied = await opened(width, colorScheme);
    await consent(denied, addresses.application, "deny");
    await look(denied, `not logged in ${at}`, colorScheme);
    await denied.context.close();

    const other = await opened(width, colorScheme);
    await consent(other, addresses.known, "allow");
    await logInAtProvider(other.page, "operator");
    assert.equal(await other.page.title(), "The client");
    const answer = answers.pop();
    assert.ok(answer.get("code") && answer.get("state") === "s" && answer.get("iss") === base, String(answer));
    // The provider knows the user now, and asks for consent to nothing new.
    await consent(other, addresses.application, "allow");
    await look(other, `logged in, to an application ${at}`, colorScheme);
    const way = await other.page.getAttribute("a.button", "href");
    assert.match(way, /^cursor:\/\/anysphere\.cursor-mcp\/oauth\/callback\?code=[\w-]+&state=s&iss=/);
    assert.equal(await other.page.getAttribute("meta[http-equiv=refresh]", "content"), `0;url=${way}`);
    if (width === 620) await picture(other.page, `logged-in${suffix}`);
    await other.context.close();
  }
}

await browser.close();
listener.close();
process.stdout.write(JSON.stringify(seen));
