/**
 * Server-sent events out of the body of a response. Reference: the HTML standard, section "Server-sent events"; only `data`
 * matters to this interface.
 */

/** Characters of an event that is still one of this interface: a part holds a few tokens. */
const LONGEST_EVENT = 2 ** 20;

/** What comes is no stream of events, or none that anybody should keep in memory. */
export class EventTooLong extends Error {
  override readonly name = "EventTooLong";

  constructor() {
    super(`an event is longer than ${LONGEST_EVENT} characters`);
  }
}

/** The data of each event, whatever pieces the body comes in. Throws `EventTooLong`. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  let data: string[] = [];
  let length = 0;
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    // A line may end in \r, \n or both; a \r at the end waits for what follows it.
    for (let end = lineEnd(text); end !== undefined; end = lineEnd(text)) {
      const line = text.slice(0, end.at);
      text = text.slice(end.next);
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
        length = 0;
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
        length += line.length;
      }
    }
    if (text.length + length > LONGEST_EVENT) throw new EventTooLong();
  }
  // An event that nothing ends is none: the stream was cut.
}

function lineEnd(text: string): { readonly at: number; readonly next: number } | undefined {
  const at = text.search(/[\r\n]/);
  if (at === -1) return undefined;
  if (text[at] === "\n") return { at, next: at + 1 };
  if (at + 1 === text.length) return undefined;
  return { at, next: text[at + 1] === "\n" ? at + 2 : at + 1 };
}
