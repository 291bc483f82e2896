/** `quern-bench url` as a process: exit codes, standard output, the file it writes, what it keeps to itself. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Results } from "../results/schema.ts";

const main = fileURLToPath(new URL("../commands/main.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "quern-url-"));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(...given: readonly string[]): Promise<Ended> {
  const node = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main, "url"];
  return new Promise((resolve) => {
    execFile(process.execPath, [...node, ...given], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

let asked = 0;
const echoed: string[] = [];
/** Every third request fails under "/shaky/", all but the first two under "/echo/", with what they sent. */
const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    asked++;
    if (request.url?.startsWith("/silent/") === true) return;
    if (request.url?.startsWith("/echo/") === true) {
      echoed.push(`${request.url} ${request.headers.authorization}`);
      if (echoed.length > 2) {
        response.writeHead(404).end(`nothing at ${echoed.at(-1)}`);
        return;
      }
    }
    if (request.url?.startsWith("/shaky/") === true && asked % 3 === 0) {
      response.writeHead(500).end("out of luck");
      return;
    }
    const part = JSON.stringify({ choices: [{ delta: { content: "a" }, finish_reason: null }] });
    response.writeHead(200).end(`data: ${part}\n\ndata: ${part}\n\ndata: [DONE]\n\n`);
  });
});
let base = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(directory, { recursive: true });
});

describe("quern-bench url", () => {
  it("reports, writes the result, and keeps keys to itself", async () => {
    const file = join(directory, "load.json");
    const load = ["--requests", "24", "--concurrency", "2", "--goodput", "ttft:60000"];
    const secret = ["--header", "Authorization: Bearer hunter2"];
    const forms = ["--json", file, "-o", `md=${file}.md`];
    const { code, out, err } = await run(`${base}/v1`, "--model", "m", ...load, ...secret, ...forms, "--quiet");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toContain("completed    24 of 24");
    expect(out).toMatch(/goodput .* 24 requests, 100\.0 %, kept ttft ≤ 60000 ms/);
    const text = readFileSync(file, "utf8");
    expect(text).not.toContain("hunter2");
    const table = readFileSync(`${file}.md`, "utf8");
    expect(table).toMatch(/^### 24 requests answered, 0 failed\n/);
    expect(table).toContain("<pre><code>quern-bench url ");
    const { run: facts, serving } = JSON.parse(text) as Results;
    expect(facts).toMatchObject({ kind: "llm", seed: 1 });
    expect(facts?.argv).toContain("Authorization: …");
    expect(serving?.[0]).toMatchObject({ completed: 24, failed: 0, tokensCounted: "parts" });
    expect(serving?.[0]?.latency.ttft.p50).toBeGreaterThan(0);
    expect(serving?.[0]?.latency.ttft.p99).toBeNull();
  });

  it("Ctrl-C before any answer ends with 130, and an earlier result stays", async () => {
    const file = join(directory, "earlier.json");
    writeFileSync(file, "earlier");
    const node = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main, "url"];
    const before = asked;
    const { promise, resolve } = Promise.withResolvers<Ended>();
    const args = [...node, `${base}/silent/v1`, "--model", "m", "--json", file, "--quiet"];
    const child = execFile(process.execPath, args, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
    while (asked === before && child.exitCode === null) await setTimeout(20);
    child.kill("SIGINT");
    const { code, err } = await promise;
    expect({ code, err }).toEqual({ code: 130, err: "quern-bench: interrupted before anything was measured\n" });
    expect(readFileSync(file, "utf8")).toBe("earlier");
  });

  it("keeps credentials of the address to itself, and sends them", async () => {
    const file = join(directory, "secret.json");
    const address = `${base.replace("//", "//alice:hunter2@")}/echo/v1?key=S3CRET&v=1`;
    const load = ["--model", "m", "--requests", "2", "--warm-up", "1", "--timeout", "300000"];
    const { code, out, err } = await run(
      address,
      ...load,
      "--json",
      file,
      "-o",
      `md=${file}.md`,
      "-o",
      `html=${file}.html`,
    );
    const authorization = `Basic ${Buffer.from("alice:hunter2").toString("base64")}`;
    expect(new Set(echoed)).toEqual(new Set([`/echo/v1/chat/completions?key=S3CRET&v=1 ${authorization}`]));
    // One of the two was answered, and the other got its own address back.
    expect(code).toBe(1);
    const texts = [out, err, ...["", ".md", ".html"].map((ending) => readFileSync(`${file}${ending}`, "utf8"))];
    for (const text of texts) expect(text).not.toMatch(/S3CRET|hunter2|alice/);
    const { run: facts, serving } = JSON.parse(texts[2] as string) as Results;
    expect(facts?.argv.slice(0, 2)).toEqual(["url", `${base}/echo/v1`]);
    expect(serving?.[0]).toMatchObject({ url: `${base}/echo/v1`, completed: 1, failed: 1 });
    expect(serving?.[0]?.failures[0]?.example).toBe("404 nothing at /echo/v1/chat/completions… Basic …");
  });

  it("ends with 1 where requests failed", async () => {
    const { code, out } = await run(`${base}/shaky`, "--model", "m", "--requests", "6", "--rate", "inf", "--quiet");
    expect(code).toBe(1);
    expect(out).toContain("failed, status: 500 out of luck");
  });

  it.each([
    [["ftp://a/v1", "--model", "m"], "no address"],
    [["http://a/v1"], "--model"],
    [["http://a/v1", "--model", "m", "--rate", "2", "--concurrency", "2"], "not both"],
    [["http://a/v1", "--model", "m", "--rate", "0"], "no rate"],
    [["http://a/v1", "--model", "m", "--requests", "0"], "--requests"],
    [["http://a/v1", "--model", "m", "--goodput", "fast"], "--goodput"],
    [["http://a/v1", "--model", "m", "--rate", "inf", "--goodput", "ttft:200"], "--goodput"],
    [["http://a/v1", "--model", "m", "--timeout", "300001"], "--timeout"],
    [["http://a/v1", "--model", "m", "--body", "[1]"], "--body"],
    [["http://a/v1", "--model", "m", "--header", "x"], "--header"],
    [["http://a/v1", "--model", "m", "--json", "/proc/none/x.json"], "--json"],
  ])("%j ends with 2 and says why", async (given, message) => {
    const { code, out, err } = await run(...given);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });
});
