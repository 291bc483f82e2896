/**
 * Patterns over the identifiers of benches, as filters, thresholds, `removed` and trailers use them. `*` is any text
 * between two slashes, `**` any text, `?` one character, `{a,b}` one of several; everything else stands for itself, so
 * that brackets and dots in an identifier need no care.
 */

const SIGNS = /\*\*|\*|\?|\{[^{}]*\}|[^*?{]+|\{/g;

function expressionOf(pattern: string): string {
  return (pattern.match(SIGNS) ?? [])
    .map((part) => {
      if (part === "**") return ".*";
      if (part === "*") return "[^/]*";
      if (part === "?") return "[^/]";
      if (part.startsWith("{") && part.endsWith("}")) {
        return `(?:${part.slice(1, -1).split(",").map(expressionOf).join("|")})`;
      }
      return RegExp.escape(part);
    })
    .join("");
}

/** Whether the text has signs that stand for other text. */
export function isPattern(text: string): boolean {
  return /[*?]|\{[^{}]*\}/.test(text);
}

/** A test for whole identifiers. A pattern without signs also stands for all that lies below it: `gemm` for `gemm/64`. */
export function patternMatcher(pattern: string): (id: string) => boolean {
  if (!isPattern(pattern)) {
    const folder = pattern.endsWith("/") ? pattern : `${pattern}/`;
    return (id) => id === pattern || id.startsWith(folder);
  }
  const expression = new RegExp(`^${expressionOf(pattern)}$`, "su");
  return (id) => id === pattern || expression.test(id);
}
