/** Load tests against a server of known delays, and their results. */

import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { renderServing } from "../report/serving-terminal.ts";
import { resultsSchema } from "../results/schema.ts";
import { completionsUrl, headersOf, publicUrl, secretsOf, withoutSecrets } from "./address.ts";
import { poissonTimes } from "./arrivals.ts";
import { latenciesOf } from "./latencies.ts";
import { runLoadTest } from "./load-test.ts";
import { servingResults } from "./results.ts";
import { answering, event, flood, planOf, serverOf, text } from "./sample-server.test-support.ts";
import { summarise } from "./summary.ts";
import type { Exchange } from "./types.ts";

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

  it("a second run asks nothing that the first has asked, and each says by what they differ", async () => {
    const { url, asked } = await serverOf(answering(0, 0, 1));
    const plan = planOf(url, { warmUp: 1 });
    const tests = [await runLoadTest(plan), await runLoadTest(plan)];
    const firsts = new Set(asked.map(({ body }) => body.messages[0]?.content.split(" ")[0]));
    expect(firsts.size).toBe(8);
    const nonces = tests.map((test) => servingResults(plan, test, []).serving?.[0]?.nonce ?? "none");
    expect(new Set(nonces).size).toBe(2);
    for (const [i, nonce] of nonces.entries()) {
      const ofRun = asked.slice(4 * i, 4 * i + 4).map(({ body }) => body.messages[0]?.content.split(" ")[0]);
      expect(ofRun).toEqual(["3", "0", "1", "2"].map((index) => `${index}-${nonce}`));
    }
    const { url: other, asked: given } = await serverOf(answering(0, 0, 1));
    for (let i = 0; i < 2; i++) await runLoadTest(planOf(other, { requests: 1, nonce: "same" }));
    expect(given[0]?.body).toEqual(given[1]?.body);
  });

  it("requests share connections where the body ends some time behind the answer", async () => {
    const { url, connections } = await serverOf(async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(text("a") + text("b") + event("[DONE]"));
      await sleep(15);
      response.end(": that was all\n\n");
    });
    const { exchanges } = await runLoadTest(planOf(url, { requests: 12 }));
    expect(exchanges.map(({ failure, tokens }) => [failure, tokens])).toEqual(Array(12).fill([undefined, 2]));
    // The second request may come before the first connection is known to be free.
    expect(connections()).toBeLessThanOrEqual(2);
  });

  const behind: readonly (readonly [what: string, more: (response: ServerResponse) => void])[] = [
    ["nothing", () => {}],
    ["more and more", (response) => void flood(response, ": and so on\n\n")],
  ];
  it.each(behind)("behind its end it may send %s: the answer is whole, and ended where it says so", async (_, more) => {
    const { url } = await serverOf((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(text("a") + text("b") + event("[DONE]"));
      more(response);
    });
    const { exchanges } = await runLoadTest(planOf(url, { requests: 2, timeoutMs: 20_000 }));
    expect(exchanges.map(({ failure }) => failure)).toEqual([undefined, undefined]);
    const [first, second] = exchanges as [Exchange, Exchange];
    // What comes behind the end is waited for, a quarter of a second at most, and is no part of the answer's time.
    expect(second.sent - first.ended).toBeGreaterThan(200);
  });

  it("counts parts where the server does not count tokens", async () => {
    const { url } = await serverOf(answering(0, 1, 3, false));
    const { exchanges } = await runLoadTest(planOf(url, { requests: 1 }));
    expect(exchanges[0]).toMatchObject({ tokens: 3, counted: "parts" });
    const loadTest = { exchanges, wallMs: 1, startedAt: "", aborted: false, nonce: "" };
    expect(summarise(planOf(url), loadTest).tokensCounted).toBe("parts");
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

  it("takes an error of null, and no choices, for none", async () => {
    const { url } = await serverOf((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const part = { error: null, choices: [{ delta: { content: "a" } }, { delta: null }] };
      response.end(event(part) + event({ error: null, choices: null }) + event("[DONE]"));
    });
    const { exchanges } = await runLoadTest(planOf(url, { requests: 1 }));
    expect(exchanges[0]).toMatchObject({ tokens: 1 });
    expect(exchanges[0]?.failure).toBeUndefined();
  });

  it.each([[{ max_tokens: 100 }], [{ max_completion_tokens: 100 }], [{ max_tokens: null }], [{ n: 5 }]])(
    "%j in the body raises the bound of parts",
    async (extraBody) => {
      // Four tokens were asked for otherwise: 80 parts at most.
      const { url } = await serverOf(answering(0, 0, 90));
      const { exchanges } = await runLoadTest(planOf(url, { requests: 1, extraBody }));
      expect(exchanges[0]).toMatchObject({ tokens: 90 });
      expect(exchanges[0]?.failure).toBeUndefined();
    },
  );

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

describe("the result", () => {
  const ajv = new Ajv2020({ strict: false, formats: { "date-time": true } });
  const validate = ajv.compile(resultsSchema);

  it("follows the schema, and shows no credentials", async () => {
    const answer = answering(1, 1, 2);
    // One request in the middle gets back what it sent.
    const { url } = await serverOf((response, asked, index) => {
      const said = `no ${asked.url} for ${String(asked.headers["x-key"])} of ${asked.headers.authorization}`;
      return index === 1 ? void response.writeHead(404).end(said) : answer(response, asked, index);
    });
    const secret = url.replace("http://", "http://user:hunter2@").replace("/v1", "/v1?key=hunter2");
    const plan = planOf(secret, { headers: { "x-key": "a hunter2" }, goals: { ttft: 60_000 } });
    const results = servingResults(plan, await runLoadTest(plan), ["bench", "url"]);
    validate(results);
    expect(validate.errors).toBeNull();
    expect(JSON.stringify(results)).not.toMatch(/hunter2|dXNlc/);
    expect(results.serving?.[0]?.failures).toEqual([
      { kind: "status", count: 1, example: "404 no /v1/chat/completions… for … of Basic …" },
    ]);
    expect(results.serving?.[0]?.goodput).toMatchObject({ kept: 2, share: 2 / 3 });
  });

  it("addresses", () => {
    expect(completionsUrl("http://a/v1")).toBe("http://a/v1/chat/completions");
    expect(completionsUrl("http://a/v1/?key=1")).toBe("http://a/v1/chat/completions?key=1");
    expect(completionsUrl("http://a/v1/chat/completions")).toBe("http://a/v1/chat/completions");
    expect(completionsUrl("http://a")).toBe("http://a/chat/completions");
    expect(completionsUrl("http://u:p@a/v1?key=1")).toBe("http://a/v1/chat/completions?key=1");
    expect(publicUrl("https://u:p@a:1/v1/?k=2#x")).toBe("https://a:1/v1");
  });

  it("a name and a password of an address are a header, unless there is one", () => {
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;
    const url = "http://us%C3%A9r:p%40ss%@a/v1";
    expect(headersOf({ url, headers: {} })).toEqual({ authorization: basic("usér:p%40ss%") });
    expect(headersOf({ url: "http://u:p%40@a", headers: { "X-A": "b" } })).toEqual({
      authorization: basic("u:p@"),
      "x-a": "b",
    });
    const given = { Authorization: "Bearer k" };
    expect(headersOf({ url, headers: given })).toEqual({ authorization: "Bearer k" });
    expect(headersOf({ url: "http://a/v1", headers: {} })).toEqual({});
  });

  it("credentials are taken out of what a server says", () => {
    const url = "http://alice:s%40cret@a/v1?key=K%2BEY&b=1";
    const secrets = secretsOf({ url, headers: { authorization: "Bearer hunter2" } });
    const said = `no ?key=K%2BEY&b=1, no K+EY, no K%2BEY, no s@cret of alice, no ${btoa("alice:s@cret")}, no Bearer hunter2, no hunter2`;
    expect(withoutSecrets(said, secrets)).toBe("no …, no …, no …, no … of …, no …, no …, no …");
  });
});
