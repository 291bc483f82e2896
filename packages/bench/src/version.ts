/** The version of this package, from its own package.json (beside `src` and `dist` alike). All packages of Quern share it. */

import { readFileSync } from "node:fs";

export function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
