/** Servers for tests of load tests: they answer as told, and remember what they were asked. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach } from "vitest";
import type { ServingPlan } from "./types.ts";

export interface Asked {
  readonly body: { readonly messages: { readonly content: string }[]; readonly [member: string]: unknown };
  readonly headers: IncomingMessage["headers"];
  readonly url: string | undefined;
}

export type Answer = (response: ServerResponse, asked: Asked, index: number) => Promise<void> | void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

export interface Asking {
  readonly url: string;
  readonly asked: Asked[];
  /** Connections that were made. */
  readonly connections: () => number;
}

/** A server that answers as told; gives its address and what it was asked. */
export async function serverOf(answer: Answer): Promise<Asking> {
  const asked: Asked[] = [];
  let connections = 0;
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
  server.on("connection", () => connections++);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    connections: () => connections,
  };
}

export function event(data: unknown): string {
  return `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

export const text = (content: string): string => event({ choices: [{ delta: { content } }] });
export const ROLE: string = event({ choices: [{ delta: { role: "assistant", content: "" } }] });

/** A right answer: `tokens` parts after `first` ms, `gap` ms between them. */
export function answering(first: number, gap: number, tokens: number, usage = true): Answer {
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

export function planOf(url: string, changes: Partial<ServingPlan> = {}): ServingPlan {
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

/** Writes `piece` again and again, until nobody reads it any more. */
export async function flood(response: ServerResponse, piece: string, gapMs = 1): Promise<void> {
  for (; !response.destroyed; await sleep(gapMs)) response.write(piece);
}
