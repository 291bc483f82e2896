/**
 * Every primitive on every type and several vector lengths, compiled for each target that this machine runs and
 * compared with the kernel interpreter bit for bit.
 */
import { describe, expect, test } from "vitest";
import { DTYPE_INFO, DTYPES } from "@quern/core";
import type { DType } from "@quern/core";
import { KernelBuilder, isFloatType, isIntegerType, scalarType, vectorType } from "@quern/core/kernel";
import type { Combiner, KType, KValue, Prim } from "@quern/core/kernel";
import { compileKernel } from "./compile.ts";
import { Trials, randomElements, runnableTargets } from "./kernel-trial.ts";
import { AMX } from "./target.ts";
import type { CpuTarget } from "./target.ts";

const seed = Number(process.env["QUERN_SEED"] ?? 20261123);
const trials = new Trials();
// Without tiles the code for AMX is that for AVX-512 with VNNI.
const targets = runnableTargets().filter((target) => target !== AMX);

function typeOf(dtype: DType, lanes: number): KType {
  return lanes === 1 ? scalarType(dtype) : vectorType(dtype, lanes);
}

/** out[i] = op(a[i], b[i], c[i]) over a few vectors, each with its own random inputs. */
function trial(
  name: string,
  target: CpuTarget,
  lanes: number,
  inputs: readonly DType[],
  output: DType,
  op: (k: KernelBuilder, args: KValue[]) => KValue,
  prepare: (name: string, data: Uint8Array) => Uint8Array = (_, data) => data,
): string | undefined {
  const vectors = Math.max(2, Math.ceil(64 / lanes));
  const count = vectors * lanes;
  const k = new KernelBuilder(name);
  const buffers = inputs.map((dtype, i) => k.buffer("abc"[i] as string, dtype, count));
  const out = k.buffer("out", output, count, { access: "write" });
  k.parallel(vectors, (i) => {
    const at = k.mul(i, lanes);
    k.store(
      out,
      at,
      op(
        k,
        buffers.map((buffer) => k.load(buffer, at, { lanes })),
      ),
    );
  });
  const data = Object.fromEntries(
    inputs.map((dtype, i) => ["abc"[i] as string, prepare("abc"[i] as string, randomElements(dtype, count, seed + i))]),
  );
  const difference = trials.compare(k.finish(), target, { buffers: data });
  return difference && `${difference} (${lanes} lanes, seed ${seed})`;
}

/** Replaces zeros, which must not be divisors. */
function nonZero(dtype: DType): (name: string, data: Uint8Array) => Uint8Array {
  const { bytes } = DTYPE_INFO[dtype];
  return (name, data) => {
    if (name === "b")
      for (let i = 0; i < data.length; i += bytes)
        if (data.subarray(i, i + bytes).every((byte) => byte === 0)) data[i] = 3;
    return data;
  };
}

/** Shift counts: mostly inside the width. */
function counts(dtype: DType): (name: string, data: Uint8Array) => Uint8Array {
  const { bytes } = DTYPE_INFO[dtype];
  return (name, data) => {
    if (name === "b")
      for (let i = 0; i < data.length; i += bytes) data.fill(0, i, i + bytes).fill((i * 7) % (bytes * 8 + 3), i, i + 1);
    return data;
  };
}

const floatBinary: readonly Prim[] = ["add", "sub", "mul", "div", "rem", "min", "max"];
const floatUnary: readonly Prim[] = ["neg", "abs", "sqrt", "floor", "ceil", "trunc", "round"];
const integerBinary: readonly Prim[] = ["add", "sub", "mul", "min", "max", "and", "or", "xor"];
const comparisons: readonly Prim[] = ["lt", "le", "gt", "ge", "eq", "ne"];
const LANES = [1, 2, 4, 8, 16, 32];

