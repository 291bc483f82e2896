/**
 * Golden machine code: each file in `filetests/` holds a target, a kernel as text and the instructions expected for
 * it. `QUERN_BLESS=1` rewrites the expectations.
 */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseKernel } from "@quern/core/kernel";
import { format, isInstr } from "../asm/index.ts";
import type { Item } from "../asm/index.ts";
import { compileKernel } from "./compile.ts";
import { CPU_TARGETS } from "./target.ts";

const folder = new URL("./filetests/", import.meta.url);
const SEPARATOR = "\n---\n";

function print(items: readonly Item[]): string {
  return items
    .flatMap((item) =>
      isInstr(item)
        ? [`  ${format(item)}`]
        : "label" in item
          ? [`${item.label.name}:`]
          : "align" in item
            ? [`  .align ${item.align}`]
            : [],
    )
    .join("\n");
}

test.each(readdirSync(folder).filter((name) => name.endsWith(".txt")))("%s", (name) => {
  const file = new URL(name, folder);
  const text = readFileSync(file, "utf8");
  const [source = "", expected = ""] = text.split(SEPARATOR);
  const [first = "", ...kernel] = source.split("\n");
  const target = CPU_TARGETS.find((candidate) => first === `target ${candidate.name}`);
  if (target === undefined) throw new Error(`${name}: the first line must be "target <name>", not "${first}"`);
  const actual = `${print(compileKernel(parseKernel(kernel.join("\n")), target).items)}\n`;
  if (process.env["QUERN_BLESS"] === "1") writeFileSync(file, source + SEPARATOR + actual);
  else expect(actual, "accept with QUERN_BLESS=1").toBe(expected);
});
