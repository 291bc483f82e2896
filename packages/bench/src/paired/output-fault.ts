/** The output of a call is wrong, or the call did what it must not: the bench is not measured, whatever its speed. */
export class OutputFault extends Error {
  override readonly name: string = "OutputFault";
}

export const INPUT_CHANGED =
  "the call changed its input: copy what is worked on in place (the next call would get other work)";
