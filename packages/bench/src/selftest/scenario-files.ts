/** The bench files of scenarios: one that is right, and what it becomes with some members replaced. */

/** A bench file: sums 2000 random numbers some times over. `change` replaces members; `top` goes above. */
export function benchFile(change = "", top = ""): string {
  return `${top}
const sum = (input) => { let s = 0; for (let r = 0; r < 4; r++) for (let i = 0; i < input.length; i++) s += input[i] * (r + 1); return s; };
export default [{
  id: "sum",
  setup: () => ({ out: new Float64Array(1), calls: 0, seen: new Map() }),
  inputs: (random) => Float64Array.from({ length: 2000 }, () => random.uniform() - 0.5),
  run: (state, input) => { state.out[0] = sum(input); return state.out; },
  check: (input, out) => Math.abs(out[0] - sum(input)),
  tolerance: 1e-9,
  ${change}
}];
`;
}

export const FILE = "bench/sum.bench.js";
export const GOOD: Readonly<Record<string, string>> = { [FILE]: benchFile() };

export function headWith(change: string, top = ""): Record<string, string> {
  return { [FILE]: benchFile(change, top) };
}

/** Another file with the same benches. */
export const OTHER: Readonly<Record<string, string>> = headWith("", "// another build");

/** Calls before the fault: more than the one of the attempt, and those of a warm-up. */
export const LATE = 15;
