/** `bench list`: the benches of this folder, without a call of any. */

import type { Command } from "commander";
import { deltaOf } from "../define/resolve-config.ts";
import { plainText } from "../report/escape.ts";
import { formatPercent } from "../report/format.ts";
import { formatTable } from "../report/table.ts";
import { ownBenches } from "../solo/run-solo.ts";

interface ListFlags {
  readonly config?: string;
  readonly json?: boolean;
}

/** Adds the command to `bench`, or to the program of this package. */
export function addList(parent: Command): void {
  parent
    .command("list")
    .description("List the benches of this folder: what `run` measures and `gate` guards.")
    .argument("[filter...]", "benches by name or parameter, as 'gemm/*' dtype=f32 '!slow/*'", [])
    .option("--config <file>", "configuration; default: quern.bench.config.ts here or above")
    .option("--json", "as JSON")
    .action(list);
}

async function list(filter: string[], { config: configFile, json }: ListFlags): Promise<void> {
  const { env } = process;
  const { config, benches } = await ownBenches({ cwd: process.cwd(), configFile, flags: {}, env, filter });
  const found = benches.map(({ id, params, file, family, native, work, delta }) => ({
    id,
    ...(params === undefined ? {} : { params }),
    file,
    ...(family === undefined ? {} : { family }),
    ...(native === undefined ? {} : { native }),
    ...(work === undefined ? {} : { work }),
    delta: deltaOf(config, { id, delta }),
  }));
  if (json === true) {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  const rows = found.map(({ id, params = {}, file, delta }) => {
    const values = Object.entries(params).map(([name, value]) => `${name}=${value}`);
    return [id, values.join(" "), formatPercent(delta), file].map(plainText);
  });
  const columns = [
    { title: "bench", align: "left" },
    { title: "parameters", align: "left" },
    { title: "threshold", align: "right" },
    { title: "file", align: "left" },
  ] as const;
  process.stdout.write(
    `${[...formatTable(columns, rows), "", `${rows.length} ${rows.length === 1 ? "bench" : "benches"}`].join("\n")}\n`,
  );
}
