/**
 * Random kernels through the kernel passes and code generation, compared with the interpreter bit for bit.
 */
import { describe, expect, test } from "vitest";
import { KernelBuilder, legaliseKernel, randomKernel, seededRandom, vectorType } from "@quern/core/kernel";
import type { Kernel, KValue } from "@quern/core/kernel";
import { AMX } from "./target.ts";
import { Trials, randomElements, runnableTargets } from "./kernel-trial.ts";

const seed = Number(process.env["QUERN_SEED"] ?? 1);
const count = Number(process.env["QUERN_COUNT"] ?? 60);
const trials = new Trials();

describe.each(
  runnableTargets()
    .filter((target) => target !== AMX)
    .map((target) => [target.name, target] as const),
)("%s", (_, target) => {
  test(`element-level kernels, seeds ${seed}..${seed + count - 1}`, () => {
    const vectors = { vectorBytes: target.vectorBytes, masks: true };
    for (let at = seed; at < seed + count; at++) {
      const { kernel, inputs } = randomKernel(at);
      const legal = legaliseKernel(kernel, { vectors });
      expect(trials.compare(legal, target, inputs()), `seed ${at}`).toBeUndefined();
    }
  });

  test(`loops, conditions and locals, seeds ${seed}..${seed + count - 1}`, () => {
    for (let at = seed; at < seed + count; at++) {
      const kernel = controlKernel(at);
      const inputs = {
        buffers: {
          x: randomElements("i32", SIZE, at, 1000),
          f: randomElements("f32", SIZE, at + 1),
          y: new Uint8Array(4 * SIZE),
          z: new Uint8Array(4 * SIZE),
          g: new Uint8Array(4 * SIZE),
        },
        symbols: { n: at % 13, m: 1 + (at % 5) },
      };
      expect(trials.compare(kernel, target, inputs), `seed ${at}`).toBeUndefined();
    }
  });
});

const SIZE = 16384;

/**
 * Nested parallel axes and loops with symbolic and constant bounds, unrolled or not; locals that are read before and
 * after they change; conditions; stores that the following loads see; scratch memory; many live values.
 */
