/** Load tests against a server that does everything wrong, and plans that are none. */

import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { renderServing } from "../report/serving-terminal.ts";
import { runLoadTest } from "./load-test.ts";
import { servingResults } from "./results.ts";
import { ROLE, type Answer, answering, event, flood, planOf, serverOf, text } from "./sample-server.test-support.ts";
import { summarise } from "./summary.ts";
import type { ServingPlan } from "./types.ts";

describe("a server that does it wrong", () => {
  const wrong: Readonly<Record<string, readonly [kind: string, message: RegExp, answer: Answer]>> = {
    "no such model": [
      "status",
      /^404 .*no model/,
      (response) => void response.writeHead(404).end('{"error":"no model"}'),
    ],
    overloaded: ["status", /^503$/, (response) => void response.writeHead(503).end()],
    "a cut connection": [
      "broken",
      /after 1 parts/,
      async (response) => {
        response.writeHead(200);
        response.write(text("a"));
        await sleep(20);
        response.destroy();
      },
    ],
    "a stream without an end": [
      "broken",
      /without an end/,
      (response) => void response.writeHead(200).end(text("a") + text("b")),
    ],
    "half an event at the end": [
      "broken",
      /without an end/,
      (response) => void response.writeHead(200).end(`${text("a")}data: [DONE]`),
    ],
    "no JSON": ["invalid", /no JSON: \{oops/, (response) => void response.writeHead(200).end(event("{oops"))],
    "an error in the stream": [
      "invalid",
      /out of memory/,
      (response) => void response.writeHead(200).end(text("a") + event({ error: { message: "out of memory" } })),
    ],
    "no text": ["empty", /no text/, (response) => void response.writeHead(200).end(ROLE + event("[DONE]"))],
    "a hang before the answer": ["timeout", /300 ms, after 0 parts/, () => {}],
    "a hang within the answer": [
      "timeout",
      /300 ms, after 1 parts/,
      (response) => {
        response.writeHead(200);
        response.write(text("a"));
      },
    ],
    "a refusal without an end": [
      "status",
      /^500 oops oops/,
      (response) => void flood(response.writeHead(500), "oops ".repeat(200)),
    ],
    "a refusal that stops in its middle": [
      "status",
      /^500 half of it$/,
      (response) => void response.writeHead(500).write("half of it"),
    ],
    "empty parts without an end": [
      "timeout",
      /300 ms, after 0 parts/,
      (response) => void flood(response.writeHead(200), event({ choices: [] }), 20),
    ],
    "text without an end": [
      "invalid",
      /more than 80 parts/,
      (response) => void flood(response.writeHead(200), text("and so on ")),
    ],
    "choices that are no list": [
      "invalid",
      /choices of a part are none: \{"choices":\{\}\}/,
      (response) => void response.writeHead(200).end(text("a") + event({ choices: {} })),
    ],
    "a choice of null": [
      "invalid",
      /choices of a part are none/,
      (response) => void response.writeHead(200).end(event({ choices: [null] })),
    ],
    "a list for a part": [
      "invalid",
      /a part is \[null\]/,
      (response) => void response.writeHead(200).end(event([null])),
    ],
    "a refused connection": ["connection", /fetch failed|ECONN/, (response) => void response.socket?.destroy()],
  };

  it.each(Object.keys(wrong))("%s is a failure, and the others go on", { timeout: 20_000 }, async (name) => {
    const [kind, message, bad] = wrong[name] as (typeof wrong)[string];
    const good = answering(1, 1, 2);
    const { url } = await serverOf((response, asked, index) => (index === 1 ? bad : good)(response, asked, index));
    const plan = planOf(url, { timeoutMs: 300, goals: { ttft: 60_000 } });
    const test = await runLoadTest(plan);
    expect(test.exchanges.map(({ failure }) => failure?.kind)).toEqual([undefined, kind, undefined]);
    expect(test.exchanges[1]?.failure?.message).toMatch(message);
    const record = summarise(plan, test);
    expect(record).toMatchObject({ completed: 2, failed: 1, failures: [{ kind, count: 1 }] });
    expect(record.latency.ttft.samples).toBe(2);
    expect(record.goodput).toMatchObject({ kept: 2, share: 2 / 3 });
    expect(renderServing(record)).toContain(`1 failed, ${kind}`);
  });

  it("a server that answers nothing ends the warm-up with the reason", async () => {
    const { url } = await serverOf((response) => void response.writeHead(401).end("who are you?"));
    await expect(runLoadTest(planOf(url, { warmUp: 2 }))).rejects.toThrow(
      /answers no request \(status: 401 who are you/,
    );
  });

  it("nobody there is said at once", async () => {
    await expect(runLoadTest(planOf("http://127.0.0.1:9/v1", { warmUp: 1 }))).rejects.toThrow("127.0.0.1:9");
  });

  it("wrong plans are refused before anything is sent", async () => {
    const { url, asked } = await serverOf(answering(0, 0, 1));
    const bad: [Partial<ServingPlan>, string][] = [
      [{ url: "localhost" }, "no address"],
      [{ url: "file:///etc/passwd" }, "no address"],
      [{ requests: 0 }, "--requests"],
      [{ arrivals: { kind: "poisson", rate: Infinity } }, "--rate"],
      [{ arrivals: { kind: "poisson", rate: -1 } }, "--rate"],
      [{ arrivals: { kind: "closed", concurrency: 0 } }, "--concurrency"],
      [{ arrivals: { kind: "burst" }, goals: { ttft: 200 } }, "--goodput"],
      [{ timeoutMs: 300_001 }, "--timeout"],
    ];
    for (const [changes, message] of bad) await expect(runLoadTest(planOf(url, changes))).rejects.toThrow(message);
    expect(asked).toEqual([]);
  });

  it("stopping keeps what was answered", async () => {
    const { url } = await serverOf(answering(40, 1, 2));
    const controller = new AbortController();
    const plan = planOf(url, { requests: 1000 });
    const stopAtTwo = (done: number): void => {
      if (done === 2) controller.abort();
    };
    const test = await runLoadTest(plan, stopAtTwo, controller.signal);
    expect(test.aborted).toBe(true);
    expect(test.exchanges.map(({ failure }) => failure)).toEqual([undefined, undefined]);
    expect(servingResults(plan, test, []).run?.aborted).toBe(true);
  });
});
