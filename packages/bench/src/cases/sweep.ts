/**
 * Lists of numbers and of shapes as they are written on the command line: commas between items, and ranges.
 *
 * A range is `first-last`, `first-last+step` or `first-last*factor` (llama-bench's forms; `..` may stand for `-`). The last
 * number is part of it when a step meets it. A shape has `x` between its numbers, each of which may be a range: all
 * combinations are meant. A single number stands for a shape of equal sides.
 */

import { UserError } from "@quern/core";

const MOST = 4096;
const RANGE = /^(\d+)(?:(?:-|\.\.)(\d+)(?:([+*])(\d+))?)?$/;

/** The numbers of one item, rising; undefined where the text is none. */
function numbersOf(item: string): number[] | undefined {
  const found = RANGE.exec(item.trim());
  if (found === null) return undefined;
  const [, firstText, lastText, operator = "+", stepText = "1"] = found;
  const [first, step] = [Number(firstText), Number(stepText)];
  const last = lastText === undefined ? first : Number(lastText);
  const stuck = operator === "*" ? step < 2 || (first === 0 && last > 0) : step < 1;
  if (!Number.isSafeInteger(last) || last < first || stuck) return undefined;
  const numbers: number[] = [];
  for (let value = first; value <= last; value = operator === "*" ? value * step : value + step) {
    numbers.push(value);
    if (numbers.length > MOST) return undefined;
  }
  return numbers;
}

/** Reads "1,2,4", "1-4", "256-4096*2"; each number once, in the order given. `option`: for errors. */
export function parseNumbers(text: string, option: string, example: string): number[] {
  const items = text.split(",").map(numbersOf);
  if (text.trim() === "" || items.includes(undefined)) {
    throw new UserError(`"${text}" is no list of numbers`, {
      where: option,
      hint: `Write numbers with commas between, or ranges first-last, first-last+step, first-last*factor: ${example}`,
    });
  }
  return [...new Set(items.flatMap((numbers) => numbers ?? []))];
}

/** Reads shapes of `sides` positive numbers; in errors one is `a` ("a GEMM shape"), written as `form`. */
export function parseSweep(text: string, a: string, form: string, sides: number): number[][] {
  const items = text.split(",").map((item) => {
    const parts = item.trim().split(/[x×]/);
    const ranges = parts.map(numbersOf);
    const right = parts.length === sides || parts.length === 1;
    if (!right || !ranges.every((range) => range !== undefined && range.every((size) => size > 0))) {
      throw new UserError(`"${item}" is not ${a}`, {
        where: "--shapes",
        hint: `Write ${form}, for instance ${[512, 2048, 8192].slice(0, sides).join("x")}, one number for equal sides, or ranges: 256-4096*2.`,
      });
    }
    return ranges as number[][];
  });
  // Before any shape is made: three short ranges may stand for billions.
  const count = items.reduce((sum, ranges) => sum + ranges.reduce((all, { length }) => all * length, 1), 0);
  if (count > MOST) throw new UserError(`"${text}" are ${count} shapes, more than ${MOST}`, { where: "--shapes" });
  return items.flatMap((ranges) => {
    if (ranges.length === 1) return (ranges[0] ?? []).map((size) => Array.from({ length: sides }, () => size));
    return ranges.reduce<number[][]>((shapes, range) => shapes.flatMap((s) => range.map((size) => [...s, size])), [[]]);
  });
}
