/** Checks of the model file that a command is given, before anything is loaded. */

import { statSync } from "node:fs";
import { UserError } from "@quern/core";

export function requireModel(file: string): void {
  let isFile: boolean;
  try {
    isFile = statSync(file).isFile();
  } catch (cause) {
    throw new UserError("the model file does not exist", {
      where: file,
      hint: "Give the path of an .onnx file.",
      cause,
    });
  }
  if (!isFile)
    throw new UserError("this is a folder, not a model file", { where: file, hint: "Give the path of an .onnx file." });
}
