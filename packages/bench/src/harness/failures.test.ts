import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { InternalError, UserError } from "@quern/core";
import { describe, expect, it } from "vitest";
import { reasonOf } from "./failures.ts";

describe("the reason of a failure", () => {
  it("is what a user error says", () => {
    expect(reasonOf(new UserError("no such op", { where: "m.onnx" }))).toBe("no such op\n  at m.onnx");
  });

  it("is the system's, where that could not do it", () => {
    let given: unknown;
    try {
      readFileSync("/nowhere/m.onnx");
    } catch (error) {
      given = error;
    }
    expect(reasonOf(given)).toMatch(/^its files cannot be read or written \(ENOENT: .*\/nowhere\/m\.onnx/);
  });

  it("is a full disk, with what to do", () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
      code: "ENOSPC",
      syscall: "write",
    });
    expect(reasonOf(full)).toBe(
      `the disk is full\n  at ${tmpdir()}\n  Free some space, or set TMPDIR to a folder on another disk.`,
    );
  });

  it("is a defect where nobody expected it", () => {
    expect(reasonOf(new TypeError("x is no function"))).toBe("this is a defect of quern: x is no function");
    expect(reasonOf(new InternalError("lost"))).toBe("this is a defect of quern: lost");
    expect(reasonOf("words")).toBe("this is a defect of quern: words");
  });
});
