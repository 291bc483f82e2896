import { expect, test } from "vitest";
import { dimMul, symbol } from "../dim.ts";
import { type Kernel, KernelBuilder, parseKernel, printKernel, verifyKernel } from "./index.ts";

const RMS_NORM = `kernel "rmsNorm" {
  buffer x: f32[cols*rows] read align 4
  buffer y: f32[cols*rows] write align 4
  scalar eps: f32
  symbol cols
  symbol rows
  parallel %0 < $rows {
    %1: index = mul %0, $cols
    %6: f32 = reduce sum %2 < $cols {
      %3: index = add %1, %2
      %4: f32 = load x[%3]
      %5: f32 = mul %4, %4
    } yield %5
    %7: f32 = add %6, $eps
    %8: f32 = sqrt %7
    each %9 < $cols {
      %10: index = add %1, %9
      %11: f32 = load x[%10]
      %12: f32 = div %11, %8
      store y[%10] = %12
    }
  }
}
`;

const VECTORS = `kernel "all \\"forms\\"" {
  buffer x: i8[1024] read align 64
  buffer f: f32[4*n + 3] readwrite align 64
  symbol n
  scratch s: bf16[512] align 64
  local acc#0: f32x16x16
  local sum#1: f32x8
  sum#1 = f32x8(-0)
  acc#0 = f32x16x16(0)
  for %0 = index(0) to $n step 8 unroll 4 {
    %1: boolx8 = lt f32x8(-inf), f32x8(nan)
    %2: f32x8 = load f[%0] mask %1 other f32x8(1.5)
    %3: indexx8 = iota %0
    %4: f32x8 = load f[%3]
    %5: f32x8 = shuffle %2, %4 [7, 6, 5, 4, 3, 2, 1, 0]
    %6: f32 = extract %5 [3]
    %7: f32x8 = broadcast %6
    store f[%3] = %7 mask %1
    %8: f32x8 = read sum#1
    %9: f32x8 = fma %7, %8, %5
    sum#1 = %9
  }
  %10: f32x8 = read sum#1
  %11: f32 = horizontal sum %10
  %12: bool = gt %11, f32(1e-7)
  if %12 {
    store f[index(0)] = %11
  } else {
    barrier
    prefetch f[index(8)] level 2
  }
  %13: bf16x16x32 = tileLoad s[index(0)] stride index(32)
  tileMma acc#0 += %13, %13
  %14: f32x16x16 = read acc#0
  tileStore f[index(0)] stride index(16) = %14
  %15: i64 = add i64(9223372036854775807), i64(-1)
  %16: bf16x8 = intrinsic toBf16Bits %10
  store s[index(0)] = %16
}
`;

test.for([
  ["rmsNorm", RMS_NORM],
  ["every form", VECTORS],
] as const)("%s prints as it was read", ([, text]) => {
  expect(printKernel(parseKernel(text))).toBe(text);
});

test("a recorded kernel prints as expected and verifies", () => {
  const recorded = record();
  expect(printKernel(recorded)).toBe(RMS_NORM);
  verifyKernel(recorded);
});

function record(): Kernel {
  const [rows, cols] = [symbol("rows"), symbol("cols")];
  const b = new KernelBuilder("rmsNorm");
  const n = dimMul(rows, cols);
  const x = b.buffer("x", "f32", n);
  const y = b.buffer("y", "f32", n, { access: "write" });
  const eps = b.scalar("eps", "f32");
  b.parallel(rows, (r) => {
    const row = b.mul(r, b.index(cols));
    const sum = b.reduce("sum", cols, (c) => {
      const v = b.load(x, b.add(row, c));
      return b.mul(v, v);
    });
    const scale = b.sqrt(b.add(sum, eps));
    b.each(cols, (c) => b.store(y, b.add(row, c), b.div(b.load(x, b.add(row, c)), scale)));
  });
  return b.finish();
}

function broken(lines: string): () => void {
  const text = `kernel "broken" {
  buffer x: f32[8] read align 4
  buffer y: f32[8] write align 4
  local a#0: f32
${lines}
}`;
  return () => verifyKernel(parseKernel(text));
}

test("the verifier names the broken rule and the statement", () => {
  expect(broken("  store x[index(0)] = f32(1)")).toThrow(
    'store to the read-only buffer "x"\n  at store x[index(0)] = f32(1) of kernel broken',
  );
  expect(broken("  %0: f32 = add f32(1), i32(2)")).toThrow("add(f32, i32) does not give f32");
  expect(broken("  if bool(true) {\n    %0: f32 = load x[index(0)]\n  }\n  store y[index(0)] = %0")).toThrow(
    "%0 is used before it is defined, or outside its block",
  );
  expect(broken("  store y[index(0)] = f32x8(0)\n  store y[index(0)] = f32x8(0) mask boolx4(true)")).toThrow(
    "the mask should be bool of 8 lanes, is boolx4",
  );
  expect(broken("  each %0 < index(8) {\n    store y[%0] = f32x8(0)\n  }")).toThrow(
    "bodies of each and reduce are scalar",
  );
  expect(
    broken(
      "  a#0 = f32(0)\n  each %0 < index(8) {\n    a#0 = f32(1)\n  }\n  %1: f32 = read a#0\n  store y[index(0)] = %1",
    ),
  ).toThrow('local "a" is assigned in the body of each and used outside it');
  expect(broken("  for %0 = index(0) to index(8) {\n    parallel %1 < index(2) {\n    }\n  }")).toThrow(
    "parallel stands below a sequential statement",
  );
  expect(broken("  parallel %1 < index(2) {\n    store y[%1] = f32(0)\n  }\n  barrier")).toThrow(
    "parallel is not perfectly nested",
  );
  expect(broken("  for %0 = index(0) to index(8) step 0 {\n  }")).toThrow("step 0 is not a positive integer");
  expect(broken("  store y[index(0)] = $q")).toThrow("parameter $q is not declared");
});

test("text errors name the line", () => {
  expect(() => parseKernel('kernel "x" {\n  store q[index(0)] = f32(1)\n}')).toThrow(
    "buffer q is not declared\n  at line 2:",
  );
  expect(() => parseKernel('kernel "x" {\n  %0: f32 = frob f32(1)\n}')).toThrow("frob is not an operation");
  expect(() => parseKernel('kernel "x" {\n  barrier barrier\n}')).toThrow("unexpected barrier");
});
