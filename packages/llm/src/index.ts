/** Everything of @quern/llm: text in and out of language models. */
export * from "./text/index.ts";
