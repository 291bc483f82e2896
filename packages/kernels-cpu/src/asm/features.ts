/**
 * The CPU features an instruction needs, from its row.
 */
import type { Instr } from "./instr.ts";
import { selectForm } from "./match.ts";

/** Feature names separated by spaces: `base`, `avx2`, `fma`, `avx512f avx512vl`, `amx-bf16`, ... All of them are needed. */
export function features(instr: Instr): string {
  return selectForm(instr).feature;
}
