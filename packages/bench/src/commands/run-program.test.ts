/** How errors are printed, and their exit codes. */

import { describe, expect, it, vi } from "vitest";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { reportError } from "./run-program.ts";

function reported(error: unknown): { readonly text: string; readonly code: number } {
  let text = "";
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((part) => Boolean((text += String(part))));
  try {
    return { code: reportError(error, "quern"), text };
  } finally {
    stderr.mockRestore();
  }
}

describe("reportError", () => {
  it("text of strangers in an error commands no terminal, and its lines stay", () => {
    const error = new UserError("no bench\u001b[2J\n  one\u202e\n  two", { where: "r.json" });
    const { text, code } = reported(error);
    expect(code).toBe(EXIT.usage);
    expect(text).toContain("quern: no bench\\u{1b}[2J\n  one\\u{202e}\n  two");
    for (const sign of ["\u001b", "\u202e"]) expect(text).not.toContain(sign);
  });

  it("an exit code of its own is kept; what nobody expected is a defect", () => {
    expect(reported(Object.assign(new UserError("disturbed"), { exitCode: EXIT.invalid })).code).toBe(EXIT.invalid);
    const { text, code } = reported(new Error("broken"));
    expect(code).toBe(EXIT.internal);
    expect(text).toContain("this is a defect of quern");
  });
});
