/** Writing results: as the commands of `@quern/bench` do. */
export { requireWritable, writeWhole } from "@quern/bench/commands";
