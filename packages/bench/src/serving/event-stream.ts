/**
 * Server-sent events out of the body of a response. Reference: the HTML standard, section "Server-sent events"; only `data`
 * matters to this interface.
 */

/** The data of each event, whatever pieces the body comes in. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  let data: string[] = [];
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    // A line may end in \r, \n or both; a \r at the end waits for what follows it.
    for (let end = lineEnd(text); end !== undefined; end = lineEnd(text)) {
      const line = text.slice(0, end.at);
      text = text.slice(end.next);
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
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
