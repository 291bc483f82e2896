/** Whether markup is well formed, for tests of the page. */

import { expect } from "vitest";

/** Elements of HTML that have no end. */
const EMPTY: ReadonlySet<string> = new Set(["meta", "br", "input"]);

/**
 * Fails unless every element that is opened is closed, in order, every attribute is quoted, and nothing else looks like markup.
 * Gives the names of all elements and of all attributes.
 */
export function expectBalanced(markup: string): { readonly elements: Set<string>; readonly attributes: Set<string> } {
  const elements = new Set<string>();
  const attributes = new Set<string>();
  const open: string[] = [];
  const text = markup
    .replace("<!doctype html>", "")
    .replace(
      /<(\/?)([a-z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*(?:="[^"<]*")?)*)(\/?)>/g,
      (_, close: string, name: string, given: string, empty: string) => {
        elements.add(name);
        for (const [, attribute] of given.matchAll(/\s([a-zA-Z][a-zA-Z0-9-]*)(?:="[^"]*")?/g))
          attributes.add(attribute as string);
        if (close === "/") expect(open.pop()).toBe(name);
        else if (empty !== "/" && !EMPTY.has(name)) open.push(name);
        return "";
      },
    );
  expect(open).toEqual([]);
  expect(text).not.toMatch(/[<>]/);
  return { elements, attributes };
}
