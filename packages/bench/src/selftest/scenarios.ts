/** Acceptance tests with small arms: what must be an error, what must not be judged, what must be refused. */

import { EXIT } from "../gate/exit-codes.ts";
import type { MeasuredTest } from "./measured.ts";
import { movedMachine } from "./scenario-controls.ts";
import { expectError, expectExit, expectRefusal, runScenarios } from "./scenario-driver.ts";
import { FILE, GOOD, headWith, LATE, OTHER } from "./scenario-files.ts";
import { refusedArms } from "./scenario-refusals.ts";

const at10: MeasuredTest = (options) =>
  runScenarios(
    "AT10",
    "what could not be measured never passes",
    [
      {
        name: "a filter that nothing matches",
        base: GOOD,
        head: OTHER,
        filter: ["nothing/*"],
        wrong: expectExit(EXIT.usage),
      },
      {
        name: "no bench files",
        base: { "x.js": "" },
        head: { "x.js": "//" },
        wrong: expectExit(EXIT.usage, EXIT.wrong),
      },
      {
        name: "a process that crashes while it is measured",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.kill(process.pid, "SIGSEGV"); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/was ended by SIGSEGV/),
      },
      {
        name: "a process that crashes in the first call",
        base: GOOD,
        head: headWith('run: () => process.kill(process.pid, "SIGSEGV"), check: undefined,'),
        wrong: expectError(/SIGSEGV/),
      },
      {
        name: "a process that ends by itself",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.exit(0); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/ended with exit code 0/),
      },
      {
        name: "a bench that hangs",
        base: GOOD,
        head: headWith(`run: (s, x) => { while (++s.calls > ${LATE}); return sum(x); }, check: undefined,`),
        flags: { timeoutS: 3 },
        wrong: expectError(/gave no answer within 3 s/),
      },
      {
        name: "a bench that throws",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) throw new Error("broken"); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/broken/),
      },
      {
        name: "an output that is NaN",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { s.out[0] = sum(x) + (++s.calls > ${LATE} ? NaN : 0); return s.out; }, check: undefined,`,
        ),
        wrong: expectError(/NaN in the output/),
      },
      {
        name: "messages that are none of the harness's",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.send({ nonsense: true }); return sum(x); }, check: undefined,`,
        ),
        wrong: expectExit(EXIT.wrong),
      },
      {
        name: "a file that does not parse",
        base: GOOD,
        head: { [FILE]: "export default [{" },
        wrong: expectRefusal(EXIT.wrong, /Unexpected end of input/),
      },
      {
        name: "a bench that head lacks",
        base: headWith('}, { id: "gone", run: () => { let s = 0; for (let i = 0; i < 9999; i++) s += i; return s; },'),
        head: GOOD,
        wrong: expectError(/missing/),
      },
    ],
    options,
  );

/** As the harness says it of an output that its check refuses. */
const WRONG_OUTPUT = /wrong output: its error is [\d.e+-]+, the tolerance/;
/** Of an output that is left from an earlier call; where its buffer was filled before, that is found first. */
const STALE = /wrong output: its error is [\d.e+-]+, the tolerance|output numbers were not written by the call/;

const at11: MeasuredTest = (options) =>
  runScenarios(
    "AT11",
    "outputs that are wrong, remembered or shared are rejected",
    [
      {
        name: "a wrong output",
        base: GOOD,
        head: headWith("run: (s, x) => { s.out[0] = sum(x) + 1e-6; return s.out; },"),
        wrong: expectError(WRONG_OUTPUT),
      },
      {
        name: "the output of the first call",
        base: GOOD,
        head: headWith("run: (s, x) => { if (s.calls++ === 0) s.out[0] = sum(x); return s.out; },"),
        wrong: expectError(STALE),
      },
      {
        name: "outputs remembered by the identity of the input",
        base: GOOD,
        head: headWith(
          "run: (s, x) => { if (!s.seen.has(x)) s.seen.set(x, sum(x)); s.out[0] = s.seen.get(x); return s.out; },",
        ),
        wrong: expectError(WRONG_OUTPUT),
      },
      {
        name: "a bench that writes to its input",
        base: GOOD,
        head: headWith("run: (s, x) => { s.out[0] = sum(x); x[7] += 1; return s.out; },"),
        wrong: expectError(/the call changed its input/),
      },
      {
        name: "an output that is the input",
        base: GOOD,
        head: headWith("run: (s, x) => { sum(x); return x; }, check: undefined,"),
        wrong: expectError(/the output lies in the memory of the input/),
      },
      {
        name: "zeros",
        base: GOOD,
        head: headWith("run: (s) => { s.out[0] = 0; return s.out; },"),
        wrong: expectError(WRONG_OUTPUT),
      },
    ],
    options,
  );

const at12: MeasuredTest = (options) =>
  runScenarios(
    "AT12",
    "a body of a few nanoseconds is not evaluated",
    [
      {
        name: "a body of some 20 ns",
        base: headWith("run: (s, x) => x[1] * 3 + x[2], check: undefined,"),
        head: headWith("run: (s, x) => x[1] * 3 + x[3], check: undefined,"),
        wrong: ({ results, exitCode, refused }) => {
          const bench = results?.benches?.[0];
          if (bench === undefined) return refused ?? "there are no results";
          if (!bench.flags.some((flag) => flag === "timer-bound" || flag === "empty-body")) {
            return `flags ${bench.flags.join(", ") || "none"}`;
          }
          if (bench.estimate !== null || bench.verdict === "REGRESSED") return `it was judged: ${bench.verdict}`;
          return exitCode === EXIT.regressed ? "the run failed" : undefined;
        },
      },
    ],
    options,
  );

export const SCENARIO_TESTS: Readonly<Record<string, MeasuredTest>> = {
  AT8: movedMachine,
  AT9: refusedArms,
  AT10: at10,
  AT11: at11,
  AT12: at12,
};
