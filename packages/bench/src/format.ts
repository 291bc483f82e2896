/** Numbers and tables as text, without the rest of the package. */

export { formatBytes, formatMs, formatRatio } from "./report/format.ts";
export { formatTable } from "./report/table.ts";
