/**
 * A conversation to a prompt, by the model's chat template. The template is untrusted text: it is interpreted, sees only
 * what it is given, and every failure becomes one `UserError`.
 */
import { Environment, parse, tokenize } from "@huggingface/jinja";
import { UserError } from "@quern/core";
import { chatInterpreter } from "./interpreter.ts";
import { formatTime } from "./time.ts";

/** One message. Templates read further fields, such as `tool_calls`, `name` or `reasoning_content`. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

/** Settings with a name of their own; every other field is a variable of the template. */
export interface ChatOptions {
  /** Ends the prompt with the start of the assistant's answer. Default: false. */
  readonly addGenerationPrompt?: boolean | undefined;
  readonly bosToken?: string | undefined;
  readonly eosToken?: string | undefined;
  /** Descriptions of functions that the model may call, as JSON schema. */
  readonly tools?: readonly unknown[] | undefined;
  /** What the template takes for the current time. Default: now. */
  readonly now?: Date | undefined;
  readonly [variable: string]: unknown;
}

/** Longest range a template may ask for: one element costs memory. */
const MAX_RANGE = 1 << 20;

/** The template itself refused the conversation. */
class TemplateRefusal extends Error {}

function raiseException(message: unknown): never {
  throw new TemplateRefusal(String(message));
}

/** Python's `range`. */
function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = step === 0 ? Number.NaN : Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= MAX_RANGE)) throw new RangeError(`range(${from}, ${to}, ${step}) has too many elements`);
  return Array.from({ length }, (_, index) => from + index * step);
}

/**
 * Renders `messages` with a Jinja chat template, as `apply_chat_template` does. The text names special tokens: encode it with
 * `parseSpecial`, and without `special`, since templates write BOS themselves.
 *
 * Throws `UserError` with the template's own message when it refuses the conversation, and with the place in the engine's
 * words when it cannot be parsed or run.
 */
export function renderChat(template: string, messages: readonly ChatMessage[], options: ChatOptions = {}): string {
  const { addGenerationPrompt, bosToken, eosToken, tools, now, ...variables } = options;
  const globals: Record<string, unknown> = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: raiseException,
    strftime_now: (format: unknown) => formatTime(now ?? new Date(), String(format)),
    documents: null,
    ...variables,
    messages,
    tools: tools ?? null,
    add_generation_prompt: addGenerationPrompt ?? false,
    bos_token: bosToken ?? "",
    eos_token: eosToken ?? "",
  };
  try {
    const program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
    const environment = new Environment();
    for (const [name, value] of Object.entries(globals)) environment.set(name, value);
    return String(chatInterpreter(environment).run(program).value);
  } catch (error) {
    const message = (error as Error).message;
    const what = error instanceof TemplateRefusal ? "refuses this conversation" : "cannot be rendered";
    throw new UserError(`the chat template ${what}: ${message}`, { cause: error });
  }
}
