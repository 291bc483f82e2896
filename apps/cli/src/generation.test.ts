/** `quern generate` and `quern chat` as users meet them: spawned, with exit codes, streams and files. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { GgufWriter, MemorySink, parseGguf } from "@quern/importers/gguf";
import { synthGguf } from "@quern/llm/synth";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const STORIES = resolve(import.meta.dirname, "../../../../shared/data/gguf/stories260K.gguf");
const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "quern-generation-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, name);

const nodeArgs = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main];
const env = { ...process.env, QUERN_DEBUG: "", npm_lifecycle_event: "" };

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The tiny model runs on the device that compiles nothing, the others on the CPU device. */
function quernWith(input: string | Uint8Array, ...args: string[]): Outcome {
  const options = { cwd: folder, encoding: "utf8", env, input, timeout: 250_000 } as const;
  const device = args.includes("tiny.gguf") ? ["--device", "reference"] : [];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeArgs, ...args, ...device], options);
  return { code: status, stdout, stderr };
}

const quern = (...args: string[]): Outcome => quernWith("", ...args);

interface Found {
  readonly text: string;
  readonly tokens: number[];
  readonly finishReason: string;
  readonly stopString?: string;
  readonly seed: number;
  readonly usage: { promptTokens: number; cachedTokens: number; generatedTokens: number };
  readonly logProbabilities?: { token: number; logProbability: number; alternatives: { token: number }[] }[];
}

function completions(file: string): Found[] {
  return (JSON.parse(readFileSync(path(file), "utf8")) as { completions: Found[] }).completions;
}

beforeAll(() => {
  const changes = { layers: 2, width: 64, heads: 2, feedForward: 128, vocabulary: 300, context: 256 };
  writeFileSync(path("tiny.gguf"), synthGguf({ model: "tiny-llama", quant: "F16", changes }));
  writeFileSync(
    path("long.gguf"),
    synthGguf({ model: "tiny-llama", quant: "F16", changes: { ...changes, context: 60_000 } }),
  );
  writeFileSync(path("text.gguf"), "this is a text");
  const other = Buffer.from(synthGguf({ model: "tiny-llama", changes }));
  // Names of architectures are in keys too; the first is the value of general.architecture.
  other.write("lemur", other.indexOf("llama", other.indexOf("general.architecture")));
  writeFileSync(path("other.gguf"), other);
  writeFileSync(path("words.txt"), "word ".repeat(300));
  writeFileSync(path("latin.txt"), Buffer.from([0x66, 0xfc, 0x72]));
  writeFileSync(path("refuses.jinja"), "{{ raise_exception('no system message') if messages[0].role == 'system' }}x");
  writeFileSync(path("broken.jinja"), "{% if %}");
});

