/** A thread that recodes the pieces it is sent, see `piece-encoder.ts`. */

import { parentPort } from "node:worker_threads";
import { UserError } from "@quern/core";
import { type PieceJob, type PieceResult, recodePiece } from "./piece.ts";

/** What a job came to. Errors of the user keep their parts; others fail the thread. */
export type PieceAnswer =
  | { readonly result: PieceResult }
  | { readonly refused: { readonly what: string; readonly hint: string | undefined } };

parentPort?.on("message", (job: PieceJob) => {
  try {
    const result = recodePiece(job);
    // The memory was made for this result: it is handed over, not copied.
    parentPort?.postMessage({ result } satisfies PieceAnswer, [result.bytes.buffer as ArrayBuffer]);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const [what = ""] = error.message.split("\n");
    parentPort?.postMessage({ refused: { what, hint: error.hint } } satisfies PieceAnswer);
  }
});
