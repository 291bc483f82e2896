import { expect, it } from "vitest";
import { changedFacts, fingerprintOf, readFacts, readFingerprint } from "./fingerprint.ts";

it("is the same when nothing has changed, whatever the order of the facts", () => {
  const first = readFingerprint();
  const second = readFingerprint();
  expect(changedFacts(first, second)).toEqual([]);
  expect(second.hash).toBe(first.hash);
  const reversed = Object.fromEntries(Object.entries(first.facts).toReversed());
  expect(fingerprintOf(reversed)).toMatchObject({ hash: first.hash, class: first.class });
  expect(Object.values(first.facts).every((fact) => typeof fact === "string")).toBe(true);
  expect(first.facts["node"]).toBe(process.versions.node);
});

it.each([
  ["quota", "50000 100000", true],
  ["affinity", "0", true],
  ["cpu model", "GenuineIntel 6 1 2", true],
  ["node flags", "--jitless", true],
  ["microcode", "0x7", false],
  ["kernel", "6.99", false],
  ["environment bytes", "7", false],
  ["LD_PRELOAD", "/lib/other.so", false],
])("a change of %s to %s is a change (AT8); of the class: %s", (name, value, ofClass) => {
  const before = readFingerprint();
  const after = fingerprintOf({ ...before.facts, [name]: value });
  expect(changedFacts(before, after)).toEqual([name]);
  expect(after.hash).not.toBe(before.hash);
  expect(after.class !== before.class).toBe(ofClass);
});

it("sees a variable that was set while a run went on, and what Node was started with", () => {
  const before = readFingerprint();
  process.env["QUERN_TEST_GROWN"] = "x".repeat(100);
  const after = readFingerprint();
  delete process.env["QUERN_TEST_GROWN"];
  expect(changedFacts(before, after)).toEqual(["environment bytes"]);
  expect(readFacts(["--jitless"])["node flags"]).toBe("--jitless");
  expect(changedFacts(before, fingerprintOf({ ...before.facts, new: "fact" }))).toEqual(["new"]);
});
