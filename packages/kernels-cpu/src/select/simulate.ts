/**
 * Executes compiled kernels on a simulated processor, for tests: AMX and AVX-512 code runs on any machine.
 *
 * In: the instructions of a compiled kernel (physical registers) and its buffers. Out: the bytes of every buffer. Every
 * mnemonic is one function in `simulate/`; an unknown one, an access outside of the buffers, an unaligned aligned move
 * and a jump on an undefined flag are errors that name the instruction. Written from the manual (Intel SDM volume 2),
 * apart from the interpreter of kernels, and compared with a processor by `simulate.test.ts`. Approximations such as
 * vrcp14ps are not there, since their results differ between processors.
 */
import { DTYPE_INFO, evaluateDim } from "@quern/core";
import type { Buffer, Kernel, Scalar } from "@quern/core/kernel";
import { isInstr } from "../asm/index.ts";
import type { Instr, Item } from "../asm/index.ts";
import { SYSV } from "./abi.ts";
import type { CompiledKernel } from "./compile.ts";
import { literalBytes } from "./constants.ts";
import { COMPARE } from "./simulate/compare.ts";
import { CONVERT } from "./simulate/convert.ts";
import { CONDITIONS, INTEGER, pop } from "./simulate/integer.ts";
import { LANES } from "./simulate/lanes.ts";
import { Machine } from "./simulate/machine.ts";
import type { Handler } from "./simulate/machine.ts";
import { MOVE } from "./simulate/move.ts";
import { SHUFFLE } from "./simulate/shuffle.ts";
import { TILES } from "./simulate/tiles.ts";
import type { TrialInputs } from "./kernel-trial.ts";
import { taskCount } from "./tasks.ts";

const HANDLERS: ReadonlyMap<string, Handler> = new Map(
  Object.entries({ ...INTEGER, ...MOVE, ...SHUFFLE, ...LANES, ...COMPARE, ...CONVERT, ...TILES }),
);

const POISON = 0xa5;
const STACK_BYTES = 1 << 16;
/** Where the caller would go on. */
const RETURN_ADDRESS = 0x7fffn;
const RSP = 4;

/** Mnemonics that the simulator knows, without jumps. */
export function simulatedInstructions(): ReadonlySet<string> {
  return new Set(HANDLERS.keys());
}

/** Runs `items` from the first instruction until it returns; gives the number of instructions. */
export function runItems(m: Machine, items: readonly Item[]): number {
  const labels = new Map<string, number>();
  items.forEach((item, i) => {
    if ("label" in item) labels.set(item.label.name, i);
    else if ("data" in item && !m.labels.has(item.at.name))
      m.labels.set(item.at.name, m.addRegion(`constant ${item.at.name}`, item.data.slice(), item.alignment));
  });
  const targetOf = (instr: Instr): number => {
    const [target] = instr.operands;
    return (target?.kind === "label" ? labels.get(target.name) : undefined) ?? m.fail("a jump to an unknown label");
  };
  let steps = 0;
  for (let at = 0; ;) {
    const item = items[at];
    if (item === undefined) return m.fail("control runs past the end of the code");
    if (!isInstr(item)) {
      at += 1;
      continue;
    }
    steps += 1;
    m.current = item;
    const handler = HANDLERS.get(item.op);
    if (handler !== undefined) {
      handler(m, item);
      at += 1;
    } else if (item.op === "ret") {
      if (pop(m) !== RETURN_ADDRESS) m.fail("the stack is not balanced");
      return steps;
    } else if (item.op === "jmp") at = targetOf(item);
    else {
      const holds = item.op.startsWith("j") ? CONDITIONS[item.op.slice(1)] : undefined;
      if (holds === undefined) return m.fail(`the simulator does not know ${item.op}`);
      at = holds(m) ? targetOf(item) : at + 1;
    }
  }
}

/** The bytes of every buffer after all tasks ran, in `ranges` pieces. */
export function simulate(
  compiled: CompiledKernel,
  kernel: Kernel,
  inputs: TrialInputs,
  ranges = 2,
): Map<string, Uint8Array> {
  const { symbols = {}, scalars = {} } = inputs;
  const m = new Machine();
  const outputs = new Map<string, Uint8Array>();
  const buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer]));
  const slots = compiled.slots.map(({ name, kind }): bigint => {
    switch (kind) {
      case "buffer": {
        const buffer = buffers.get(name) as Buffer;
        const bytes = new Uint8Array(evaluateDim(buffer.size, symbols) * DTYPE_INFO[buffer.dtype].bytes).fill(POISON);
        const given = inputs.buffers[name];
        if (given !== undefined) bytes.set(new Uint8Array(given.buffer, given.byteOffset, given.byteLength));
        outputs.set(name, bytes);
        return BigInt(m.addRegion(name, bytes, buffer.alignBytes));
      }
      case "scalar": {
        const param = kernel.scalars.find((scalar) => scalar.name === name);
        const word = new Uint8Array(8);
        word.set(literalBytes(param?.dtype ?? "i64", scalars[name] as Scalar));
        return new DataView(word.buffer).getBigUint64(0, true);
      }
      case "symbol":
        return BigInt(symbols[name] as number);
      case "scratch": {
        const scratch = m.addRegion("scratch", new Uint8Array(compiled.scratchBytes(symbols)).fill(POISON));
        return BigInt(m.addRegion("scratch table", new Uint8Array(new BigUint64Array([0n, BigInt(scratch)]).buffer)));
      }
    }
  });
  const args = m.addRegion(
    "slots",
    new Uint8Array(new BigUint64Array(Math.max(1, slots.length)).map((_, i) => slots[i] ?? 0n).buffer),
  );
  const stack = m.addRegion("stack", new Uint8Array(STACK_BYTES).fill(POISON));
  const tasks = taskCount(kernel, { symbols, scalars });
  const step = Math.max(1, Math.ceil(tasks / ranges));
  for (let begin = 0; begin < tasks; begin += step) {
    m.general.forEach((_, i) => (m.general[i] = 0xdeadbeefdeadbeefn));
    m.vectors.fill(POISON);
    m.masks.fill(0xdeadn);
    m.setFlags({ carry: undefined, zero: undefined, sign: undefined, overflow: undefined, parity: undefined });
    const values = [BigInt(args), BigInt(begin), BigInt(Math.min(tasks, begin + step)), 1n];
    SYSV.args.forEach((id, i) => (m.general[id] = values[i] as bigint));
    const top = BigInt(stack + STACK_BYTES - 64 - 8);
    m.general[RSP] = top;
    m.writeMemory(Number(top), new Uint8Array(new BigUint64Array([RETURN_ADDRESS]).buffer));
    const saved = SYSV.savedGeneral.map((id) => m.general[id]);
    runItems(m, compiled.items);
    if (SYSV.savedGeneral.some((id, i) => m.general[id] !== saved[i]))
      m.fail("a register that belongs to the caller has changed");
  }
  return outputs;
}
