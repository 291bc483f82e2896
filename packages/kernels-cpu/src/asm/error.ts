/** An instruction, operand or label that the assembler cannot encode; the message names what was given and what is expected. */
export class AssemblerError extends Error {
  override readonly name: string = "AssemblerError";
}
