// Signed updates in a tab of headless Chromium: a real fleet server, real rollouts, and what goes wrong on the way.
// SANDERLING_NODE_MODULES: where playwright-core is
import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { bundle, fleet } from "./fleet.mjs";
import { folder, root, scratch } from "./native.mjs";

const require = createRequire(join(process.env.SANDERLING_NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const LIMIT = 120_000;

/** Files that a tab asks about: the updater's sources. */
const inputs = readdirSync(join(root, "updater"), { recursive: true })
  .map((name) => join(root, "updater", name))
  .filter((file) => statSync(file).isFile())
  .sort();

let browser, site, other, readme = "";
let newcomer = () => "";

/** The page's own server: the package as sanderling/, bundles, inputs by number, and a page. */
function serve(request, response) {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
  const [, top, ...rest] = path.split("/");
  if (path === "/enrol") return response.end(`${newcomer()}\n`);
  const at = { sanderling: folder, bundles: scratch }[top];
  const file = top === "inputs" ? inputs[Number(rest[0])] : at && join(at, ...rest);
  if (!file && (path === "/" || path === "/readme/")) {
    response.writeHead(200, { "content-type": "text/html" });
    return response.end(path === "/" ? "<!doctype html><title>a tab</title>" : readme);
  }
  const found = file ?? (path.startsWith("/readme/sanderling/") ? join(folder, ...rest.slice(1)) : path === "/readme/model.sdl" ? bundle("1").file : undefined);
  if (path === "/readme/enrol") return response.end(`${newcomer()}\n`);
  if (!found || !existsSync(found)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": TYPES[extname(found)] ?? "application/octet-stream" });
  createReadStream(found).pipe(response);
}

const listening = async () => {
  const server = createServer(serve).listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  return server;
};
const origin = (server) => `http://127.0.0.1:${server.address().port}`;

before(async () => {
  [site, other] = [await listening(), await listening()];
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  for (const server of [site, other]) {
    server?.close();
    server?.closeAllConnections();
  }
});

/** A tab that can open an updater as `updater`, with its log in `lines`. */
async function tab(context, server = site) {
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(`${origin(server)}/`);
  await page.evaluate(() => {
    globalThis.lines = [];
    globalThis.code = (promise) => promise.then(() => "no error", (error) => `${error.code}: ${error.message}`);
    globalThis.open = async (options) => {
      const { Model } = await import("/sanderling/index.js");
      const { Updater } = await import("/sanderling/updater.js");
      const log = (line) => lines.push(line);
      globalThis.updater = await Updater.open({ Model, hardware: "test-tab", trialSeconds: 1, log, ...options });
      return updater.state();
    };
    let asked = 0;
    // The page's own life: it answers, and its schedule has the updater work now and then.
    globalThis.live = async (count) => {
      for (let turn = 0; turn < 10; turn += 1) {
        const file = await (await fetch(`/inputs/${asked++ % count}`)).arrayBuffer();
        await updater.classify(file);
      }
      await updater.work(300);
      return updater.state();
    };
  });
  return page;
}

const open = (page, options) => page.evaluate((options) => open(options), options);
const lines = (page) => page.evaluate(() => lines.join("\n"));

/** Lives until the state is as wanted. */
async function until(page, wanted, what) {
  const end = Date.now() + LIMIT;
  for (;;) {
    const state = await page.evaluate((count) => live(count), inputs.length);
    if (await wanted(state)) return state;
    if (Date.now() > end) assert.fail(`${what}\n${JSON.stringify(state)}\n${await lines(page)}`);
  }
}

test("a tab enrols, takes a version, refuses a broken one, leaves a bad one, and starts without its server", async (t) => {
  const [one, two] = [bundle("1"), bundle("2")];
  const server = await fleet("first", [origin(site)], ["1", "2", "3", "4"]);
  t.after(() => server.stop());
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await tab(context);
  const factory = "/bundles/magika-1.sdl";

  const start = await open(page, { enrolment: server.enrolment(), factory });
  assert.deepEqual([start.place, start.image, start.version, start.enrolled], ["factory", one.digest, "1", false]);
  await until(page, (state) => state.enrolled, "it enrols");
  assert.match(JSON.stringify(server.operator("device", "list")), new RegExp(start.device));

  const first = server.start("2", "1");
  const updated = await until(page, (state) => state.image === two.digest && state.phase === "Idle", "version 2 answers");
  assert.deepEqual([updated.model, updated.version, updated.standby], ["magika", "2", one.digest]);
  assert.match(updated.place, /^slot /);
  const held = await page.evaluate(async () => {
    const hash = await crypto.subtle.digest("SHA-256", await updater.bundle());
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  });
  assert.equal(held, two.digest);
  // The fleet has seen what it needs: both versions on the same inputs.
  await until(page, () => server.status(first).status === "completed", "the rollout is completed");
  const said = await lines(page);
  for (const event of ["Verified", "SelfTestPassed", "Activated", "Confirmed"]) assert.match(said, new RegExp(`^${event} `, "m"));

  await t.test("a second tab is told that the first has it, or waits", async () => {
    const second = await tab(context);
    assert.match(await second.evaluate(() => code(open({}))), /^Busy: another tab or worker holds the updater 'default'/);
    const waiting = second.evaluate(() => open({ wait: true }));
    await second.waitForTimeout(500);
    assert.equal(await second.evaluate(() => typeof updater), "undefined");
    await page.evaluate(() => updater.close());
    assert.equal((await waiting).image, two.digest);
    assert.match(await page.evaluate(() => code(updater.work())), /^Closed: /);
    // A tab that is closed without a word gives it free, too.
    await second.close();
    assert.equal((await open(page, { factory })).image, two.digest);
  });

  await t.test("a version whose golden vectors fail is refused", async () => {
    const broken = server.start("3", "2");
    await until(page, async () => /^SelfTestFailed/m.test(await lines(page)), "version 3 is refused");
    assert.match(await lines(page), /SelfTestFailed .*golden vector/);
    const state = await until(page, () => !["running", "paused"].includes(server.status(broken).status), "the rollout is stopped");
    assert.deepEqual([state.image, state.phase], [two.digest, "Idle"]);
  });

  await t.test("a version that answers wrong is left for the one before", async () => {
    const bad = server.start("4", "2");
    await until(page, (state) => state.image === bundle("4").digest, "version 4 is on trial");
    const state = await until(page, (state) => state.image === two.digest, "version 2 answers again");
    assert.equal(state.version, "2");
    assert.match(JSON.stringify(server.status(bad)), /differ/);
  });

  await t.test("the tab starts without its server", async () => {
    await server.stop();
    await page.reload();
    const again = await tab(context);
    await page.close();
    const state = await open(again, {});
    assert.deepEqual([state.image, state.version, state.enrolled], [two.digest, "2", true]);
    const [answer, wait] = await again.evaluate(async () => {
      const answer = await updater.classify(await (await fetch("/inputs/0")).arrayBuffer());
      return [answer.label, await updater.check()];
    });
    assert.ok(answer.length > 0 && wait > 0);
    assert.match(await lines(again), /check-in: the server cannot be reached/);
    assert.equal((await again.evaluate(() => updater.state())).image, two.digest);
  });
});

test("what is damaged on the way is refused, and a download goes on where it stopped", async (t) => {
  const [one, two] = [bundle("1"), bundle("2")];
  const server = await fleet("second", [origin(site)], ["1", "2"]);
  t.after(() => server.stop());
  const context = await browser.newContext();
  t.after(() => context.close());
  let page = await tab(context);
  const factory = "/bundles/magika-1.sdl";
  await open(page, { enrolment: server.enrolment(), factory });
  await until(page, (state) => state.enrolled, "it enrols");
  const keeps = async (pattern) => {
    const state = await until(page, async () => pattern.test(await lines(page)), `${pattern}`);
    assert.deepEqual([state.image, state.place], [one.digest, "factory"]);
  };

  // A signature of another key's: one digit of it is another one.
  server.proxy.fault = (path, body) => (path.endsWith("/tuf/image/timestamp.json")
    ? Buffer.from(String(body).replace(/("sig"\s*:\s*")(.)/g, (_, head, digit) => `${head}${digit === "0" ? "1" : "0"}`))
    : body);
  server.start("2", "1");
  await keeps(/timestamp metadata has 0 valid signatures/);
  assert.ok(!server.proxy.seen.some((line) => line.includes("/v1/images/")), "nothing was fetched on that metadata");

  // One bit of the image.
  server.proxy.fault = (path, body) => {
    if (path.startsWith("/v1/images/")) body[body.length >> 1] ^= 1;
    return body;
  };
  await keeps(/^DownloadRefused /m);

  // The connection stands still in mid-download: the updater is closed in order, then the tab goes without a word.
  let sent = 0;
  server.proxy.fault = (path, body, begin) => {
    if (!path.startsWith("/v1/images/")) return body;
    sent = body.length >> 1;
    begin().write(body.subarray(0, sent));
    return undefined;
  };
  const stalled = async () => {
    sent = 0;
    const end = Date.now() + LIMIT;
    await page.evaluate(() => void updater.check(60_000).catch(() => {}));
    while (sent === 0 && Date.now() < end) await page.waitForTimeout(100);
    assert.ok(sent > 0, await lines(page));
    await page.waitForTimeout(1000);
  };
  await stalled();
  await page.evaluate(() => updater.close());
  const kept = sent;
  await page.close();
  page = await tab(context);
  assert.equal((await open(page, { factory })).image, one.digest);
  await stalled();
  await page.close();
  page = await tab(context);
  await open(page, { factory });
  server.proxy.fault = undefined;
  await until(page, (state) => state.image === two.digest, "version 2 answers");
  const from = Number((await lines(page)).match(/DownloadStarted .*from byte (\d+)/)[1]);
  assert.ok(from >= kept, `it began at byte ${from}, ${kept} had come`);
});

test("a page of another origin gets nothing", async (t) => {
  const server = await fleet("third", [origin(site)], ["1"]);
  t.after(() => server.stop());
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await tab(context, other);
  const state = await open(page, { enrolment: server.enrolment(), factory: "/bundles/magika-1.sdl" });
  assert.equal(state.place, "factory");
  await page.evaluate(() => updater.work(3000));
  assert.match(await lines(page), /enrolment: the server cannot be reached: .*--allow-origin/);
  assert.equal((await page.evaluate(() => updater.state())).enrolled, false);
  assert.ok(server.proxy.seen.every((line) => line.startsWith("OPTIONS ")), server.proxy.seen.join("\n"));

  await t.test("bad input is said in words", async () => {
    const said = await page.evaluate(async (url) => {
      const { Updater } = await import("/sanderling/updater.js");
      const { Model } = await import("/sanderling/vision.js");
      const tries = [
        {}, { Model }, { Model, hardware: "a tab", name: "z" }, { Model, hardware: "x", name: "No Name" }, { Model, hardware: "x", trialSeconds: -1 },
        { Model, hardware: "x", name: "a", enrolment: "sdl1:nonsense" }, { Model, hardware: "x", name: "b" },
        { Model, hardware: "x", name: "c", factory: 7 }, { Model, hardware: "x", name: "d", enrolment: () => Promise.reject(new Error("no token")) },
      ];
      const found = [];
      for (const options of tries) found.push(await Updater.open(options).then(() => "no error", (error) => error.code ?? error.message));
      const bare = await Updater.open({ Model, hardware: "x", name: "e", enrolment: url });
      found.push(await code(bare.bundle()), await code(bare.classify(new Uint8Array(9))), await code(bare.work(-1)));
      await bare.close();
      await bare.close();
      found.push(await code(bare.state()), await code(bare.classify(new Uint8Array(9))));
      return found;
    }, server.enrolment());
    const codes = said.map((text) => text.split(":")[0]);
    assert.deepEqual(codes, [
      "Option", "Option", "Option", "Option", "Option", "Option", "NotEnrolled", "Option", "no token", "NoModel", "NoModel", "Option", "Closed", "Closed",
    ]);
  });

  await t.test("the README's lines take part", async () => {
    newcomer = server.enrolment;
    const [script] = readFileSync(join(folder, "README.md"), "utf8").match(/(?<=<!-- updater -->\n)[^]*?(?=```)/);
    readme = `<!doctype html><input type="file"><output></output>${script}`;
    const fresh = await context.newPage();
    fresh.setDefaultTimeout(LIMIT);
    await fresh.goto(`${origin(site)}/readme/`);
    await fresh.waitForFunction(() => document.querySelector("input").onchange);
    const file = join(scratch, "asked.py");
    writeFileSync(file, "import os\n\nfor name in os.listdir():\n    print(name)\n");
    await fresh.locator("input").setInputFiles(file);
    await fresh.getByText("python by version 1").waitFor();
    const devices = () => server.operator("device", "list");
    const end = Date.now() + LIMIT;
    while (!JSON.stringify(devices()).includes(bundle("1").digest) && Date.now() < end) await fresh.waitForTimeout(200);
    assert.match(JSON.stringify(devices()), new RegExp(bundle("1").digest));
  });
});
