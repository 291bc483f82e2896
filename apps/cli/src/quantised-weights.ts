/** What `--quantize` did to the weights of a model, as text. */

import type { KeptWeight, MatmulPrecision, QuantiseReport, QuantisedWeight } from "@quern/core";
import { formatBytes, formatTable } from "@quern/bench/format";

const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** One line: "weights quantised: Q4_K, …". */
export function quantisedLine(
  { quantised, kept, bytesBefore, bytesAfter }: QuantiseReport,
  encoding: string,
  precision: MatmulPrecision,
): string {
  const matrices = `${quantised.length} of ${quantised.length + kept.length} matrices`;
  if (quantised.length === 0) return `weights quantised: ${encoding}, ${matrices}`;
  return `weights quantised: ${encoding}, ${matrices}, ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)}, error up to ${percent(Math.max(...quantised.map(({ error }) => error)))}; products at precision ${precision}`;
}

const COLUMNS = [
  { title: "weights", align: "right" },
  { title: "read by", align: "left" },
  { title: "matrices", align: "right" },
  { title: "encoding", align: "left" },
  { title: "size", align: "right" },
  { title: "error", align: "right" },
  { title: "", align: "left" },
] as const;

/** A row for all matrices of one size and fate; the largest error (rms of the differences over that of the weights). */
export function quantisedTable({ quantised, kept }: QuantiseReport): string[] {
  const groups = Map.groupBy<string, QuantisedWeight | KeptWeight>([...quantised, ...kept], (weight) => {
    const fate = "encoding" in weight ? weight.encoding : weight.reason;
    return [weight.op, weight.rows, weight.columns, fate].join(" ");
  });
  const rows = [...groups.values()].map((members) => {
    const first = members[0] as QuantisedWeight | KeptWeight;
    const shape = [`${first.rows}×${first.columns}`, first.op, String(members.length)];
    if (!("encoding" in first)) return [...shape, "", "", "", `stays: ${first.reason}`];
    const all = members as readonly QuantisedWeight[];
    return [
      ...shape,
      first.encoding,
      formatBytes(all.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0)),
      percent(Math.max(...all.map(({ error }) => error))),
      first.insteadOf === undefined ? "" : `in place of ${first.insteadOf}, whose blocks do not fill a row`,
    ];
  });
  return rows.length === 0 ? [] : formatTable(COLUMNS, rows);
}
