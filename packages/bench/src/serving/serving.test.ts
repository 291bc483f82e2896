/** Load tests against a server of known delays, and against one that does everything wrong. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, describe, expect, it } from "vitest";
import { renderServing } from "../report/serving-terminal.ts";
import { resultsSchema } from "../results/schema.ts";
import { poissonTimes } from "./arrivals.ts";
import { completionsUrl } from "./exchange.ts";
import { latenciesOf } from "./latencies.ts";
import { runLoadTest } from "./load-test.ts";
import { servingResults } from "./results.ts";
import { publicUrl, summarise } from "./summary.ts";
import type { Exchange, ServingPlan } from "./types.ts";

interface Asked {
  readonly body: { readonly messages: { readonly content: string }[]; readonly [member: string]: unknown };
  readonly headers: IncomingMessage["headers"];
  readonly url: string | undefined;
}

type Answer = (response: ServerResponse, asked: Asked, index: number) => Promise<void> | void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server that answers as told; gives its address and what it was asked. */
async function serverOf(answer: Answer): Promise<{ readonly url: string; readonly asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(pieces).toString()) as Asked["body"];
      const one = { body, headers: request.headers, url: request.url };
      asked.push(one);
      void answer(response, one, asked.length - 1);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}

function event(data: unknown): string {
  return `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

const text = (content: string): string => event({ choices: [{ delta: { content } }] });
const ROLE = event({ choices: [{ delta: { role: "assistant", content: "" } }] });

/** A right answer: `tokens` parts after `first` ms, `gap` ms between them. */
function answering(first: number, gap: number, tokens: number, usage = true): Answer {
  return async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(ROLE);
    await sleep(first);
    for (let i = 0; i < tokens; i++) {
      if (i > 0) await sleep(gap);
      response.write(text(`w${i}`));
    }
    if (usage) response.write(event({ choices: [], usage: { completion_tokens: tokens } }));
    response.end(event("[DONE]"));
  };
}

function planOf(url: string, changes: Partial<ServingPlan> = {}): ServingPlan {
  return {
    url,
    model: "m",
    arrivals: { kind: "closed", concurrency: 1 },
    requests: 3,
    warmUp: 0,
    promptWords: 8,
    maxTokens: 4,
    extraBody: {},
    headers: {},
    goals: {},
    seed: 5,
    timeoutMs: 2000,
    ...changes,
  };
}

describe("a server of known delays", () => {
  it("its latencies are found: never less than the server waits", async () => {
    const { url, asked } = await serverOf(answering(60, 25, 4));
    const plan = planOf(url, { extraBody: { ignore_eos: true }, headers: { authorization: "Bearer k" }, warmUp: 1 });
    const { exchanges, wallMs } = await runLoadTest(plan);
    expect(exchanges.map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
    for (const exchange of exchanges) {
      const { ttft, tpot, e2e, gaps } = latenciesOf(exchange);
      // Timers of Node may be a millisecond early.
      expect(ttft).toBeGreaterThan(58);
      expect(gaps.length).toBe(3);
      expect(tpot).toBeGreaterThan(20);
      expect(e2e).toBeGreaterThan(58 + 3 * 23);
      expect(exchange).toMatchObject({ tokens: 4, counted: "usage" });
    }
    // One client: no two requests at a time, and the warm-up is none of them.
    for (const [i, { sent }] of exchanges.slice(1).entries()) {
      expect(sent).toBeGreaterThanOrEqual((exchanges[i] as Exchange).ended);
    }
    expect(wallMs).toBeGreaterThan(3 * 125);
    expect(asked.length).toBe(4);
    expect(asked[0]?.url).toBe("/v1/chat/completions");
    expect(asked[0]?.headers.authorization).toBe("Bearer k");
    expect(asked[0]?.body).toMatchObject({ model: "m", stream: true, max_tokens: 4, ignore_eos: true });
    const prompts = new Set(asked.map(({ body }) => body.messages[0]?.content.slice(0, 8)));
    expect(prompts.size).toBe(4);
  });

  it("counts parts where the server does not count tokens", async () => {
    const { url } = await serverOf(answering(0, 1, 3, false));
    const { exchanges } = await runLoadTest(planOf(url, { requests: 1 }));
    expect(exchanges[0]).toMatchObject({ tokens: 3, counted: "parts" });
    expect(summarise(planOf(url), { exchanges, wallMs: 1, startedAt: "", aborted: false }).tokensCounted).toBe("parts");
  });

  it.each(["3", -1, 1.5, {}])("takes %j for no count of tokens", async (count) => {
    const { url } = await serverOf((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(text("a") + text("b"));
      response.end(event({ choices: [], usage: { completion_tokens: count } }) + event("[DONE]"));
    });
    const { exchanges } = await runLoadTest(planOf(url, { requests: 1 }));
    expect(exchanges[0]).toMatchObject({ tokens: 2, counted: "parts" });
  });

  it("a closed loop keeps its clients busy, and no more", async () => {
    let open = 0;
    let most = 0;
    const answer = answering(30, 1, 2);
    const { url } = await serverOf(async (response, asked, index) => {
      most = Math.max(most, ++open);
      response.on("close", () => open--);
      await answer(response, asked, index);
    });
    const { exchanges } = await runLoadTest(planOf(url, { arrivals: { kind: "closed", concurrency: 3 }, requests: 9 }));
    expect(exchanges.length).toBe(9);
    expect(most).toBe(3);
  });

  it("an open loop does not wait for a slow server, and its latencies contain the wait", async () => {
    // One request at a time: at 50/s of 60 ms each, requests queue behind each other.
    let turn: Promise<void> = Promise.resolve();
    const answer = answering(60, 0, 1);
    const { url } = await serverOf((response, asked, index) => {
      turn = turn.then(() => answer(response, asked, index));
    });
    const plan = planOf(url, { arrivals: { kind: "poisson", rate: 50 }, requests: 12, timeoutMs: 5000 });
    const { exchanges } = await runLoadTest(plan);
    const due = poissonTimes(50, 12, plan.seed);
    expect(exchanges.map(({ scheduled }) => scheduled)).toEqual(due);
    for (const { scheduled, sent } of exchanges) expect(sent).toBeGreaterThanOrEqual(scheduled);
    // The last one was due long before the eleven others were served.
    const last = exchanges.at(-1) as Exchange;
    expect(last.sent).toBeLessThan(11 * 60);
    expect(latenciesOf(last).ttft).toBeGreaterThan(12 * 58 - last.scheduled);
  });

  it("all at once: throughput, and no latencies", async () => {
    const { url } = await serverOf(answering(20, 0, 2));
    const plan = planOf(url, { arrivals: { kind: "burst" }, requests: 40 });
    const test = await runLoadTest(plan);
    const record = summarise(plan, test);
    expect(record.latency.ttft).toEqual({ samples: 40, mean: null, p50: null, p90: null, p95: null, p99: null });
    expect(record.latency.withheld).toContain("at once");
    expect(record.requestsPerSecond).toBeGreaterThan(0);
    expect(renderServing(record)).toContain("no latencies: all requests were sent at once");
  });
});

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

describe("the result", () => {
  const ajv = new Ajv2020({ strict: false, formats: { "date-time": true } });
  const validate = ajv.compile(resultsSchema);

  it("follows the schema, and shows no credentials", async () => {
    const { url } = await serverOf(answering(1, 1, 2));
    const secret = url.replace("http://", "http://user:hunter2@").replace("/v1", "/v1?key=hunter2");
    const plan = planOf(secret, { headers: { authorization: "Bearer hunter2" }, goals: { ttft: 1000 } });
    const results = servingResults(plan, await runLoadTest({ ...plan, url }), ["bench", "url"]);
    validate(results);
    expect(validate.errors).toBeNull();
    expect(JSON.stringify(results)).not.toContain("hunter2");
    expect(results.serving?.[0]?.goodput).toMatchObject({ kept: 3, share: 1 });
  });

  it("addresses", () => {
    expect(completionsUrl("http://a/v1")).toBe("http://a/v1/chat/completions");
    expect(completionsUrl("http://a/v1/?key=1")).toBe("http://a/v1/chat/completions?key=1");
    expect(completionsUrl("http://a/v1/chat/completions")).toBe("http://a/v1/chat/completions");
    expect(completionsUrl("http://a")).toBe("http://a/chat/completions");
    expect(publicUrl("https://u:p@a:1/v1/?k=2#x")).toBe("https://a:1/v1");
  });
});
