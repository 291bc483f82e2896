/**
 * The instruction table as documentation: what can be assembled, by family.
 */
import { formNotation } from "./match.ts";
import { families, formsOf } from "./table.ts";

/** One mnemonic with everything it accepts. */
export interface CoveredInstruction {
  readonly family: string;
  readonly mnemonic: string;
  /** Operand forms in the manual's notation, without repetition. */
  readonly forms: readonly string[];
  /** CPU features of its forms, each a set separated by spaces. */
  readonly features: readonly string[];
}

/** Every instruction of the table, in table order. */
export function coveredInstructions(): readonly CoveredInstruction[] {
  return Object.entries(families).flatMap(([family, rows]) =>
    [...new Set(rows.map(([mnemonic]) => mnemonic))].map((mnemonic) => {
      const forms = formsOf(mnemonic);
      return {
        family,
        mnemonic,
        forms: [...new Set(forms.map(formNotation))],
        features: [...new Set(forms.map((form) => form.feature))],
      };
    }),
  );
}

/** The same as a Markdown document, one table per family. */
export function renderCoverage(): string {
  const lines: string[] = [];
  let family = "";
  for (const entry of coveredInstructions()) {
    if (entry.family !== family) {
      family = entry.family;
      lines.push(
        "",
        `## ${family[0]?.toUpperCase()}${family.slice(1)}`,
        "",
        "| mnemonic | forms | features |",
        "|---|---|---|",
      );
    }
    const forms = entry.forms.map((form) => (form === "" ? "(no operands)" : `\`${form}\``)).join("<br>");
    lines.push(`| \`${entry.mnemonic}\` | ${forms} | ${entry.features.join(", ")} |`);
  }
  return `${lines.join("\n").trimStart()}\n`;
}
