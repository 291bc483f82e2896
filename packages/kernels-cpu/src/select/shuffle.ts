/**
 * Shuffles with constant patterns: permutes within or across two registers where the target has one, else lane by
 * lane through the stack. 8-byte lanes are treated as pairs of 4-byte lanes.
 */
import type { KType, KValue } from "@quern/core/kernel";
import { gpr16, gpr8, mem, r32, rsp } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { maskFromBytes, maskToBytes } from "./masks.ts";
import type { Selector } from "./selector.ts";

type Shuffle = Extract<KValue["def"], { kind: "shuffle" }>;

export function emitShuffle(
  s: Selector,
  value: KValue,
  def: Shuffle,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { type } = value;
  const source = def.a.type;
  if (type.dtype === "bool") {
    const [from, to]: [KType, KType] = [
      { ...source, dtype: "u8" },
      { ...type, dtype: "u8" },
    ];
    const bytes = [def.a, def.b].map((v) => maskToBytes(s, source, s.regs(v)));
    const out = maskFromBytes(s, type, throughStack(s, from, to, bytes, def.pattern, undefined));
    if (into !== undefined) s.moveAll(into, out);
    return into ?? out;
  }
  const sources = [s.regs(def.a), s.regs(def.b)];
  const fast =
    s.shape(type).laneBytes >= 4
      ? permute(s, source, type, sources, def.pattern)
      : bytePermute(s, source, type, sources, def.pattern);
  const out = fast ?? throughStack(s, source, type, sources, def.pattern, into);
  if (into === undefined || out === into) return out;
  s.moveAll(into, out);
  return into;
}

/** 32-bit lanes out of at most two registers per part; undefined when a part needs more. */
function permute(
  s: Selector,
  from: KType,
  to: KType,
  sources: readonly (readonly Reg[])[],
  pattern: readonly number[],
): readonly Reg[] | undefined {
  const { code } = s;
  const [source, target] = [s.shape(from), s.shape(to)];
  const words = target.laneBytes / 4;
  const width = Math.max(16, source.bytes, target.bytes);
  const lanes = width / 4;
  const perSource = (source.bytes / 4) * source.parts;
  const plans = Array.from({ length: target.parts }, (_, part) => {
    const used: Reg[] = [];
    const picks = Array.from({ length: target.lanes * words }, (_, i) => {
      const lane = pattern[part * target.lanes + Math.floor(i / words)] as number;
      const word = lane * words + (i % words);
      const which = Math.floor(word / perSource);
      const within = word % perSource;
      const reg = sources[which]![Math.floor(within / (source.bytes / 4))] as Reg;
      let at = used.findIndex(({ id }) => id === reg.id);
      if (at < 0) at = used.push(reg) - 1;
      return { at, lane: within % (source.bytes / 4) };
    });
    return { used, picks };
  });
  if (plans.some(({ used }) => used.length > 2)) return undefined;
  return plans.map(({ used, picks }) => {
    const [a, b] = used.map((reg) => s.resize(reg, width)) as [Reg, Reg | undefined];
    const out = s.vector(width);
    if (b === undefined) {
      if (picks.every(({ lane }, i) => lane === i)) return s.resize(a, target.bytes);
      permuteOne(
        s,
        out,
        a,
        picks.map(({ lane }) => lane),
        width,
      );
    } else if (s.wide) {
      const index = laneIndices(
        s,
        picks.map(({ at, lane }) => at * lanes + lane),
        width,
      );
      s.move(out, a);
      code.emit("vpermt2ps", out, index, b);
    } else {
      const [x, y] = [s.vector(width), s.vector(width)];
      permuteOne(
        s,
        x,
        a,
        picks.map(({ lane }) => lane),
        width,
      );
      permuteOne(
        s,
        y,
        b,
        picks.map(({ lane }) => lane),
        width,
      );
      code.emit(
        "vblendps",
        out,
        x,
        y,
        picks.reduce((bits, { at }, i) => bits | (at << i), 0),
      );
    }
    return s.resize(out, target.bytes);
  });
}

function permuteOne(s: Selector, out: Reg, a: Reg, lanes: readonly number[], width: number): void {
  const index = laneIndices(s, lanes, width);
  if (width === 16) s.code.emit("vpermilps", out, a, index);
  else s.code.emit("vpermps", out, index, a);
}

function laneIndices(s: Selector, lanes: readonly number[], width: number): Reg {
  const words = new Int32Array(width / 4);
  words.set(lanes);
  return s.vectorConstant(new Uint8Array(words.buffer));
}

/** Bytes and words within xmm registers by vpshufb; undefined for longer vectors. */
function bytePermute(
  s: Selector,
  from: KType,
  to: KType,
  sources: readonly (readonly Reg[])[],
  pattern: readonly number[],
): readonly Reg[] | undefined {
  const { code } = s;
  const [source, target] = [s.shape(from), s.shape(to)];
  if (source.bytes > 16 || target.bytes > 16 || target.parts > 1) return undefined;
  const size = target.laneBytes;
  const masks = [new Uint8Array(16).fill(0x80), new Uint8Array(16).fill(0x80)];
  pattern.forEach((lane, i) => {
    const which = lane < from.lanes ? 0 : 1;
    for (let byte = 0; byte < size; byte++) masks[which]![i * size + byte] = (lane % from.lanes) * size + byte;
  });
  const picked = masks.flatMap((mask, which) => {
    if (mask.every((byte) => byte === 0x80)) return [];
    const out = s.vector(16);
    code.emit("vpshufb", out, s.resize(sources[which]![0] as Reg, 16), s.vectorConstant(mask));
    return [out];
  });
  if (picked.length === 1) return picked;
  const out = s.vector(16);
  code.emit("vorps", out, picked[0] as Reg, picked[1] as Reg);
  return [out];
}

function throughStack(
  s: Selector,
  from: KType,
  to: KType,
  sources: readonly (readonly Reg[])[],
  pattern: readonly number[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [source, target] = [s.shape(from), s.shape(to)];
  const width = Math.max(16, source.bytes);
  const perSource = width * source.parts;
  const outWidth = Math.max(16, target.bytes);
  const base = s.frame(2 * perSource + outWidth * target.parts);
  sources.forEach((regs, which) =>
    regs.forEach((reg, i) =>
      code.emit("vmovups", mem({ base: rsp, disp: base + which * perSource + i * source.bytes }), s.resize(reg, width)),
    ),
  );
  const size = target.laneBytes;
  pattern.forEach((lane, i) => {
    const which = Math.floor(lane / from.lanes);
    const value = code.general();
    const place = mem({
      base: rsp,
      disp: base + which * perSource + (lane % from.lanes) * size,
      size: size as 1 | 2 | 4 | 8,
    });
    const out = mem({ base: rsp, disp: base + 2 * perSource + i * size });
    if (size === 8) code.emit("mov", value, place);
    else code.emit(size === 4 ? "mov" : "movzx", r32(value.id), place);
    code.emit(
      "mov",
      out,
      size === 8 ? value : size === 4 ? r32(value.id) : size === 2 ? gpr16(value.id) : gpr8(value.id),
    );
  });
  const parts = into ?? s.fresh(to);
  parts.forEach((reg, i) =>
    code.emit("vmovups", s.resize(reg, outWidth), mem({ base: rsp, disp: base + 2 * perSource + i * target.bytes })),
  );
  return parts;
}