describe.each(targets.map((target) => [target.name, target] as const))("%s", (_, target) => {
  test.each(DTYPES.filter((dtype) => dtype !== "bool"))("%s: arithmetic", (dtype) => {
    const isFloat = isFloatType(dtype);
    const failures: string[] = [];
    const check = (result: string | undefined): void => void (result !== undefined && failures.push(result));
    for (const lanes of LANES) {
      const same = (prim: Prim): KType => ({
        ...typeOf(dtype, lanes),
        dtype: comparisons.includes(prim) ? "bool" : dtype,
      });
      for (const prim of isFloat ? floatBinary : integerBinary)
        check(trial(prim, target, lanes, [dtype, dtype], dtype, (k, [a, b]) => k.prim(prim, [a!, b!], same(prim))));
      for (const prim of comparisons)
        check(trial(prim, target, lanes, [dtype, dtype], "bool", (k, [a, b]) => k.prim(prim, [a!, b!], same(prim))));
      for (const prim of isFloat ? floatUnary : (["neg", "abs", "not"] as const))
        check(trial(prim, target, lanes, [dtype], dtype, (k, [a]) => k.prim(prim, [a!], same(prim))));
      if (isFloat && dtype !== "f64")
        check(trial("fma", target, lanes, [dtype, dtype, dtype], dtype, (k, [a, b, c]) => k.fma(a!, b!, c!)));
      if (!isFloat) {
        for (const prim of ["div", "rem"] as const)
          check(
            trial(
              prim,
              target,
              lanes,
              [dtype, dtype],
              dtype,
              (k, [a, b]) => k.prim(prim, [a!, b!], same(prim)),
              nonZero(dtype),
            ),
          );
        for (const prim of ["shl", "shr"] as const)
          check(
            trial(
              prim,
              target,
              lanes,
              [dtype, dtype],
              dtype,
              (k, [a, b]) => k.prim(prim, [a!, b!], same(prim)),
              counts(dtype),
            ),
          );
        for (const divisor of [1, 4, 7, 64])
          for (const prim of ["div", "rem"] as const)
            check(trial(`${prim}${divisor}`, target, lanes, [dtype], dtype, (k, [a]) => k[prim](a!, divisor)));
      }
      check(trial("select", target, lanes, ["bool", dtype, dtype], dtype, (k, [c, a, b]) => k.select(c!, a!, b!)));
      check(
        trial("selectLess", target, lanes, [dtype, dtype], dtype, (k, [a, b]) =>
          k.select(k.lt(a!, b!), k.add(a!, b!), b!),
        ),
      );
    }
    expect(failures.join("\n")).toBe("");
  });

  test.each(DTYPES)("%s: casts", (from) => {
    const failures: string[] = [];
    for (const to of DTYPES) {
      for (const lanes of LANES) {
        const result = trial(`cast_${from}_${to}`, target, lanes, [from], to, (k, [a]) => k.cast(a!, to));
        if (result !== undefined) failures.push(result);
        if (from !== "bool" && to !== "bool" && from !== to && DTYPE_INFO[from].bytes === DTYPE_INFO[to].bytes) {
          const bits = trial(`bitcast_${from}_${to}`, target, lanes, [from], to, (k, [a]) => k.bitcast(a!, to));
          if (bits !== undefined) failures.push(bits);
        }
      }
    }
    expect(failures.join("\n")).toBe("");
  });

  test("scale2", () => {
    const failures: string[] = [];
    for (const dtype of ["f32", "f64"] as const) {
      for (const lanes of LANES) {
        const exponents = (name: string, data: Uint8Array): Uint8Array => {
          if (name !== "b") return data;
          const values = dtype === "f32" ? new Float32Array(data.buffer) : new Float64Array(data.buffer);
          values.forEach(
            (_, i) =>
              (values[i] = [0, 1, -1, 100, -126, -127, -149, -160, 127, 128, 200, -300, 300, 2000, -2000, 1023, -1074][
                (i * 5) % 17
              ] as number),
          );
          return data;
        };
        const result = trial(
          "scale2",
          target,
          lanes,
          [dtype, dtype],
          dtype,
          (k, [a, b]) => k.scale2(a!, b!),
          exponents,
        );
        if (result !== undefined) failures.push(result);
      }
    }
    expect(failures.join("\n")).toBe("");
  });

  test("bool", () => {
    const failures: string[] = [];
    for (const lanes of LANES) {
      for (const prim of ["and", "or", "xor"] as const)
        failures.push(trial(prim, target, lanes, ["bool", "bool"], "bool", (k, [a, b]) => k[prim](a!, b!)) ?? "");
      failures.push(trial("not", target, lanes, ["bool"], "bool", (k, [a]) => k.not(a!)) ?? "");
      failures.push(
        trial("select", target, lanes, ["bool", "bool", "bool"], "bool", (k, [a, b, c]) => k.select(a!, b!, c!)) ?? "",
      );
    }
    expect(failures.join("")).toBe("");
  });

  test.each(DTYPES)("%s: lanes", (dtype) => {
    const failures: string[] = [];
    const check = (result: string | undefined): void => void (result !== undefined && failures.push(result));
    for (const lanes of LANES) {
      if (lanes === 1) continue;
      check(
        trial("broadcast", target, lanes, [dtype], dtype, (k, [a]) => k.broadcast(k.extract(a!, lanes - 1), lanes)),
      );
      for (let seedOf = 0; seedOf < 6; seedOf++) {
        const patterns = [
          Array.from({ length: lanes }, (_x, i) => lanes - 1 - i),
          Array.from({ length: lanes }, (_x, i) => (i % 2) * lanes + (i >> 1)),
          Array.from({ length: lanes }, (_x, i) => (i * 2 + 1) % (2 * lanes)),
          Array.from({ length: lanes }, (_x, i) => (i * 7 + 3) % (2 * lanes)),
          Array.from({ length: lanes }, () => lanes + 1),
          Array.from({ length: lanes }, (_x, i) => i ^ 1),
        ];
        check(
          trial(`shuffle${seedOf}`, target, lanes, [dtype, dtype], dtype, (k, [a, b]) =>
            k.shuffle(a!, b!, patterns[seedOf]!),
          ),
        );
      }
      const combiners: readonly Combiner[] =
        dtype === "bool"
          ? ["and", "or"]
          : isIntegerType(dtype)
            ? ["sum", "prod", "max", "min", "and", "or"]
            : ["sum", "max", "min"];
      // Sums of f16 and bf16 are rounded once instead of at each step.
      for (const combiner of combiners) {
        if ((dtype === "f16" || dtype === "bf16") && combiner === "sum") continue;
        check(
          trial(`horizontal_${combiner}`, target, lanes, [dtype], dtype, (k, [a]) =>
            k.broadcast(k.horizontal(combiner, a!), lanes),
          ),
        );
      }
      if (isIntegerType(dtype))
        check(trial("iota", target, lanes, [dtype], dtype, (k, [a]) => k.add(k.iota(k.extract(a!, 0), lanes), a!)));
    }
    expect(failures.join("\n")).toBe("");
  });

  test.each(DTYPES)("%s: masked, gathered and scattered", (dtype) => {
    const failures: string[] = [];
    for (const lanes of LANES) {
      for (const narrow of [false, true]) {
        for (const masked of [false, true]) {
          const count = 96;
          const k = new KernelBuilder(`memory_${dtype}`);
          const a = k.buffer("a", dtype, count);
          const p = k.buffer("p", narrow ? "i32" : "i64", count);
          const m = k.buffer("m", "bool", count);
          const contiguous = k.buffer("contiguous", dtype, count, { access: "readwrite" });
          const gathered = k.buffer("gathered", dtype, count, { access: "readwrite" });
          const scattered = k.buffer("scattered", dtype, count, { access: "readwrite" });
          k.parallel(count / lanes, (i) => {
            const at = k.mul(i, lanes);
            const mask = masked ? k.load(m, at, { lanes }) : undefined;
            const other = dtype === "bool" ? false : 3;
            const loaded = k.load(a, at, { lanes, mask, other });
            k.store(contiguous, at, loaded, { mask });
            const index = k.cast(k.load(p, at, { lanes }), "index");
            k.store(gathered, at, k.load(a, index, { mask, ...(dtype === "bool" ? {} : { other: 5 }) }));
            k.store(scattered, index, loaded, { mask });
          });
          const places = Array.from({ length: count }, (_x, i) => (i * 41 + 5) % count);
          const permutation = narrow ? Int32Array.from(places) : BigInt64Array.from(places, BigInt);
          const difference = trials.compare(k.finish(), target, {
            buffers: {
              a: randomElements(dtype, count, seed),
              m: randomElements("bool", count, seed + 1),
              p: permutation,
            },
          });
          if (difference !== undefined)
            failures.push(`${difference} (${lanes} lanes, narrow ${narrow}, masked ${masked}, seed ${seed})`);
        }
      }
    }
    expect(failures.join("\n")).toBe("");
  });

  test("dot products of bytes", () => {
    const failures: string[] = [];
    for (const lanes of [4, 8, 16, 32]) {
      for (const name of ["dot4u8i8", "dot4u7i8"] as const) {
        const count = 8 * lanes;
        const k = new KernelBuilder("dot");
        const [a, b] = [k.buffer("a", "u32", count), k.buffer("b", "u32", count + 8)];
        const acc = k.buffer("acc", "i32", 2 * count, { access: "readwrite" });
        const word = vectorType("u32", lanes);
        k.parallel(8, (i) => {
          const at = k.mul(i, lanes);
          const bytes = k.and(k.load(a, at, { lanes }), k.const(word, name === "dot4u8i8" ? 0xffffffff : 0x7f7f7f7f));
          const dot = (sum: KValue, y: KValue): KValue => k.intrinsic(name, [sum, bytes, y], vectorType("i32", lanes));
          k.store(acc, at, dot(k.load(acc, at, { lanes }), k.load(b, at, { lanes })));
          // A chain on a local, with a factor that is broadcast from memory.
          const sum = k.local("sum", vectorType("i32", lanes), 0);
          for (let step = 0; step < 3; step++)
            k.assign(sum, dot(k.read(sum), k.broadcast(k.load(b, k.add(at, step)), lanes)));
          k.store(acc, k.add(at, count), k.read(sum));
        });
        const inputs = {
          a: randomElements("u32", count, seed),
          b: randomElements("u32", count + 8, seed),
          acc: randomElements("i32", 2 * count, seed),
        };
        const difference = trials.compare(k.finish(), target, { buffers: inputs });
        if (difference !== undefined) failures.push(`${difference} (${name}, ${lanes} lanes)`);
      }
    }
    expect(failures.join("\n")).toBe("");
  });

  test("bytes packed and looked up", () => {
    const failures: string[] = [];
    for (const lanes of [4, 8, 16]) {
      const k = new KernelBuilder("bytes");
      const [x, table] = [k.buffer("x", "f32", 32 * lanes), k.buffer("table", "u32", lanes)];
      const y = k.buffer("y", "u32", 8 * lanes, { access: "write" });
      const word = vectorType("u32", lanes);
      k.parallel(8, (i) => {
        const values = k.load(x, k.mul(i, 4 * lanes), { lanes: 4 * lanes });
        const packed = k.intrinsic("packBytes", [k.cast(values, "i8")], word);
        const picks = k.and(packed, k.const(word, 0x0f0f0f0f));
        const found = k.intrinsic("lookupBytes", [k.load(table, 0, { lanes }), picks], word);
        k.store(y, k.mul(i, lanes), k.xor(packed, found));
      });
      const inputs = {
        x: randomElements("f32", 32 * lanes, seed, 300),
        table: randomElements("u32", lanes, seed),
        y: randomElements("u32", 8 * lanes, seed),
      };
      const difference = trials.compare(k.finish(), target, { buffers: inputs });
      if (difference !== undefined) failures.push(`${difference} (${lanes} lanes)`);
    }
    expect(failures.join("\n")).toBe("");
  });

  test("bf16 by instruction", () => {
    const failures: string[] = [];
    // The instruction takes denormals as zero: none here.
    const normal = (_name: string, data: Uint8Array): Uint8Array => {
      const values = new Float32Array(data.buffer);
      values.forEach((x, i) => (values[i] = Math.abs(x) < 1e-30 ? i + 1 : x));
      return data;
    };
    for (const lanes of [4, 8, 16, 32]) {
      failures.push(
        trial(
          "toBf16Bits",
          target,
          lanes,
          ["f32"],
          "bf16",
          (k, [a]) => k.intrinsic("toBf16Bits", [a!], vectorType("bf16", lanes)),
          normal,
        ) ?? "",
      );
      failures.push(
        trial(
          "bf16Pair",
          target,
          lanes,
          ["f32", "f32"],
          "bf16",
          (k, [a, b]) => {
            const pair = k.intrinsic("bf16Pair", [a!, b!], vectorType("bf16", 2 * lanes));
            return k.shuffle(
              pair,
              pair,
              Array.from({ length: lanes }, (_lane, i) => 2 * i + (i & 1)),
            );
          },
          normal,
        ) ?? "",
      );
    }
    expect(failures.join("")).toBe("");
  });

  test("approximate reciprocals have 12 bits", () => {
    for (const name of ["rcpApprox", "rsqrtApprox"] as const) {
      for (const lanes of [1, 8, 16]) {
        const k = new KernelBuilder(name);
        const x = k.buffer("x", "f32", lanes);
        const out = k.buffer("out", "f32", lanes, { access: "write" });
        k.parallel(1, () => k.store(out, 0, k.intrinsic(name, [k.load(x, 0, { lanes })], typeOf("f32", lanes))));
        const data = Float32Array.from({ length: lanes }, (_x, i) => 0.3 + 1.7 * i);
        const kernel = k.finish();
        const result = trials
          .run(compileKernel(kernel, target), kernel, { buffers: { x: data } })
          .get("out") as Uint8Array;
        new Float32Array(result.buffer).forEach((y, i) => {
          const exact = name === "rcpApprox" ? 1 / data[i]! : 1 / Math.sqrt(data[i]!);
          expect(Math.abs(y / exact - 1)).toBeLessThan(2 ** -11);
        });
      }
    }
  });

  test("more live masks and vectors than registers", () => {
    const lanes = 8;
    const k = new KernelBuilder("pressure");
    const x = k.buffer("x", "f32", 40 * lanes);
    const out = k.buffer("out", "f32", lanes, { access: "write" });
    k.parallel(1, () => {
      const values = Array.from({ length: 40 }, (_value, i) => k.load(x, i * lanes, { lanes }));
      const masks = values.slice(1).map((value, i) => k.lt(values[i]!, value));
      let sum = values[0]!;
      masks.forEach((mask, i) => (sum = k.add(sum, k.select(mask, values[39 - i]!, k.mul(values[i]!, 2)))));
      masks.toReversed().forEach((mask, i) => (sum = k.select(mask, sum, k.sub(sum, values[i]!))));
      k.store(out, 0, sum);
    });
    expect(
      trials.compare(k.finish(), target, {
        buffers: {
          x: new Uint8Array(Float32Array.from({ length: 40 * lanes }, (_x, i) => ((i * 37) % 101) - 50).buffer),
        },
      }),
    ).toBeUndefined();
  });

  test("a division by what may be zero is not moved out of a loop that does not run", () => {
    const k = new KernelBuilder("division");
    const n = k.symbol("n");
    const out = k.buffer("out", "i32", 64, { access: "readwrite" });
    k.parallel(2, (task) => {
      k.for({ end: n }, (i) => {
        k.for({ end: 4 }, (j) =>
          k.store(out, k.add(k.mul(i, 4), j), k.cast(k.add(k.div(k.add(task, 17), n), j), "i32")),
        );
      });
    });
    for (const length of [0, 3])
      expect(
        trials.compare(k.finish(), target, { buffers: { out: new Uint8Array(256) }, symbols: { n: length } }),
      ).toBeUndefined();
  });

  test("a masked scalar load out of bounds is not folded into its use", () => {
    const lanes = 8;
    const k = new KernelBuilder("guarded");
    const x = k.buffer("x", "f32", 6);
    const out = k.buffer("out", "f32", 8 * lanes, { access: "readwrite" });
    k.parallel(8, (i) => {
      const at = k.sub(k.mul(i, 1000), 1000);
      const inside = k.and(k.ge(at, 0), k.lt(at, 6));
      k.store(
        out,
        k.mul(i, lanes),
        k.add(k.load(out, k.mul(i, lanes), { lanes }), k.broadcast(k.load(x, at, { mask: inside }), lanes)),
      );
    });
    expect(
      trials.compare(k.finish(), target, {
        buffers: { x: randomElements("f32", 6, seed), out: randomElements("f32", 8 * lanes, seed) },
      }),
    ).toBeUndefined();
  });

  test("prefix masks at every length", () => {
    for (const dtype of ["f32", "f64", "u8", "f16"] as const) {
      for (const lanes of [2, 8, 16]) {
        const k = new KernelBuilder("tail");
        const n = k.symbol("n");
        const a = k.buffer("a", dtype, 40);
        const out = k.buffer("out", dtype, 40, { access: "readwrite" });
        k.for({ end: n, step: lanes }, (i) => {
          const mask = k.lt(k.iota(i, lanes), k.broadcast(n, lanes));
          k.store(out, i, k.load(a, i, { lanes, mask }), { mask });
        });
        const kernel = k.finish();
        for (let length = 0; length <= 40; length += 3) {
          expect(
            trials.compare(kernel, target, { buffers: { a: randomElements(dtype, 40, seed) }, symbols: { n: length } }),
          ).toBeUndefined();
        }
      }
    }
  });

  test("rows a symbolic stride apart", () => {
    for (const rows of [2, 5, 14]) {
      for (const inner of [false, true]) {
        const k = new KernelBuilder("rows");
        const n = k.symbol("n");
        const x = k.buffer("x", "f32", 4096);
        const out = k.buffer("out", "f32", 4096, { access: "readwrite" });
        const sums = Array.from({ length: rows }, (_row, r) => k.local(`sum${r}`, vectorType("f32", 8)));
        k.parallel(2, (task) => {
          const row = (r: number): KValue => k.mul(k.add(k.mul(task, rows), r), n);
          for (const sum of sums) k.assign(sum, 0);
          const step = (j: KValue): void =>
            sums.forEach((sum, r) => k.assign(sum, k.add(k.read(sum), k.load(x, k.add(row(r), j), { lanes: 8 }))));
          if (inner) k.for({ end: k.sub(n, 7) }, step);
          else step(k.mul(task, 3));
          for (let r = rows - 1; r >= 0; r--) k.store(out, k.add(row(r), 4), k.read(sums[r]!));
          for (let r = 0; r < rows; r++) k.store(out, row(r), k.extract(k.read(sums[r]!), 1));
        });
        const difference = trials.compare(k.finish(), target, {
          buffers: { x: randomElements("f32", 4096, seed) },
          symbols: { n: 37 },
        });
        expect(difference).toBeUndefined();
      }
    }
  });
});
