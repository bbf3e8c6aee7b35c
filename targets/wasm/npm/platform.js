// What a page and Node do in different ways: reading an address, starting a worker.
import { SanderlingError } from "./error.js";

export const isNode = typeof process === "object" && typeof process.versions?.node === "string";

/** Node's own modules, out of bundlers' sight. */
export const node = (name) => import(/* @vite-ignore */ /* webpackIgnore: true */ `node:${name}`);

/** An address as a URL; a bare name is relative to the page, or to Node's working folder. */
export async function locate(source) {
  if (source instanceof URL) return source;
  const base = isNode ? (await node("url")).pathToFileURL(`${process.cwd()}/`) : globalThis.location?.href;
  try {
    return new URL(source, base);
  } catch {
    throw new SanderlingError("Network", `'${source}' is no address`);
  }
}

/** What lies at an address: a Response, or a file's bytes. */
export async function read(source) {
  const url = await locate(source);
  if (isNode && url.protocol === "file:") {
    try {
      return await (await node("fs/promises")).readFile(url);
    } catch (error) {
      throw new SanderlingError("Network", `cannot read ${url.pathname}: ${error.message}`);
    }
  }
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new SanderlingError("Network", `cannot fetch ${url}: ${error.message}`);
  }
  if (!response.ok) throw new SanderlingError("Network", `cannot fetch ${url}: the server says ${response.status} ${response.statusText}`);
  return response;
}

/** A worker with the parts that both kinds have: post, terminate, and two listeners. */
export async function spawn(home, onMessage, onDeath) {
  if (!isNode) {
    const worker = home.worker();
    worker.onmessage = (event) => onMessage(event.data);
    worker.onerror = (event) => onDeath(event.message || "its script could not be loaded");
    return { post: (message, transfer) => worker.postMessage(message, transfer), end: () => worker.terminate() };
  }
  const { Worker: Thread } = await node("worker_threads");
  const worker = new Thread(new URL(...home.thread));
  worker.on("message", onMessage);
  worker.on("error", (error) => onDeath(error.message));
  worker.on("exit", () => onDeath("it ended"));
  // A forgotten model keeps no program alive; an open question does.
  worker.unref();
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    end: () => worker.terminate(),
    hold: () => worker.ref(),
    release: () => worker.unref(),
  };
}
