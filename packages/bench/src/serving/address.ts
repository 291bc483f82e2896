/** The address of a server: where requests go, its credentials into a header, and out of everything that is kept or shown. */

import type { ServingPlan } from "./types.ts";

/** Results are shown to others: names, passwords and keys stay out. */
export function publicUrl(text: string): string {
  const url = new URL(text);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/** Where requests go: the base with or without the path of the interface, without a name and a password. */
export function completionsUrl(base: string): string {
  const url = new URL(base);
  url.username = "";
  url.password = "";
  if (!url.pathname.endsWith("/chat/completions"))
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return url.href;
}

/**
 * The headers of the plan, names in small letters; a name and a password in the address become one of them, since `fetch` takes none
 * there.
 */
export function headersOf({ url, headers }: Pick<ServingPlan, "url" | "headers">): Record<string, string> {
  const { username, password } = new URL(url);
  const sent = new Headers(headers);
  if ((username !== "" || password !== "") && !sent.has("authorization")) {
    const both = `${decoded(username)}:${decoded(password)}`;
    sent.set("authorization", `Basic ${Buffer.from(both).toString("base64")}`);
  }
  return Object.fromEntries(sent);
}

/** A shorter text is in too many words to be taken out of them. */
const SHORTEST_SECRET = 4;

/** Texts of a plan that may be credentials, as they are given and as they are sent, the longest first. */
export function secretsOf({ url, headers }: Pick<ServingPlan, "url" | "headers">): string[] {
  const { username, password, search, searchParams } = new URL(url);
  const both = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  const encoded = search.split(/[?&]/).map((pair) => pair.slice(pair.indexOf("=") + 1));
  // Of "Bearer KEY" the key alone too.
  const values = Object.values(headers).flatMap((value) => [value, value.split(" ").at(-1) ?? ""]);
  const found = [username, password, decoded(username), decoded(password), both, search, ...encoded];
  return [...new Set([...found, ...searchParams.values(), ...values])]
    .filter((text) => text.length >= SHORTEST_SECRET)
    .toSorted((a, b) => b.length - a.length);
}

/** What a server or a library says may quote what it was sent. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
}

/** Percent signs that encode nothing stand for themselves. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
