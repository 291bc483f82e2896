/**
 * Which engine's logits those of another are held against.
 *
 * Engines of one family run the same code and make the same mistakes: that they agree proves nothing, and only that they differ is
 * told. The baseline is held to be right; where it is missing an engine of its family stands in, else the first one asked for. Engines
 * of other families are held against it, and its own family against one of those that agree with it.
 */

import { llmEngineNamed, llmEngines } from "../engines/llm-engines.ts";
import { compareRows, disagreement, type Agreement } from "./agreement.ts";

/** What one engine computed. */
export interface ShownLogits {
  readonly engine: string;
  readonly rows: readonly Float32Array[];
}

export interface Judgement {
  readonly engine: string;
  /** The engine that it is held against, of another family where the two agree. */
  readonly against: string;
  readonly agreement: Agreement;
  /** Why the two did not compute the same; undefined where they did. */
  readonly differs: string | undefined;
}

/** `shown` in the order in which engines were asked for. An engine without a judgement was compared with nothing. */
export function judgeLogits(shown: readonly ShownLogits[]): Judgement[] {
  const [first, ...rest] = shown.toSorted((a, b) => distrust(a.engine) - distrust(b.engine));
  if (first === undefined) return [];
  const isKin = ({ engine }: ShownLogits): boolean => familyOf(engine) === familyOf(first.engine);
  const others = rest.filter((one) => !isKin(one));
  const ofOthers = others.map((one) => judge(one, first));
  const oracle = others.find((_, i) => ofOthers[i]?.differs === undefined);
  const ofKin = rest.filter(isKin).map((one) => judge(one, oracle ?? first));
  const ofFirst = ofOthers
    .filter(({ differs }) => differs === undefined)
    .map((found): Judgement => ({ ...found, engine: first.engine, against: found.engine }));
  return [...ofOthers, ...ofKin.filter(({ differs }) => differs !== undefined || oracle !== undefined), ...ofFirst];
}

function judge(one: ShownLogits, against: ShownLogits): Judgement {
  const agreement = compareRows(one.rows, against.rows);
  return { engine: one.engine, against: against.engine, agreement, differs: disagreement(agreement) };
}

function familyOf(engine: string): string {
  return llmEngineNamed(engine).family;
}

function distrust(engine: string): number {
  const { baseline, family } = llmEngineNamed(engine);
  if (baseline) return 0;
  return llmEngines.some((other) => other.baseline && other.family === family) ? 1 : 2;
}
