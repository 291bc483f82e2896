/**
 * Options that commands share, each with its parser. A parser throws a `UserError` naming the option, what was given and
 * what is possible.
 */

import { UserError, weightEncodingNamed, type MatmulPrecision } from "@quern/core";
import { numberOption } from "@quern/bench/commands";
import { DEVICE_KINDS, parseNumbers, type DeviceKind } from "@quern/bench/engines";

export { numberOption };

const PRECISIONS = ["highest", "high", "medium"] as const;
const MAX_THREADS = 1024;

function list(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

export function parseThreads(text: string): number[] {
  const counts = parseNumbers(text, "--threads", "--threads 1,2 or --threads 1-4");
  if (counts.every((count) => count >= 1 && count <= MAX_THREADS)) return counts;
  throw new UserError(`"${text}" is no list of thread counts`, {
    where: "--threads",
    hint: `Counts are from 1 to ${MAX_THREADS}, for instance: --threads 1,2 or --threads 1-4`,
  });
}

function isPrecision(text: string): text is MatmulPrecision {
  return (PRECISIONS as readonly string[]).includes(text);
}

export function parsePrecision(text: string): MatmulPrecision {
  if (isPrecision(text)) return text;
  throw new UserError(`there is no precision "${text}"`, {
    where: "--precision",
    hint: `Choose from: ${PRECISIONS.join(", ")}.`,
  });
}

export function parsePrecisions(text: string): MatmulPrecision[] {
  const names = list(text);
  if (names.length === 0) return [parsePrecision(text)];
  return [...new Set(names.map(parsePrecision))];
}

export const QUANTIZE_OPTION = "quantise weights at load, for instance Q8_0, Q4_K or F16";

export function parseEncoding(text: string): string {
  return weightEncodingNamed(text, "--quantize").name;
}

/** The precision where none is asked for: kernels compute on blocks at "medium", elsewhere blocks become f32 weights. */
export function impliedPrecision(quantize: string | undefined): MatmulPrecision {
  return quantize !== undefined && weightEncodingNamed(quantize).blockWeights > 1 ? "medium" : "highest";
}

export const PRECISION_DEFAULT = "(default: highest; with --quantize to blocks, medium)";

export function parseNames(text: string): string[] {
  return [...new Set(list(text))];
}

export const parseSeed: (text: string) => number = numberOption("--seed", 0, 2 ** 31 - 1, true);

export function parseDevice(text: string): DeviceKind {
  const found = DEVICE_KINDS.find((kind) => kind === text);
  if (found !== undefined) return found;
  throw new UserError(`there is no device "${text}"`, {
    where: "--device",
    hint: `Choose from: ${DEVICE_KINDS.join(", ")}.`,
  });
}

/** Collects `name=value` pairs of an option that may be given several times. */
export function collectPairs(
  option: string,
): (text: string, previous: Record<string, string>) => Record<string, string> {
  return (text, previous) => {
    const at = text.indexOf("=");
    if (at <= 0 || at === text.length - 1) {
      throw new UserError(`"${text}" is not of the form name=value`, { where: option });
    }
    return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
  };
}

export function parseDims(pairs: Readonly<Record<string, string>>): Record<string, number> {
  const size = numberOption("--dim", 0, 2 ** 31 - 1, true);
  return Object.fromEntries(Object.entries(pairs).map(([name, text]) => [name, size(text)]));
}
