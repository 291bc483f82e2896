/** What one check of a machine has found. */

/** `fine`; `note`: to know when reading results; `warning`: results are less sure; `unfit`: a gate cannot be trusted here. */
export type Condition = "fine" | "note" | "warning" | "unfit";

export interface Finding {
  readonly name: string;
  readonly condition: Condition;
  readonly detail: string;
  /** What would mend it. */
  readonly fix?: string;
}

export function finding(name: string, condition: Condition, detail: string, fix?: string): Finding {
  return { name, condition, detail, ...(fix === undefined || condition === "fine" ? {} : { fix }) };
}
