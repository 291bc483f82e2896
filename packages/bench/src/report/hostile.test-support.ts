/** Results whose every text tries to be something else, for tests of what reports make of it. */

import { Random } from "../harness/random.ts";
import { resultsSchema, type Results } from "../results/schema.ts";
import { acceptValue } from "../results/validate.ts";

export const hostileTexts: readonly string[] = [
  "</title></style></script><script>document.title='owned'</script>",
  '"><img src=x onerror="document.title=\'owned\'">',
  "<svg onload=alert(1)></svg><style>*{display:none}</style>",
  "javascript:alert(1)",
  "&lt;b&gt; &amp; &#60;",
  "a | b | c\n| d |",
  "`code` **bold** [link](https://evil.example) ![image](https://evil.example/x.png) @everyone #1 :tada:",
  "</details></code></sub><h1>passed</h1><!-- x --> ]]> --!>",
  "\u001b[2J\u001b[31mred\u0007\u009b0m\b\b\b",
  "\u202Egnp.exe \u200B\u2066hidden\uFEFF",
  '=HYPERLINK("https://evil.example","click"),"b"',
  "\ud800 lone \udfff \ufffe\uffff",
  "line\r\nbreak\ttab\u2028\u2029",
  "${process.exit(1)} %s %n {{x}}",
  "__proto__",
  "x".repeat(3000),
];

/** Texts that reports look up and not only show. */
const KEPT: ReadonlySet<string> = new Set(["schema", "createdAt", "startedAt", "at"]);

/** The same results with other texts wherever the schema allows any. Still of the form that a reader accepts. */
export function withHostileTexts(results: Results, seed: number): Results {
  const random = new Random(seed);
  const replaced = new Map<string, string>();
  const replace = (value: unknown, key: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => replace(item, key));
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, replace(item, name)]));
    }
    if (typeof value !== "string" || KEPT.has(key)) return value;
    // Equal texts stay equal: rows must find each other.
    const known = replaced.get(value) ?? `${hostileTexts[random.below(hostileTexts.length)]}${replaced.size}`;
    replaced.set(value, known);
    return known;
  };
  const schemaAccepts = (candidate: unknown): boolean => {
    try {
      acceptValue(resultsSchema, candidate);
      return true;
    } catch {
      return false;
    }
  };
  // Texts of a list of choices cannot be replaced: what the schema refuses is put back.
  const restore = (path: readonly (string | number)[], value: unknown): unknown => {
    if (typeof value === "string") {
      const key = String(path.findLast((step) => typeof step === "string"));
      const candidate = replace(value, key);
      return schemaAccepts(withValue(results, path, candidate)) ? candidate : value;
    }
    if (Array.isArray(value)) {
      // Numbers are many and no texts.
      return value.every((item) => typeof item === "number")
        ? value
        : value.map((item, i) => restore([...path, i], item));
    }
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, restore([...path, name], item)]));
    }
    return value;
  };
  const hostile = restore([], results) as Results;
  acceptValue(resultsSchema, hostile);
  return hostile;
}

function withValue(root: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (Array.isArray(root)) return root.map((item, i) => (i === step ? withValue(item, rest, value) : item));
  const object = root as Record<string, unknown>;
  return { ...object, [step]: withValue(object[step as string], rest, value) };
}
