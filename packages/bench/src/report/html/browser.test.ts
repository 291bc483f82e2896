/**
 * The page in a real browser: at the width of a desk and of a phone, light and dark, on paper. Skipped where no Chromium is
 * installed.
 */

import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AxeResults } from "axe-core";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { claimable } from "../claimable.test-support.ts";
import { withHostileTexts } from "../hostile.test-support.ts";
import { renderHtml } from "../html.ts";
import { sampleGate } from "../../results/sample-gate.ts";
import { sampleResults } from "../../results/sample-results.ts";
import type { Results } from "../../results/schema.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function findBrowser(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const executablePath = findBrowser();
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "quern-page-"));
let browser: Browser | undefined;

beforeAll(async () => {
  if (executablePath === undefined) return;
  // As root, as in containers, Chromium has no sandbox; it opens only the file that is written here.
  browser = await chromium.launch({ executablePath, chromiumSandbox: false });
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Look {
  readonly width: number;
  readonly colorScheme: "light" | "dark";
  readonly javaScriptEnabled?: boolean;
}

interface Opened {
  readonly page: Page;
  /** What the page said on the console, errors and refusals of its policy among it. */
  readonly messages: string[];
  readonly requests: string[];
}

/** Opens a page of results; skips the test where there is no browser. */
async function open(context: TestContext, results: Results, look: Look): Promise<Opened> {
  if (browser === undefined) return context.skip(`no browser on the PATH (${NAMES.join(", ")})`);
  const { width, ...options } = look;
  const page = await (await browser.newContext({ ...options, viewport: { width, height: 900 } })).newPage();
  const messages: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(error.message));
  page.on("dialog", (dialog) => {
    messages.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => requests.push(request.url()));
  const file = join(folder, "page.html");
  writeFileSync(file, renderHtml(results));
  await page.goto(pathToFileURL(file).href);
  return { page, messages, requests };
}

const LOOKS: readonly Look[] = [1280, 390].flatMap((width) => [
  { width, colorScheme: "light" as const },
  { width, colorScheme: "dark" as const },
]);

const PAGES: readonly (readonly [name: string, results: Results, looks: readonly Look[]])[] = [
  ["a gate run", sampleGate(), LOOKS],
  ["engines", claimable(), LOOKS],
  ["engines without claims", sampleResults(), LOOKS.slice(3)],
  ["hostile texts", withHostileTexts(sampleGate(), 3), LOOKS.slice(2, 3)],
];

describe.each(PAGES)("the page of %s", (_, results, looks) => {
  it.for(looks)("at $width pixels, $colorScheme: quiet, alone, readable by all", async (look, context) => {
    const { page, messages, requests } = await open(context, results, look);
    expect(messages).toEqual([]);
    expect(requests).toHaveLength(1);
    const wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    expect(wider, "pixels that the page is wider than the window").toBeLessThanOrEqual(0);
    await page.evaluate(axe);
    const { violations } = await page.evaluate<AxeResults>("axe.run(document)");
    expect(violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0]?.html}`)).toEqual([]);
    await page.context().close();
  });
});

describe("the page of a gate run", () => {
  const desk: Look = { width: 1280, colorScheme: "light" };
  const firstCells =
    "[...document.querySelectorAll('table.sortable tbody tr:not([hidden])')].map((row) => row.cells[1].textContent)";

  it("sorts by keyboard", async (context) => {
    const { page } = await open(context, sampleGate(), desk);
    const worst = await page.evaluate<string[]>(firstCells);
    expect(worst[0]).toBe("render/page");
    const button = page.getByRole("button", { name: "ratio" });
    await button.focus();
    await page.keyboard.press("Enter");
    expect((await page.evaluate<string[]>(firstCells))[0]).toBe("hash <b>&");
    await page.keyboard.press("Enter");
    expect((await page.evaluate<string[]>(firstCells)).slice(-1)).toEqual(["hash <b>&"]);
    expect(await page.getByRole("columnheader", { name: "ratio" }).first().getAttribute("aria-sort")).toBe(
      "descending",
    );
    await page.context().close();
  });

  it("filters tables and charts alike, and says how many rows are left", async (context) => {
    const { page } = await open(context, sampleGate(), desk);
    await page.getByLabel("Filter").fill("sort");
    expect(await page.evaluate(firstCells)).toEqual(["sort/1e4 n=10000", "sort/1e5"]);
    expect(await page.locator(".rows li:visible").count()).toBe(2);
    expect(await page.getByRole("status").textContent()).toBe("2 of 7 rows");
    await page.getByLabel("verdict").selectOption("REGRESSED");
    expect(await page.evaluate(firstCells)).toEqual(["sort/1e4 n=10000"]);
    await page.context().close();
  });

  it("a choice of one engine leaves the charts that are of several", async (context) => {
    const { page } = await open(context, { ...claimable(), trends: sampleGate().trends! }, desk);
    await page.locator(".tools select").selectOption("onnxruntime");
    expect(await page.locator("table.sortable tbody tr:visible").count()).toBe(1);
    expect(await page.locator(".rows li:visible").count()).toBe(0);
    expect(await page.locator("#distributions figure:visible").count()).toBe(2);
    expect(await page.locator("#trends figure:visible").count()).toBe(1);
    // It has an engine of its own, which is another one.
    expect(await page.locator("#time figure:visible").count()).toBe(0);
    await page.context().close();
  });

  it("shows the same rows where scripts are forbidden, without tools that do nothing", async (context) => {
    const { page } = await open(context, sampleGate(), { ...desk, javaScriptEnabled: false });
    expect(await page.locator("table.sortable tbody tr").count()).toBe(7);
    expect(await page.locator(".tools:visible, th button").count()).toBe(0);
    await page.context().close();
  });

  it("runs nothing that a result file holds", async (context) => {
    const { page, messages } = await open(context, withHostileTexts(sampleGate(), 11), desk);
    expect(await page.title()).toBe("Quern gate, 2026-11-23");
    expect(await page.evaluate("document.querySelectorAll('script, style, img, iframe, h1').length")).toBe(3);
    expect(messages).toEqual([]);
    await page.context().close();
  });

  it("unfolds for printing, in dark letters on white", async (context) => {
    const { page } = await open(context, sampleGate(), { ...desk, colorScheme: "dark" });
    await page.emulateMedia({ media: "print" });
    expect(await page.evaluate("getComputedStyle(document.body).color")).toBe("rgb(0, 0, 0)");
    expect(await page.locator("nav:visible, .tools:visible").count()).toBe(0);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
    await page.context().close();
  });
});
