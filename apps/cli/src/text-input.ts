/** Text that users give: files and standard input, as UTF-8 and nothing else. */

import { readFileSync } from "node:fs";
import { UserError } from "@quern/core";

const HINT = "Convert it to UTF-8 first.";

/** Reads a whole text; `path` "-" is standard input. `option` names it in errors. Throws a `UserError` for what is not UTF-8. */
export async function readText(path: string, option: string): Promise<string> {
  const where = `${option} ${path}`;
  let bytes: Uint8Array;
  try {
    bytes = path === "-" ? await readInput() : readFileSync(path);
  } catch (cause) {
    throw new UserError(`the text cannot be read (${(cause as Error).message})`, { where, cause });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UserError("the text is not UTF-8", { where, hint: HINT, cause });
  }
}

async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The lines of standard input as they come, without their ends. */
export async function* inputLines(): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (chunk?: Buffer): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      throw new UserError("the text is not UTF-8", { where: "standard input", hint: HINT, cause });
    }
  };
  let rest = "";
  for await (const chunk of process.stdin) {
    const lines = (rest + decode(chunk as Buffer)).split(/\r?\n/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
  rest += decode();
  if (rest !== "") yield rest;
}
