/**
 * Every form of every row: random instruction -> our bytes -> objdump -> must equal our own printer.
 *
 * objdump (GNU binutils) is an independent reading of the manual. It spells some things differently;
 * `normalise` lists all of them.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CodeSink, encodeForm } from "./encode.ts";
import type { Form } from "./form.ts";
import type { Instr } from "./instr.ts";
import { selectForm } from "./match.ts";
import { operandsText } from "./operand-text.ts";
import { randomInstr, seededRandom } from "./random-instr.ts";
import { families, formsOf } from "./table.ts";

const SAMPLES_PER_FORM = 24;
const seed = Number(process.env["QUERN_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const predicates = [
  "eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true",
  "eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us",
].flatMap((line) => line.split(" "));
const integerPredicates = ["eq", "lt", "le", "false", "neq", "nlt", "nle", "true"];

function disassembler(): string | undefined {
  try {
    return /[\d.]+/.exec(execFileSync("objdump", ["--version"], { encoding: "utf8" }))?.[0];
  } catch {
    return undefined;
  }
}

/** Offset -> text of each instruction. */
function disassemble(bytes: Uint8Array): Map<number, string> {
  const folder = mkdtempSync(join(tmpdir(), "quern-asm-"));
  try {
    const file = join(folder, "code.bin");
    writeFileSync(file, bytes);
    const text = execFileSync(
      "objdump",
      ["-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn", file],
      {
        encoding: "utf8",
        maxBuffer: 2 ** 28,
      },
    );
    const lines = new Map<number, string>();
    for (const [, offset, instruction] of text.matchAll(/^\s*([0-9a-f]+):\t(.*)$/gm))
      lines.set(parseInt(offset ?? "", 16), instruction ?? "");
    return lines;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Comparison predicates become immediates again, as `vcmpltps k1,zmm1,zmm2` -> `vcmpps k1,zmm1,zmm2,0x1`. */
function predicateToImmediate(text: string): string {
  const float = /^vcmp(\w+?)([ps][sdh]) (.*)$/.exec(text);
  if (float !== null && predicates.includes(float[1] ?? "")) {
    return `vcmp${float[2]} ${float[3]},0x${predicates.indexOf(float[1] ?? "").toString(16)}`;
  }
  const integer = /^vpcmp(eq|lt|le|neq|nlt|nle)(u?[bwdq]) (k.*)$/.exec(text);
  // vpcmpeqd and vpcmpgtd with a mask destination are instructions of their own.
  if (integer !== null && !(integer[1] === "eq" && /^[bwdq]$/.test(integer[2] ?? ""))) {
    return `vpcmp${integer[2]} ${integer[3]},0x${integerPredicates.indexOf(integer[1] ?? "").toString(16)}`;
  }
  // Equality by vpcmp reads the same as by vpcmpeq.
  const equal = /^vpcmp([bwdq]) (k.*),0x0$/.exec(text);
  if (equal !== null) return `vpcmpeq${equal[1]} ${equal[2]}`;
  const carryless = /^vpclmul([lh])q([lh])qdq (.*)$/.exec(text);
  if (carryless !== null)
    return `vpclmulqdq ${carryless[3]},0x${((carryless[1] === "h" ? 1 : 0) + (carryless[2] === "h" ? 16 : 0)).toString(16)}`;
  // objdump takes the immediates 2 and 3 for 0x10 and 0x11.
  return text.replace(
    /^(vpclmulqdq .*),0x([23])$/,
    (_, head: string, digit: string) => `${head},0x${digit === "2" ? "10" : "11"}`,
  );
}

const strings: Record<string, string> = {
  "rep movs byte ptr es:[rdi],byte ptr ds:[rsi]": "rep movsb",
  "rep movs qword ptr es:[rdi],qword ptr ds:[rsi]": "rep movsq",
  "rep stos byte ptr es:[rdi],al": "rep stosb",
  "rep stos dword ptr es:[rdi],eax": "rep stosd",
  "rep stos qword ptr es:[rdi],rax": "rep stosq",
};

function normalise(text: string): string {
  let result = text
    .toLowerCase()
    .replace(/\s*#.*$/, "")
    .replace(/\s*([,+])\s*/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
  result = strings[result] ?? result;
  result = result.replace(/^movabs /, "mov ");
  // Shown where a shorter VEX form exists; which one was meant is for the caller to check.
  result = result.replace(/^\{evex\} /, "");
  result = result.replace("oword ptr", "xmmword ptr");
  result = result.replace(/^((?:vlddqu|ldtilecfg|sttilecfg) .*)[xyz]mmword ptr /, "$1");
  result = result.replace(/ds:(0x[0-9a-f]+)/, "[$1]");
  result = result.replace(/\+riz\*1/, "");
  result = result.replace(/\+0x0\]/, "]");
  // The count is shown only where it decides the length.
  result = result.replace(/\{1to\d+\}/, "");
  // Memory of other than vector sizes, and gathers, where objdump names the element.
  result = result.replace(
    /(byte|word|dword|qword|fword|tbyte|oword|xmmword|ymmword|zmmword) ptr \[([^\]]*[xyz]mm)/,
    "[$2",
  );
  return predicateToImmediate(result);
}

const version = disassembler();
if (version === undefined) console.log("round trip skipped: objdump is not installed");

describe.skipIf(version === undefined)(`round trip through objdump ${version}, QUERN_SEED=${seed}`, () => {
  test.each(Object.entries(families))("%s", (_, rows) => {
    const random = seededRandom(seed);
    const sink = new CodeSink();
    const samples: { at: number; instr: Instr; form: Form }[] = [];
    for (const mnemonic of new Set(rows.map(([name]) => name))) {
      for (const form of formsOf(mnemonic)) {
        if (form.operands.some(({ field }) => field === "rel")) continue;
        for (let i = 0; i < (form.operands.length === 0 ? 1 : SAMPLES_PER_FORM); i++) {
          const instr = randomInstr(form, random);
          samples.push({ at: sink.length, instr, form });
          encodeForm(instr, form, sink);
          // Whatever the order of preference picks must be legal too.
          selectForm(form.needsMemSize ? withMemSize(instr, form) : instr);
        }
      }
    }
    sink.append(new Uint8Array(16).fill(0x90));
    const lines = disassemble(sink.bytes.subarray(0, sink.length));
    const faults = new Map<Form, string>();
    for (const { at, instr, form } of samples) {
      const ours = normalise(`${instr.op} ${operandsText(instr.operands, instr, form)}`);
      const theirs = normalise(lines.get(at) ?? "(not on an instruction boundary)");
      if (ours !== theirs && faults.size < 40)
        faults.set(form, `${form.row.slice(1, 3).join(" | ")}\n  ours   ${ours}\n  theirs ${theirs}`);
    }
    expect(samples.length).toBeGreaterThan(0);
    expect([...faults.values()].join("\n"), `QUERN_SEED=${seed}`).toBe("");
  });
});

function withMemSize(instr: Instr, form: Form): Instr {
  return {
    ...instr,
    operands: instr.operands.map((o) =>
      o.kind === "mem" && o.broadcast === undefined ? { ...o, size: form.memSize as 1 } : o,
    ),
  };
}
