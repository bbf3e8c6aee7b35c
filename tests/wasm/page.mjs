// A server of files on loopback, headless Chromium to look at it, and what Node has to be told.
// SANDERLING_NODE_MODULES: where playwright-core is
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { setFlagsFromString } from "node:v8";

const { chromium } = createRequire(join(process.env.SANDERLING_NODE_MODULES, "x.js"))("playwright-core");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
// What a page that trusts only its own origin says.
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:";

/**
 * Serves a folder at /, or an empty page where there is none, and others by the first part of the path.
 * @param relaxed names whose pages hold scripts of their own
 */
export async function serve(home, folders, relaxed = []) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const [, top, ...rest] = path.split("/");
    if (!home && path === "/") {
      response.writeHead(200, { "content-type": "text/html", "content-security-policy": POLICY }).end("<!doctype html><title>Sanderling</title>");
      return;
    }
    const file = folders[top] ? join(folders[top], ...rest) : join(home ?? ".", path === "/" ? "index.html" : path);
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const policy = relaxed.includes(top) ? "default-src 'self' 'unsafe-inline' 'unsafe-eval'" : POLICY;
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": policy });
    createReadStream(file).pipe(response);
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  return { address: (path) => `http://127.0.0.1:${server.address().port}/${path}`, close: () => server.close() };
}

/** Switches for WebGPU on a device that the CPU emulates. */
export const SWIFTSHADER = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan", "--use-vulkan=swiftshader"];

/** Debian's Chromium, quiet, with these switches besides. */
export function launch(...switches) {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", ...switches],
  });
}

/**
 * An empty page whose server has these folders at these names, in a browser with these switches.
 */
export async function open(folders, switches = ["--disable-gpu"]) {
  const files = await serve(undefined, folders);
  const browser = await launch(...switches);
  const page = await browser.newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(files.address(""));
  return {
    page,
    async close() {
      await browser.close();
      files.close();
    },
  };
}

/** Node 20 has relaxed SIMD behind a flag, and its baseline compiler computes it wrongly: this goes before any module. */
export function relaxedInNode() {
  if (!process.versions.v8.startsWith("11.3.")) return;
  for (const flag of ["--experimental-wasm-relaxed-simd", "--no-liftoff"]) setFlagsFromString(flag);
}
