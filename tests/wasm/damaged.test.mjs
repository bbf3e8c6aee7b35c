// Bundles damaged behind right hashes: in 32 bits of address space, too, they are refused or run, and never break the module.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { bytes as noise, classifiers, entry, read } from "./fixtures.mjs";

const { Model } = await import(entry("index.js"));
const [small] = [...classifiers].sort((a, b) => read(a.file).length - read(b.file).length);
/** Manifest, tensor table, plan, golden vectors: what a section's row says in its first number. */
const KINDS = [1, 2, 4, 5];
const EDGES = [0, 1, 2, 0x7f, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const ROUNDS = Number(process.env.SANDERLING_DAMAGED ?? 150);

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

/** Sections as runtime/bundle/src/format.rs has them: rows of 64 bytes from byte 64 on. */
function sections(bundle) {
  const rows = Array.from({ length: bundle.readUInt32LE(24) }, (_, index) => 64 + 64 * index);
  return rows.map((row) => ({ row, kind: bundle.readUInt16LE(row), at: Number(bundle.readBigUInt64LE(row + 8)), length: Number(bundle.readBigUInt64LE(row + 16)) }));
}

/** Changes one to three numbers of a section, and makes the hashes right again. */
function damage(original, round) {
  const bundle = Buffer.from(original);
  const dice = noise(64, round * 2654435761 | 1);
  const all = sections(bundle);
  const section = all.filter(({ kind }) => KINDS.includes(kind))[dice[0] % KINDS.length];
  for (let turn = 0; turn <= dice[1] % 3; turn += 1) {
    const [, , , , a, b, c, edge, how, value] = dice.subarray(turn * 10);
    // Most of the golden section is elements: its first bytes are what can hurt.
    const span = section.kind === 5 ? 256 : section.length;
    const offset = section.at + ((a << 16 | b << 8 | c) % Math.max(1, span - 4));
    if (how & 1) bundle[offset] = value;
    else bundle.writeUInt32LE(EDGES[edge % EDGES.length], section.at + Math.floor((offset - section.at) / 4) * 4);
  }
  sha256(bundle.subarray(section.at, section.at + section.length)).copy(bundle, section.row + 24);
  sha256(bundle.subarray(0, 32), bundle.subarray(64, 64 + 64 * all.length)).copy(bundle, 32);
  return bundle;
}

test(`${ROUNDS} damaged bundles`, async () => {
  const original = Buffer.from(read(small.file));
  const counts = {};
  for (let round = 1; round <= ROUNDS; round += 1) {
    let outcome = "ran";
    try {
      const model = await Model.load(damage(original, round), { memoryLimit: 2e8 });
      const input = Object.fromEntries(model.inputs.map(({ name }) => [name, { data: small.data, shape: [1, 3, 224, 224] }]));
      try {
        model.run(input);
        model.selfTest();
        model.layers(input);
      } finally {
        model.free();
      }
    } catch (error) {
      assert.ok(error.code && error.code !== "Internal", `round ${round}: ${error.stack}`);
      outcome = error.code;
    }
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  console.log("damaged bundles:", JSON.stringify(counts));
  assert.ok(counts.ran > 0 && Object.keys(counts).length > 2, "the damage is of one kind only");
});
