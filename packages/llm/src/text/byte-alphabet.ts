/**
 * The alphabet in which byte-level BPE vocabularies are written: every byte has a printable character. Bytes that are
 * printable in Latin-1 stand for themselves, the others for U+0100 and up in order. Introduced with GPT-2 (`bytes_to_unicode`).
 */

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

const utf8 = new TextEncoder();

/** The character of each byte. */
export const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

const bytesOfCharacters: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);

/** Text in the byte alphabet: one character per byte of its UTF-8 form. */
export function toByteAlphabet(text: string): string {
  return Array.from(utf8.encode(text), (byte) => byteCharacters[byte]!).join("");
}

/** The bytes of a token in the byte alphabet; a token with any other character is taken as plain text. */
export function fromByteAlphabet(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = bytesOfCharacters.get(token[index]!);
    if (byte === undefined) return utf8.encode(token);
    bytes[index] = byte;
  }
  return bytes;
}
