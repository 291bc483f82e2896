/**
 * A gate run as one comment of a pull request, which every run of the same pull request replaces: its first line is always the
 * same, and by it the comment is found again.
 *
 * Where a second machine has measured the alarms of the first one again, the comment says first which of them it confirmed and which
 * it cleared; both reports follow. Everything is rendered from numbers of result files, which may come from anyone.
 */

import { isAccepted } from "../results/accepted.ts";
import type { BenchRecord, Results } from "../results/schema.ts";
import { formatChangeInterval, formatChangeRatio } from "./format.ts";
import { COMMENT_BYTES, renderMarkdown } from "./markdown.ts";
import { code, fit, name, row, rowsOfSection, tableHead } from "./markdown-parts.ts";
import { VERDICTS, benchName, bySeverity, refusal, verdictText } from "./verdicts.ts";

/** The first line; `bench-gate-report.yml` writes it too, where there is no report. */
export const COMMENT_MARK = "<!-- quern bench-gate -->";

/** For what the second machine says of alarms; the two reports share the rest. */
const ALARM_BYTES = 12_000;

/** Of an alarm of the first machine. */
export type SecondLook = "confirmed" | "cleared" | "accepted" | "undecided" | "not judged" | "not measured";

const SIGNS: Readonly<Record<SecondLook, string>> = {
  confirmed: VERDICTS.REGRESSED.sign,
  "not judged": VERDICTS.ERROR.sign,
  "not measured": VERDICTS.INVALID.sign,
  undecided: VERDICTS.INCONCLUSIVE.sign,
  accepted: VERDICTS.EQUIVALENT.sign,
  cleared: VERDICTS.EQUIVALENT.sign,
};

export interface Alarm {
  readonly first: BenchRecord;
  /** Undefined where the second machine did not measure it. */
  readonly second: BenchRecord | undefined;
  readonly look: SecondLook;
}

/** The regressions of the first machine that nobody has accepted, with what the second one found; confirmed ones first. */
export function secondLooks(first: Results, second: Results): Alarm[] {
  const again = new Map((second.benches ?? []).map((bench) => [benchName(bench), bench]));
  const order = Object.keys(SIGNS);
  return bySeverity(first.benches ?? [])
    .filter((bench) => bench.verdict === "REGRESSED" && !isAccepted(bench))
    .map((bench): Alarm => {
      const found = again.get(benchName(bench));
      return { first: bench, second: found, look: lookOf(found) };
    })
    .toSorted((a, b) => order.indexOf(a.look) - order.indexOf(b.look));
}

function lookOf(bench: BenchRecord | undefined): SecondLook {
  if (bench === undefined) return "not measured";
  if (isAccepted(bench)) return "accepted";
  const looks = {
    REGRESSED: "confirmed",
    EQUIVALENT: "cleared",
    IMPROVED: "cleared",
    INCONCLUSIVE: "undecided",
    INVALID: "not judged",
    ERROR: "not judged",
  } as const;
  return looks[bench.verdict];
}

/** "1 confirmed, 2 cleared of 3 alarms" */
export function secondLookSentence(alarms: readonly Alarm[]): string {
  const counts = Object.keys(SIGNS)
    .map((look) => ({ look, count: alarms.filter((alarm) => alarm.look === look).length }))
    .filter(({ count }) => count > 0)
    .map(({ look, count }) => `${count} ${look}`);
  return counts.length === 0 ? "no alarm" : `${counts.join(", ")} of ${alarms.length}`;
}

/** The comment, at most `COMMENT_BYTES` bytes of UTF-8. `second`: results of a second machine, of the alarms of the first. */
export function renderComment(results: Results, second?: Results): string {
  const mark = `${COMMENT_MARK}\n`;
  if (second === undefined) return joined([mark, renderMarkdown(results, { limit: COMMENT_BYTES - mark.length })]);
  const looks = alarmText(results, second);
  const limit = ((COMMENT_BYTES - mark.length - Buffer.byteLength(looks)) >> 1) - HEADING_BYTES;
  const report = (title: string, of: Results): string => `\n## ${title}\n\n${renderMarkdown(of, { limit })}`;
  return joined([mark, looks, report("First machine", results), report("Second machine", second)]);
}

/** Of one of the two headings and the lines around it. */
const HEADING_BYTES = 32;

/** The head of a report has lines that are never left out: those of a file made for it may be longer than a comment. */
function joined(parts: readonly string[]): string {
  let kept = parts;
  while (Buffer.byteLength(kept.join("")) > COMMENT_BYTES && kept.length > 1) kept = kept.slice(0, -1);
  const left = parts.length - kept.length;
  return kept.join("") + (left === 0 ? "" : "\nThe report is too long for a comment: see the JSON or HTML report.\n");
}

function alarmText(first: Results, second: Results): string {
  const alarms = secondLooks(first, second);
  const refused = refusal(second);
  const note = refused === undefined ? "" : `; ${refused}`;
  return fit(
    {
      head: [`## Second machine: ${name(`${secondLookSentence(alarms)}${note}`, 600)}`],
      sections: [
        {
          before: ["", ...tableHead(["second look", "bench", "first machine", "second machine"], [])],
          ...rowsOfSection(alarms, (alarm) =>
            row([
              `${SIGNS[alarm.look]} ${alarm.look}`,
              code(benchName(alarm.first)),
              foundText(alarm.first),
              alarm.second === undefined ? "–" : foundText(alarm.second),
            ]),
          ),
          after: [],
        },
      ],
      foot: ["", "An alarm fails the build unless the second machine clears it, or it is accepted."],
    },
    ALARM_BYTES,
  );
}

function foundText(bench: BenchRecord): string {
  const { estimate } = bench;
  const ratio =
    estimate === null
      ? []
      : [`${formatChangeRatio(estimate.ratio)} ${formatChangeInterval(estimate.low, estimate.high)}`];
  return [verdictText(bench), ...ratio].join(" ");
}
