/** What a caller gives a model to read, as token ids. */

import { UserError } from "@quern/core";
import { type ChatMessage, renderChat, type Tokenizer } from "../text/index.ts";

/** Text, token ids, or a conversation. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

export interface PromptOptions {
  readonly parseSpecial: boolean;
  /** Variables of the chat template. */
  readonly template: Readonly<Record<string, unknown>>;
}

/**
 * The ids of a prompt. Text gets the special tokens that the model expects around it; ids are taken as they are; messages
 * are rendered by the chat template, up to where the answer begins. Throws a `UserError` for what is none of these, and
 * when the template refuses.
 */
export function promptTokens(
  prompt: Prompt,
  tokenizer: Tokenizer,
  chatTemplate: string | undefined,
  { parseSpecial, template }: PromptOptions,
): number[] {
  if (typeof prompt === "string") return tokenizer.encode(prompt, { special: true, parseSpecial });
  if (!Array.isArray(prompt)) throw notAPrompt();
  if (prompt.every((item) => typeof item === "number")) {
    for (const token of prompt as number[]) mustBeToken(token, tokenizer);
    return [...(prompt as number[])];
  }
  const messages = prompt as readonly ChatMessage[];
  if (!messages.every((message) => typeof message === "object" && message !== null && typeof message.role === "string"))
    throw notAPrompt();
  if (chatTemplate === undefined)
    throw new UserError("the model has no chat template", {
      hint: "give one as chatTemplate",
    });
  const nameOf = (id: number | undefined): string | undefined => (id === undefined ? undefined : tokenizer.tokenOf(id));
  const text = renderChat(chatTemplate, messages, {
    addGenerationPrompt: true,
    bosToken: nameOf(tokenizer.special.bos),
    eosToken: nameOf(tokenizer.special.eos),
    ...template,
  });
  return tokenizer.encode(text, { parseSpecial: true });
}

/** Throws unless there are tokens, and no more than fit. */
export function mustFit(tokens: readonly number[], contextLength: number, what: string): void {
  if (tokens.length === 0) throw new UserError(`${what} is empty`, { hint: "give at least one token" });
  if (tokens.length > contextLength)
    throw new UserError(`${what} has ${tokens.length} tokens, the context has room for ${contextLength}`, {
      hint: "shorten it, or load the model with a longer context",
    });
}

function mustBeToken(token: number, { vocabularySize }: Tokenizer): void {
  if (Number.isInteger(token) && token >= 0 && token < vocabularySize) return;
  throw new UserError(`token id ${token} is not in the vocabulary of ${vocabularySize} tokens`);
}

function notAPrompt(): UserError {
  return new UserError("a prompt is a text, a list of token ids, or a list of messages with a role");
}
