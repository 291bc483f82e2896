import { UserError } from "@quern/core/errors";

/** Parser of an option that is a number in a range. It throws a `UserError` naming the option and what is possible. */
export function numberOption(option: string, least: number, most: number, integer = false): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most && (!integer || Number.isInteger(value))) return value;
    const kind = integer ? "a whole number" : "a number";
    throw new UserError(`"${text}" is not ${kind} from ${least} to ${most}`, { where: option });
  };
}
