/** Writing results: as the commands of `@quern/bench` do. */
export { requireWritable, writeJson, writeWhole } from "@quern/bench/commands";
