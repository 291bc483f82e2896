/** Kernels of the suite with branches, tables and text. */

const at = (data: Float64Array, index: number): number => data[index & 4095] as number;
const byteAt = (data: Float64Array, index: number): number => Math.floor(at(data, index) * 256);

const scratch = new Float64Array(48);

/** Insertion sort: branches that no predictor learns. */
export function sortedMedian(data: Float64Array, part: number): number {
  for (let i = 0; i < 48; i++) {
    const value = at(data, part * 89 + i);
    let place = i;
    while (place > 0 && (scratch[place - 1] as number) > value) {
      scratch[place] = scratch[place - 1] as number;
      place -= 1;
    }
    scratch[place] = value;
  }
  return scratch[24] as number;
}

/** FNV-1a. */
export function hash(data: Float64Array, part: number): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < 512; i++) value = Math.imul(value ^ byteAt(data, i + part * 37), 0x01000193);
  return value >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32. */
export function tableChecksum(data: Float64Array, part: number): number {
  let value = 0xffffffff;
  for (let i = 0; i < 512; i++) {
    value = (crcTable[(value ^ byteAt(data, i + part * 43)) & 255] as number) ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}

const digits = new Uint8Array(256);

/** Writes numbers as digits and reads them again. */
export function numbersOfText(data: Float64Array, part: number): number {
  let length = 0;
  for (let i = 0; i < 64; i++) {
    let value = byteAt(data, part * 71 + i);
    do {
      digits[length++] = 48 + (value % 10);
      value = (value / 10) | 0;
    } while (value > 0);
    digits[length++] = 32;
  }
  let sum = 0;
  let number = 0;
  for (let i = 0; i < length; i++) {
    const letter = digits[i] as number;
    if (letter === 32) {
      sum += number;
      number = 0;
    } else number = number * 10 + letter - 48;
  }
  return sum;
}

const distances = new Int32Array(13);

export function levenshtein(data: Float64Array, part: number): number {
  for (let j = 0; j <= 12; j++) distances[j] = j;
  for (let i = 0; i < 12; i++) {
    let diagonal = distances[0] as number;
    distances[0] = i + 1;
    for (let j = 0; j < 12; j++) {
      const above = distances[j + 1] as number;
      const same = byteAt(data, part * 59 + i) >> 5 === byteAt(data, part * 83 + j + 500) >> 5;
      const cost = same ? diagonal : diagonal + 1;
      distances[j + 1] = Math.min(cost, above + 1, (distances[j] as number) + 1);
      diagonal = above;
    }
  }
  return distances[12] as number;
}

const counts = new Map<number, number>();

export function wordsCounted(data: Float64Array, part: number): number {
  counts.clear();
  for (let i = 0; i < 48; i++) {
    const word = byteAt(data, part * 101 + i) >> 3;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  let most = 0;
  for (const count of counts.values()) most = Math.max(most, count);
  return most;
}
