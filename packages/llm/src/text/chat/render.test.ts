/** Chat templates: the reference implementation's renderings, and what is added to the library. */
import { describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { sharedJson, sharedText } from "../shared-data.test-support.ts";
import { renderChat, type ChatMessage, type ChatOptions } from "./render.ts";
import { formatTime } from "./time.ts";

interface Conversation {
  readonly messages: ChatMessage[];
  readonly tools?: unknown[];
  readonly add_generation_prompt: boolean;
}

interface Vectors {
  readonly globals: Readonly<Record<string, unknown>>;
  readonly conversations: Readonly<Record<string, Conversation>>;
  readonly templates: Readonly<
    Record<string, Readonly<Record<string, { readonly text?: string; readonly error?: string }>>>
  >;
}

describe("templates of published models", () => {
  it("render as with Jinja2", (context) => {
    const { globals, conversations, templates } = sharedJson<Vectors>(context, "chat-templates", "expected.json");
    const { bos_token, eos_token, strftime_now, ...variables } = globals;
    let compared = 0;
    for (const [name, cases] of Object.entries(templates)) {
      const template = sharedText(context, "chat-templates", name);
      for (const [conversation, expected] of Object.entries(cases)) {
        const { messages, tools, add_generation_prompt } = conversations[conversation]!;
        const options: ChatOptions = {
          ...variables,
          bosToken: bos_token as string,
          eosToken: eos_token as string,
          now: new Date(String(strftime_now).replace(" ", "T")),
          tools,
          addGenerationPrompt: add_generation_prompt,
        };
        const render = (): string => renderChat(template, messages, options);
        if (expected.error === undefined) expect(render(), `${name} ${conversation}`).toBe(expected.text);
        else expect(render, `${name} ${conversation}`).toThrow(expected.error.replace(/^TemplateError: /, ""));
        compared += 1;
      }
    }
    expect(compared).toBe(118);
  });
});

describe("variables of a template", () => {
  it("are the messages, the options by their Jinja names, and any others", () => {
    const template =
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m['content'] }}]{% endfor %}" +
      "{{ eos_token }}{{ mode }}{{ 1 if tools is none }}{% if add_generation_prompt %}>{% endif %}";
    const messages = [{ role: "user", content: "hi" }];
    const options = { bosToken: "<s>", eosToken: "</s>", mode: "x", addGenerationPrompt: true };
    expect(renderChat(template, messages, options)).toBe("<s>[user:hi]</s>x1>");
    expect(renderChat(template, messages)).toBe("[user:hi]1");
  });

  it("cannot stand in for the messages", () => {
    expect(renderChat("{{ messages | length }}", [], { messages: [1, 2] })).toBe("0");
  });
});

describe("what the library lacks", () => {
  const render = (template: string, variables = {}): string => renderChat(template, [], variables);

  it("writes lists and dictionaries as Python does", () => {
    const value = { a: [1, 2.5, true, null], "it's": 'x"\n', n: {} };
    expect(render("{{ value | string }}", { value })).toBe(`{'a': [1, 2.5, True, None], "it's": 'x"\\n', 'n': {}}`);
    expect(render("{{ 'text' | string }}{{ 5 | string }}")).toBe("text5");
  });

  it("has dictionaries with integer keys", () => {
    const template =
      "{% set d = {16: 'b', 2: 'a'} %}{{ d[16] }}{% for k, v in d | dictsort %}{{ k + 1 }}{{ v }}{% endfor %}";
    expect(render(template)).toBe("b3a17b");
    expect(render("{% set d = {1: 2} %}{{ d[3] }}{{ 1 if d[1] == 2 }}")).toBe("1");
  });

  it("still sorts dictionaries with names", () => {
    expect(render("{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}", { d: { b: 1, a: 2 } })).toBe("a2b1");
  });

  it("has range", () => {
    expect(render("{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}")).toBe(
      "012531",
    );
  });
});

describe("errors", () => {
  it.each([
    ["{{ raise_exception('Only user roles!') }}", "the chat template refuses this conversation: Only user roles!"],
    ["{% if %}", "the chat template cannot be rendered: "],
    ["{{ 1 + }}", "the chat template cannot be rendered: "],
    [
      "{% for i in range(99999999) %}{% endfor %}",
      "the chat template cannot be rendered: range(0, 99999999, 1) has too many",
    ],
    ["{{ range(1, 2, 0) }}", "range(1, 2, 0) has too many elements"],
  ])("%s", (template, problem) => {
    const render = (): string => renderChat(template, [{ role: "user", content: "x" }]);
    expect(render).toThrow(UserError);
    expect(render).toThrow(problem);
  });
});

it("times are formatted as by strftime", () => {
  const date = new Date(2025, 0, 5, 15, 4, 9);
  expect(formatTime(date, "%Y-%m-%d %-d %e %B %b %A %a %j %H:%M:%S %I %-I %p %y %w 100%% %Q %F %T")).toBe(
    "2025-01-05 5  5 January Jan Sunday Sun 005 15:04:09 03 3 PM 25 0 100% %Q 2025-01-05 15:04:09",
  );
});