describe("help and wrong use", () => {
  it.each(["generate", "chat"])("%s --help", (command) => {
    const { code, stdout, stderr } = quern(command, "--help");
    expect([code, stderr]).toEqual([0, ""]);
    for (const text of ["Usage: quern", "Examples:", "--top-k", "--kv <format>"]) expect(stdout).toContain(text);
  });

  it.each([
    [["generate", "-p", "x"], "missing required argument 'model'"],
    [["generate", "missing.gguf", "-p", "x"], "the model file does not exist"],
    [["generate", ".", "-p", "x"], "a folder, not a model file"],
    [["generate", "text.gguf", "-p", "x"], "the file does not start with GGUF"],
    [["generate", "other.gguf", "-p", "x"], "lemur"],
    [["generate", "tiny.gguf"], "no prompt is given"],
    [["generate", "tiny.gguf", "-p", "x", "-f", "latin.txt"], "cannot be used with option"],
    [["generate", "tiny.gguf", "-f", "missing.txt"], "the text cannot be read (ENOENT"],
    [["generate", "tiny.gguf", "-f", "latin.txt"], "the text is not UTF-8\n  at --file latin.txt"],
    [["generate", "tiny.gguf", "-f", "words.txt"], "tokens, the context has room for 256"],
    [
      ["generate", "tiny.gguf", "-p", "x", "--context", "257"],
      "the model was made for 256 tokens, not 257\n  at --context",
    ],
    [["generate", "tiny.gguf", "-p", "x", "--temperature", "-1"], "--temperature"],
    [["generate", "tiny.gguf", "-p", "x", "--top-p", "0"], '"0" is not above 0 and at most 1\n  at --top-p'],
    [["generate", "tiny.gguf", "-p", "x", "--greedy", "--top-k", "3"], "'--greedy' cannot be used with"],
    [["generate", "tiny.gguf", "-p", "x", "--stop", ""], "cannot be empty"],
    [["generate", "tiny.gguf", "-p", "x", "--kv", "q4"], 'there is no cache format "q4"'],
    [["generate", "tiny.gguf", "-p", "x", "--page-size", "20"], '"20" is not a multiple of 16'],
    [["generate", "tiny.gguf", "-p", "x", "--json", "/proc/nowhere/x.json"], "cannot be written"],
    [["generate", "tiny.gguf", "-p", "x", "--system", "y"], "--system is of use with --chat only"],
    [["generate", "tiny.gguf", "-p", "x", "--chat", "--raw"], "cannot be used with option"],
    [["generate", "tiny.gguf", "-p", '[{"content":"x"}]', "--chat"], "message 1 of the conversation has no role"],
    [
      ["generate", "tiny.gguf", "-p", "x", "--chat", "--template", "broken.jinja"],
      "the chat template cannot be rendered",
    ],
    [["chat", "missing.gguf"], "the model file does not exist"],
    [["chat", "tiny.gguf", "--json", "-"], "standard output is for the answers"],
    [["chat", "tiny.gguf", "--template", "missing.jinja"], "--template missing.jinja"],
    [
      ["chat", "tiny.gguf", "--template", "refuses.jinja", "--system", "x"],
      "refuses this conversation: no system message",
    ],
  ])("%j", (args, message) => {
    const { code, stdout, stderr } = quernWith("hello\n", ...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

describe("generate", () => {
  it("writes the text and nothing else; the seed decides it, wherever the prompt comes from", () => {
    writeFileSync(path("prompt.txt"), "hello\n");
    const options = ["--seed", "7", "-n", "12", "--ignore-end"];
    const first = quern("generate", "tiny.gguf", "-p", "hello", ...options, "--json", "first.json");
    expect([first.code, first.stderr]).toEqual([0, ""]);
    const [found] = completions("first.json") as [Found];
    expect([found.finishReason, found.seed, found.tokens.length]).toEqual(["length", 7, 12]);
    expect(first.stdout.trimEnd()).toBe(found.text.trimEnd());
    for (const outcome of [
      quern("generate", "tiny.gguf", "-f", "prompt.txt", ...options),
      quernWith("hello\n", "generate", "tiny.gguf", "--file", "-", ...options),
      quern("generate", "tiny.gguf", "-p", "hello", ...options, "--quiet", "--page-size", "16", "--context", "128"),
    ])
      expect(outcome).toEqual(first);
    const other = quern("generate", "tiny.gguf", "-p", "hello", "--seed", "8", "-n", "12", "--ignore-end");
    expect(other.stdout).not.toBe(first.stdout);
  });

  it("several at once are those of the seeds that follow", () => {
    const options = ["-n", "8", "--ignore-end", "--precision", "highest", "--kv", "f32"];
    const { code, stdout } = quern(
      "generate",
      "tiny.gguf",
      "-p",
      "hello",
      "--seed",
      "3",
      "--parallel",
      "3",
      ...options,
      "--json",
      "all.json",
    );
    expect(code).toBe(0);
    const all = completions("all.json");
    expect(all.map(({ seed }) => seed)).toEqual([3, 4, 5]);
    for (const [i, { text }] of all.entries()) expect(stdout).toContain(`── ${i + 1} of 3 ──\n${text}`);
    quern("generate", "tiny.gguf", "-p", "hello", "--seed", "5", ...options, "--json", "one.json");
    expect(completions("one.json")[0]!.tokens).toEqual(all[2]!.tokens);
  });

  it("--greedy takes the first alternative; --json - prints JSON and nothing else", () => {
    const options = ["-n", "6", "--ignore-end", "--logprobs", "3"];
    const { code, stdout } = quern("generate", "tiny.gguf", "-p", "hello", "--greedy", ...options, "--json", "-");
    expect(code).toBe(0);
    const {
      completions: [found],
    } = JSON.parse(stdout) as { completions: [Found] };
    expect(found.logProbabilities).toHaveLength(6);
    for (const { token, logProbability, alternatives } of found.logProbabilities!) {
      expect(alternatives).toHaveLength(3);
      expect(alternatives[0]).toMatchObject({ token, logProbability });
    }
    const shown = quern("generate", "tiny.gguf", "-p", "hello", "--greedy", ...options);
    expect(shown.stdout).toMatch(/\ntoken +probability +others\n─/);
    expect(shown.stdout.match(/ %/g)).toHaveLength(18);
  });

  it("--stop ends the text before what it names", () => {
    const options = ["-p", "hello", "--greedy", "-n", "40", "--ignore-end"];
    const { stdout } = quern("generate", "tiny.gguf", ...options);
    const stop = stdout.slice(9, 12);
    quern("generate", "tiny.gguf", ...options, "--stop", "never this", "--stop", stop, "--json", "stop.json");
    const [found] = completions("stop.json") as [Found];
    expect([found.finishReason, found.stopString]).toEqual(["stop", stop]);
    expect(found.text).toBe(stdout.slice(0, stdout.indexOf(stop)));
  });

  it("--chat goes through the template", () => {
    writeFileSync(path("plain.jinja"), "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}");
    const options = ["-n", "1", "--ignore-end", "--chat", "--template", "plain.jinja", "--json", "chat.json"];
    quern("generate", "tiny.gguf", "-p", "hi", "--system", "be brief", ...options);
    const [asked] = completions("chat.json") as [Found];
    const messages = [
      { role: "system", content: "be brief" },
      { role: "user", content: "hi" },
    ];
    quern("generate", "tiny.gguf", "-p", JSON.stringify(messages), ...options);
    expect(completions("chat.json")[0]!.usage).toEqual(asked.usage);
    quern("generate", "tiny.gguf", "-p", "hi", ...options);
    expect(completions("chat.json")[0]!.usage.promptTokens).toBeLessThan(asked.usage.promptTokens);
  });

  it("Ctrl-C keeps what there is", async (context) => {
    if (process.platform === "win32") context.skip("signals end processes on Windows");
    const args = ["generate", "long.gguf", "-p", "x", "--ignore-end", "-c", "60000", "--json", "kept.json"];
    const child = spawn(process.execPath, [...nodeArgs, ...args], { cwd: folder, env });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (stdout === "") child.kill("SIGINT");
      stdout += text;
    });
    const code = await new Promise((done) => child.once("close", done));
    expect(code).toBe(130);
    const [found] = completions("kept.json") as [Found];
    expect(found.finishReason).toBe("abort");
    expect(found.tokens.length).toBeGreaterThan(0);
    expect(stdout.trimEnd()).toBe(found.text.trimEnd());
  });

  it("maps all files of a split model", () => {
    const { metadata, tensors } = parseGguf(readFileSync(path("long.gguf")));
    const all = [...tensors.values()];
    for (const [no, part] of [all.slice(0, 5), all.slice(5)].entries()) {
      const split = new Map(metadata.values).set("split.no", { type: "u16", value: no });
      split
        .set("split.count", { type: "u16", value: 2 })
        .set("split.tensors.count", { type: "i32", value: all.length });
      const sink = new MemorySink();
      const writer = new GgufWriter(sink, { metadata: split, tensors: part });
      for (const { name, bytes } of part) writer.tensor(name, bytes);
      writer.finish();
      writeFileSync(path(`split-0000${no + 1}-of-00002.gguf`), sink.bytes());
    }
    const options = ["-p", "hello", "--greedy", "-n", "12", "--ignore-end"];
    const whole = quern("generate", "long.gguf", ...options);
    expect(whole.code).toBe(0);
    expect(quern("generate", "split-00001-of-00002.gguf", ...options)).toEqual(whole);
    const second = quern("generate", "split-00002-of-00002.gguf", ...options);
    expect([second.code, second.stdout]).toEqual([2, ""]);
  });

  it("tells a story", (context) => {
    if (!existsSync(STORIES)) context.skip("shared/data/gguf is not there");
    const { stdout } = quern("generate", STORIES, "-p", "Once upon a time", "--greedy", "-n", "30");
    expect(stdout).toMatch(/^, there was a little girl named Lily\. She loved to play outside in the park\./);
  });
});

describe("chat", () => {
  interface Conversation {
    readonly messages: { role: string; content: string }[];
    readonly turns: Found[];
  }

  it("answers line by line, and finds in the cache what was said before", () => {
    const lines = ["tell me something long about mills, please", "", "and more", "/exit", "never read"].join("\n");
    const options = ["--greedy", "-n", "30", "--ignore-end", "--page-size", "16", "--system", "be brief"];
    const { code, stdout, stderr } = quernWith(lines, "chat", "tiny.gguf", ...options, "--json", "talk.json");
    expect([code, stderr]).toEqual([0, ""]);
    const { messages, turns } = JSON.parse(readFileSync(path("talk.json"), "utf8")) as Conversation;
    expect(messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user", "assistant"]);
    const answers = messages
      .filter(({ role }) => role === "assistant")
      .map(({ content }) => `${content.trimStart()}\n`);
    expect(stdout).toBe(answers.join(""));
    expect(turns).toHaveLength(2);
    expect(turns[0]!.usage.cachedTokens).toBe(0);
    expect(turns[1]!.usage.cachedTokens).toBeGreaterThanOrEqual(16);
  });

  it("/clear begins again", () => {
    const { stdout } = quernWith("one\n/clear\none", "chat", "tiny.gguf", "--greedy", "-n", "9", "--ignore-end");
    expect(stdout.slice(0, stdout.length / 2)).toBe(stdout.slice(stdout.length / 2));
  });

  it("a model without a template is told about, and answers", (context) => {
    if (!existsSync(STORIES)) context.skip("shared/data/gguf is not there");
    const { code, stdout, stderr } = quernWith("Hello\n", "chat", STORIES, "--greedy", "-n", "20");
    expect(code).toBe(0);
    expect(stderr).toContain("the model has no chat template");
    expect(stdout).not.toBe("");
    expect(quernWith("Hello\n", "chat", STORIES, "--greedy", "-n", "20", "--quiet")).toEqual({
      code,
      stdout,
      stderr: "",
    });
  });

  it("a conversation that does not fit is an error, behind the answers that fitted", () => {
    const lines = `hi\n${"word ".repeat(300)}\n`;
    const { code, stdout, stderr } = quernWith(lines, "chat", "tiny.gguf", "--greedy", "-n", "5");
    expect([code, stdout === ""]).toEqual([2, false]);
    expect(stderr).toContain("tokens, the context has room for 256");
    const latin = quernWith(Buffer.from([0x66, 0xfc, 0x0a]), "chat", "tiny.gguf");
    expect([latin.code, latin.stdout]).toEqual([2, ""]);
    expect(latin.stderr).toContain("the text is not UTF-8\n  at standard input");
  });
});

describe("inspect", () => {
  it("shows what a language model is, and whether it runs", () => {
    const { code, stdout, stderr } = quern("inspect", "tiny.gguf");
    expect([code, stderr]).toEqual([0, ""]);
    for (const text of ["✓ runs on this build", "context    256 tokens", "blk.*.attn_q.weight", "for chat"])
      expect(stdout).toContain(text);
    const other = quern("inspect", "other.gguf");
    expect(other.code).toBe(0);
    expect(other.stdout).toMatch(/– does not run on this build: .*lemur/);
    expect(quern("inspect", "text.gguf").code).toBe(2);
  });

  it("--json - prints JSON and nothing else; --stage shows the graph of a step", () => {
    const found = JSON.parse(quern("inspect", "tiny.gguf", "--json", "-").stdout) as Record<string, unknown>;
    expect(found).toMatchObject({ architecture: "llama", quant: "F16", problem: null, files: 1 });
    expect(found["hyperparameters"]).toMatchObject({ layers: 2, kvHeads: 1, headDim: 32 });
    expect(found["cacheBytesPerToken"]).toMatchObject({ f16: 2 * 2 * 1 * 32 * 2 });
    const { code, stdout } = quern("inspect", "tiny.gguf", "--stage", "graph", "--device", "reference");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^graph @/);
    expect(stdout).toContain("attention(");
  });
});
