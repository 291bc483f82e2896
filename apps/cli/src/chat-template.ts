/** Which template renders a conversation: one that the user gives, the model's own, or a plain one. */

import { UserError } from "@quern/core";
import type { ChatMessage, GenerateOptions, LanguageModel } from "@quern/llm";
import { writeNotice } from "./text-output.ts";

/** Names and texts by turns. Models that were trained on text alone go on with it. */
const PLAIN = `{{ bos_token }}{% for message in messages -%}
{% if message.role == 'system' %}{{ message.content | trim }}

{% else %}{{ 'User' if message.role == 'user' else 'Assistant' }}: {{ message.content | trim }}
{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}`;

export type ChatSettings = Pick<GenerateOptions, "chatTemplate" | "stop">;

/**
 * What a conversation with `model` needs beside the messages. Says so where the model has no template and none is given.
 */
export function chatSettings(
  model: LanguageModel,
  template: string | undefined,
  stop: readonly string[] | undefined,
  quiet: boolean | undefined,
): ChatSettings {
  if (template !== undefined) return { chatTemplate: template, stop };
  if (model.chatTemplate !== undefined) return { stop };
  writeNotice(
    "the model has no chat template; turns are given as “User: …” and “Assistant: …” (--template FILE)",
    quiet,
  );
  return { chatTemplate: PLAIN, stop: [...(stop ?? []), "\nUser:"] };
}

/** The beginning of a conversation. */
export function systemMessages(system: string | undefined): ChatMessage[] {
  return system === undefined ? [] : [{ role: "system", content: system }];
}

/** Messages of a text: a JSON list of them, or the whole text as the user's one. */
export function messagesOf(text: string, system: string | undefined): ChatMessage[] {
  return [...systemMessages(system), ...(conversation(text) ?? [{ role: "user", content: text }])];
}

function conversation(text: string): ChatMessage[] | undefined {
  if (!text.trimStart().startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || !value.every(isRecord)) return undefined;
  const wrong = value.findIndex(({ role }) => typeof role !== "string");
  if (wrong >= 0) throw new UserError(`message ${wrong + 1} of the conversation has no role`, { where: "--chat" });
  return value as unknown as ChatMessage[];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
