// A page in headless Chromium, the server behind it, and what Node has to be told.
// SANDERLING_NODE_MODULES: where playwright-core is
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { setFlagsFromString } from "node:v8";

const { chromium } = createRequire(join(process.env.SANDERLING_NODE_MODULES, "x.js"))("playwright-core");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
/** What a page that trusts only its own origin says. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/**
 * An empty page whose server has these folders at these names.
 * @param folders folders by the first part of an address
 * @param flags flags of V8
 */
export async function open(folders, flags = []) {
  const server = createServer((request, response) => {
    const [, top, ...rest] = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).split("/");
    const head = { "content-security-policy": POLICY };
    if (top === "") {
      response.writeHead(200, { ...head, "content-type": "text/html" }).end("<!doctype html><title>Sanderling</title>");
      return;
    }
    const file = folders[top] && join(folders[top], ...rest);
    if (!file || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { ...head, "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...(flags.length ? [`--js-flags=${flags.join(",")}`] : [])],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  return {
    page,
    async close() {
      await browser.close();
      server.close();
    },
  };
}

/** Node 20 has relaxed SIMD behind a flag, and its baseline compiler computes it wrongly: this goes before any module. */
export function relaxedInNode() {
  if (!process.versions.v8.startsWith("11.3.")) return;
  for (const flag of ["--experimental-wasm-relaxed-simd", "--no-liftoff"]) setFlagsFromString(flag);
}
