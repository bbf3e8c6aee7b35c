// The files of an updater in the Origin Private File System, for its worker: the only place where they can be read and written at once.
import { SanderlingError } from "./error.js";

/** As src/bin/agent/files.rs names them. */
const FILES = ["journal.0", "journal.1", "slot.a.sdl", "slot.b.sdl", "outbox.0", "outbox.1", "blobs.0", "blobs.1", "factory.sdl", "factory.from"];
/** Times that a file is asked for which the tab before has not let go of yet, and milliseconds between them. */
const TRIES = 20;
const PAUSE = 100;

export class Medium {
  #handles;

  /** Opens the files of a name, and makes those that are missing. */
  static async open(name) {
    const medium = new Medium();
    medium.#handles = new Map();
    try {
      const root = await navigator.storage.getDirectory();
      const all = await root.getDirectoryHandle("sanderling", { create: true });
      const folder = await all.getDirectoryHandle(name, { create: true });
      for (const file of FILES) {
        medium.#handles.set(file, await accessed(await folder.getFileHandle(file, { create: true })));
      }
      return medium;
    } catch (error) {
      medium.close();
      if (error?.name === "NoModificationAllowedError") throw busy(name);
      throw new SanderlingError("Storage", `the updater's files cannot be opened: ${error?.message ?? error}`);
    }
  }

  size(file) { return this.#handles.get(file).getSize(); }
  read(file, at, buffer) { return this.#handles.get(file).read(buffer, { at }); }
  write(file, at, bytes) { return this.#handles.get(file).write(bytes, { at }); }
  truncate(file, length) { this.#handles.get(file).truncate(length); }
  flush(file) { this.#handles.get(file).flush(); }

  /** The first bytes of a file, in memory of their own. */
  bytes(file, length = this.size(file)) {
    const bytes = new Uint8Array(length);
    const count = this.read(file, 0, bytes);
    if (count === length) return bytes;
    throw new SanderlingError("Storage", `${file} has ${count} bytes, ${length} were expected: the browser has taken some away`);
  }

  /** Replaces a file's bytes. */
  put(file, bytes) {
    try {
      this.truncate(file, 0);
      if (this.write(file, 0, bytes) < bytes.length) throw new Error("there is no room");
      this.flush(file);
    } catch (error) {
      throw new SanderlingError("Storage", `${file} cannot be written: ${error.message}`);
    }
  }

  /** Gives the files free. */
  close() {
    for (const handle of this.#handles.values()) handle.close();
    this.#handles.clear();
  }
}

export const busy = (name) => new SanderlingError("Busy", `another tab or worker holds the updater '${name}': close it there, or open it with { wait: true }`);

/** A file for this worker alone; one that ended a moment ago may not have let go of it. */
async function accessed(file) {
  for (let left = TRIES; ; left -= 1) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (error?.name !== "NoModificationAllowedError" || left === 0) throw error;
      await new Promise((next) => setTimeout(next, PAUSE));
    }
  }
}