function controlKernel(seedOf: number): Kernel {
  const random = seededRandom(seedOf);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(...choices: T[]): T => choices[below(choices.length)] as T;
  const k = new KernelBuilder(`control${seedOf}`);
  const [n, m] = [k.symbol("n"), k.symbol("m")];
  const x = k.buffer("x", "i32", SIZE);
  const f = k.buffer("f", "f32", SIZE);
  const y = k.buffer("y", "i32", SIZE, { access: "readwrite" });
  const z = k.buffer("z", "f32", SIZE, { access: "readwrite" });
  const g = k.buffer("g", "i32", SIZE, { access: "readwrite" });
  const lanes = pick(4, 8, 16);
  const tile = k.scratch("tile", "i32", pick(64, 128));
  const second = k.scratch("second", "f32", 64);
  const wrap = (value: KValue): KValue => k.rem(k.abs(value), SIZE - 64);

  const body = (axes: KValue[], task: KValue): void => {
    const scalars = Array.from({ length: 1 + below(3) }, (_v, i) => k.local(`s${i}`, "i32", below(10)));
    const vectors = Array.from({ length: pick(2, 4, 20, 36) }, (_v, i) =>
      k.local(`v${i}`, vectorType("i32", lanes), below(9)),
    );
    const floats = Array.from({ length: 3 }, (_v, i) => k.local(`f${i}`, vectorType("f32", lanes), i));
    const position = k.local("position", "index", 0);
    for (let i = 0; i < 64; i += lanes) k.store(tile, i, k.load(x, k.add(wrap(k.mul(task, 3)), i), { lanes }));
    for (let i = 0; i < 64; i += lanes) k.store(second, i, k.load(f, i, { lanes }));
    const statement = (depth: number, all: KValue[]): void => {
      const offset = (): KValue => {
        let sum: KValue = k.index(below(50));
        for (const axis of all)
          if (random() < 0.6) sum = k.add(sum, k.mul(axis, pick(n, m, k.index(1), k.index(4), k.index(7))));
        if (random() < 0.2) sum = k.add(sum, k.read(position));
        return wrap(sum);
      };
      const plain = (): KValue =>
        all.reduce<KValue>(
          (sum, axis) => k.add(sum, k.mul(axis, pick<KValue | number>(m, 1, 4, 3))),
          k.index(below(40)),
        );
      switch (below(depth > 2 ? 9 : 12)) {
        case 0: {
          const local = pick(...scalars);
          k.assign(local, k.add(k.mul(k.read(local), 3), k.load(x, offset())));
          return;
        }
        case 1: {
          // Both old values are used after one of them changes.
          const [a, b] = [pick(...vectors), pick(...vectors)];
          const [oldA, oldB] = [k.read(a), k.read(b)];
          k.assign(a, k.add(oldA, k.load(x, plain(), { lanes })));
          k.assign(b, k.sub(k.mul(oldB, oldA), k.read(a)));
          return;
        }
        case 2: {
          const local = pick(...vectors);
          k.assign(local, k.add(k.read(local), k.broadcast(k.load(x, offset()), lanes)));
          return;
        }
        case 3: {
          const local = pick(...floats);
          k.assign(
            local,
            k.fma(k.load(second, pick(0, lanes), { lanes }), k.broadcast(k.load(f, plain()), lanes), k.read(local)),
          );
          return;
        }
        case 4: {
          const [a, b, c] = [pick(...floats), pick(...floats), pick(...floats)];
          k.assign(a, k.fma(k.read(b), k.read(c), k.read(a)));
          return;
        }
        case 5: {
          const local = pick(...vectors);
          k.store(tile, pick(0, lanes), k.read(local));
          k.assign(local, k.xor(k.load(tile, lanes, { lanes }), k.broadcast(k.cast(plain(), "i32"), lanes)));
          return;
        }
        case 6: {
          const local = pick(...vectors);
          const old = k.read(local);
          k.assign(local, k.select(k.lt(old, k.load(x, plain(), { lanes })), k.shl(old, 1), k.add(old, 5)));
          return;
        }
        case 7:
          k.assign(position, k.add(k.rem(k.add(k.read(position), offset()), 77), 1));
          return;
        case 8: {
          const local = pick(...scalars);
          k.if(
            k.lt(k.load(x, offset()), k.read(local)),
            () => k.assign(local, k.add(k.read(local), 7)),
            () => void (random() < 0.5 && k.assign(local, k.sub(k.read(local), 2))),
          );
          return;
        }
        default: {
          const end = pick<KValue | number>(n, m, k.sub(n, 2), 3, 5, 8);
          k.for({ end, step: pick(1, 1, 2, 3), unroll: pick(1, 1, 2, 4), start: pick(0, 0, 1) }, (i) => {
            const inner = 1 + below(4);
            for (let at = 0; at < inner; at++) statement(depth + 1, [...all, i]);
          });
        }
      }
    };
    const statements = 3 + below(6);
    for (let i = 0; i < statements; i++) statement(0, axes);
    const at = k.mul(task, 64);
    scalars.forEach((local, i) => k.store(y, k.add(at, i), k.read(local)));
    let sum = k.read(vectors[0]!);
    for (const local of vectors.slice(1)) sum = k.add(k.mul(sum, 5), k.read(local));
    k.store(g, at, sum);
    floats.forEach((local, i) => k.store(z, k.add(at, i * lanes), k.read(local)));
    k.store(y, k.add(at, 40), k.cast(k.read(position), "i32"));
  };
  const shape = below(3);
  if (shape === 0) k.parallel(6, (a) => body([a], a));
  else if (shape === 1) k.parallel(m, (a) => k.parallel(7, (b) => body([a, b], k.add(k.mul(a, 7), b))));
  else
    k.parallel(2, (a) =>
      k.parallel(m, (b) => k.parallel(3, (c) => body([a, b, c], k.add(k.mul(k.add(k.mul(a, m), b), 3), c)))),
    );
  return k.finish();
}
