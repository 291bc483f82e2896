/** The coverage table lists what the rows say. */
import { expect, test } from "vitest";
import { coveredInstructions, renderCoverage } from "./coverage.ts";
import { mnemonics } from "./table.ts";

test("lists every mnemonic once", () => {
  const listed = coveredInstructions().map(({ mnemonic }) => mnemonic);
  expect(new Set(listed).size).toBe(listed.length);
  expect(listed).toEqual(mnemonics());
});

test("renders forms and features", () => {
  const text = renderCoverage();
  expect(text).toContain("| `tdpbf16ps` | `tmm, tmm, tmm` | amx-bf16 |");
  expect(text).toContain("| `ret` | (no operands) | base |");
  expect(text).toContain("## Float arithmetic");
});
