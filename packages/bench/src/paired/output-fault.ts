/** The output of a call is wrong, or the call did what it must not: the bench is not measured, whatever its speed. */
export class OutputFault extends Error {
  override readonly name: string = "OutputFault";
}
