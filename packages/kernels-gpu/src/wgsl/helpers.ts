/**
 * Functions that the rendered module brings along: the parts of the IR's meaning that WGSL operators do not promise.
 *
 * WGSL may assume that NaN and infinity never occur, so every rule about them is decided on bits. Each helper is a
 * template over the number of lanes; a module contains only those it uses.
 */

import { type Register, withLanes } from "./types.ts";

/** Names of the types of one width, and of the helpers of that width. */
interface Width {
  readonly f: string;
  readonly i: string;
  readonly u: string;
  readonly b: string;
  name(helper: HelperName): string;
}

interface Helper {
  readonly uses: readonly HelperName[];
  text(w: Width): string;
}

export type HelperName =
  | "f32FromBits"
  | "isNaN"
  | "minFloat"
  | "maxFloat"
  | "toI32"
  | "toU32"
  | "scale2"
  | "roundF16"
  | "roundBf16"
  | "bitsF16"
  | "keep";

/** A private variable that is 0 at run time, which no compiler knows. */
export const ZERO = "zero";

const HELPERS: Readonly<Record<HelperName, Helper>> = {
  // A call is no constant expression, so infinities and NaN pass.
  f32FromBits: {
    uses: [],
    text: (w) => `fn ${w.name("f32FromBits")}(bits: ${w.u}) -> ${w.f} {
  return bitcast<${w.f}>(bits);
}`,
  },
  isNaN: {
    uses: [],
    text: (w) => `fn ${w.name("isNaN")}(x: ${w.f}) -> ${w.b} {
  return (bitcast<${w.u}>(x) & ${w.u}(0x7fffffffu)) > ${w.u}(0x7f800000u);
}`,
  },
  // The second operand when either is NaN.
  minFloat: {
    uses: ["isNaN"],
    text: (w) => `fn ${w.name("minFloat")}(a: ${w.f}, b: ${w.f}) -> ${w.f} {
  return select(select(b, a, a < b), b, ${w.name("isNaN")}(a) | ${w.name("isNaN")}(b));
}`,
  },
  maxFloat: {
    uses: ["isNaN"],
    text: (w) => `fn ${w.name("maxFloat")}(a: ${w.f}, b: ${w.f}) -> ${w.f} {
  return select(select(b, a, a > b), b, ${w.name("isNaN")}(a) | ${w.name("isNaN")}(b));
}`,
  },
  // Truncates and saturates; NaN gives 0.
  toI32: {
    uses: ["isNaN"],
    text: (w) => `fn ${w.name("toI32")}(x: ${w.f}) -> ${w.i} {
  let saturated = select(${w.i}(x), ${w.i}(2147483647i), x >= ${w.f}(2147483648.0f));
  return select(saturated, ${w.i}(0i), ${w.name("isNaN")}(x));
}`,
  },
  toU32: {
    uses: ["isNaN"],
    text: (w) => `fn ${w.name("toU32")}(x: ${w.f}) -> ${w.u} {
  let saturated = select(${w.u}(x), ${w.u}(4294967295u), x >= ${w.f}(4294967296.0f));
  return select(saturated, ${w.u}(0u), ${w.name("isNaN")}(x));
}`,
  },
  // x * 2^n in three factors, each a normal number: 2^n itself may overflow where the product does not.
  scale2: {
    uses: ["isNaN"],
    text: (w) => `fn ${w.name("scale2")}(x: ${w.f}, n: ${w.f}) -> ${w.f} {
  let exponent = ${w.i}(clamp(n, ${w.f}(-374.0f), ${w.f}(374.0f)));
  let third = exponent / 3i;
  let factor = bitcast<${w.f}>((third + 127i) << ${w.u}(23u));
  let rest = bitcast<${w.f}>((exponent - 2i * third + 127i) << ${w.u}(23u));
  return select(x * factor * factor * rest, n, ${w.name("isNaN")}(n));
}`,
  },
  // To the nearest f16, ties to even, kept as f32.
  roundF16: {
    uses: [],
    text: (w) => `fn ${w.name("roundF16")}(x: ${w.f}) -> ${w.f} {
  let bits = bitcast<${w.u}>(x);
  let magnitude = bits & ${w.u}(0x7fffffffu);
  let rounded = (magnitude + 0xfffu + ((magnitude >> ${w.u}(13u)) & ${w.u}(1u))) & ${w.u}(0xffffe000u);
  let normal = select(rounded, ${w.u}(0x7f800000u), rounded >= ${w.u}(0x47800000u));
  let subnormal = bitcast<${w.u}>(round(bitcast<${w.f}>(magnitude) * 16777216.0f) * 5.9604644775390625e-8f);
  let finite = select(normal, subnormal, magnitude < ${w.u}(0x38800000u));
  let result = select(finite, magnitude, magnitude > ${w.u}(0x7f800000u));
  return bitcast<${w.f}>(result | (bits & ${w.u}(0x80000000u)));
}`,
  },
  // To the nearest bf16, ties to even, kept as f32.
  roundBf16: {
    uses: [],
    text: (w) => `fn ${w.name("roundBf16")}(x: ${w.f}) -> ${w.f} {
  let bits = bitcast<${w.u}>(x);
  let rounded = bits + 0x7fffu + ((bits >> ${w.u}(16u)) & ${w.u}(1u));
  let quiet = bits | ${w.u}(0x00400000u);
  let result = select(rounded, quiet, (bits & ${w.u}(0x7fffffffu)) > ${w.u}(0x7f800000u));
  return bitcast<${w.f}>(result & ${w.u}(0xffff0000u));
}`,
  },
  // x itself, opaque to the driver's floating-point algebra.
  keep: {
    uses: [],
    text: (w) => `fn ${w.name("keep")}(x: ${w.f}) -> ${w.f} {
  return bitcast<${w.f}>(bitcast<${w.u}>(x) ^ ${w.u}(${ZERO}));
}`,
  },
  // The 16 bits of a value that is an f16 already.
  bitsF16: {
    uses: [],
    text: (w) => `fn ${w.name("bitsF16")}(x: ${w.f}) -> ${w.u} {
  let bits = bitcast<${w.u}>(x);
  let magnitude = bits & ${w.u}(0x7fffffffu);
  let normal = (magnitude - 0x38000000u) >> ${w.u}(13u);
  let subnormal = ${w.u}(bitcast<${w.f}>(magnitude) * 16777216.0f);
  let finite = select(normal, subnormal, magnitude < ${w.u}(0x38800000u));
  let special = select(${w.u}(0x7c00u), ${w.u}(0x7e00u), magnitude > ${w.u}(0x7f800000u));
  return select(finite, special, magnitude >= ${w.u}(0x7f800000u)) | ((bits >> ${w.u}(16u)) & ${w.u}(0x8000u));
}`,
  },
};

/** Collects the helpers that a module uses and renders them once each. */
export class Helpers {
  readonly #texts = new Map<string, string>();

  /** The name of a helper for `lanes`; the helper becomes part of the module. */
  use(helper: HelperName, lanes = 1): string {
    const name = nameOf(helper, lanes);
    if (helper === "keep") this.add(ZERO, () => `var<private> ${ZERO}: u32;`);
    if (!this.#texts.has(name)) {
      const { uses, text } = HELPERS[helper];
      for (const other of uses) this.use(other, lanes);
      const type = (register: Register): string => withLanes(register, lanes);
      this.#texts.set(
        name,
        text({
          f: type("f32"),
          i: type("i32"),
          u: type("u32"),
          b: type("bool"),
          name: (other) => nameOf(other, lanes),
        }),
      );
    }
    return name;
  }

  /** A function with a text of its own. */
  add(name: string, text: () => string): string {
    if (!this.#texts.has(name)) this.#texts.set(name, text());
    return name;
  }

  has(name: string): boolean {
    return this.#texts.has(name);
  }

  get texts(): readonly string[] {
    return [...this.#texts.values()];
  }
}

function nameOf(helper: HelperName, lanes: number): string {
  return lanes === 1 ? helper : `${helper}${lanes}`;
}
