/**
 * The text of rendered kernels, and what cannot be rendered. Needs no device.
 */

import { KernelBuilder, UnsupportedError, symbol } from "@quern/core";
import { expect, test } from "vitest";
import { foldGrid } from "./geometry.ts";
import { renderWgsl } from "./render.ts";

test("elements as invocations, sizes as parameters", () => {
  const k = new KernelBuilder("scale");
  const n = symbol("n");
  const x = k.buffer("x", "f32", n);
  const y = k.buffer("y", "f32", n, { access: "write" });
  const factor = k.scalar("factor", "f32");
  k.parallel(n, (i) => k.store(y, i, k.mul(k.load(x, i), factor)));
  const program = renderWgsl(k.finish());
  expect(program.parameters).toEqual([
    { name: "factor", dtype: "f32" },
    { name: "n", dtype: "index" },
  ]);
  expect(program.tasksPerWorkgroup).toBe(64);
  expect(program.code).toMatchInlineSnapshot(`
    "// scale
    @group(0) @binding(0) var<storage, read> x_: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_: array<f32>;
    struct Params {
      p0: f32, // factor
      p1: i32, // n
    }
    @group(0) @binding(2) var<uniform> params: Params;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) grid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = grid.x + grid.y * groups.x;
      var task = i32(group * 64u + local);
      if (task >= params.p1) {
        return;
      }
      let v0 = task;
      let v1 = x_[v0];
      let v2 = (v1 * params.p0);
      y_[v0] = v2;
    }
    "
  `);
});

test("a workgroup per row: subgroup reduction, uniform result, one writer", () => {
  const k = new KernelBuilder("rowSum");
  const x = k.buffer("x", "f32", 21);
  const y = k.buffer("y", "f32", 3, { access: "write" });
  k.parallel(3, (row) =>
    k.store(
      y,
      row,
      k.reduce("sum", 7, (i) => k.load(x, k.add(k.mul(row, 7), i))),
    ),
  );
  const program = renderWgsl(k.finish(), { subgroups: true });
  expect(program.tasksPerWorkgroup).toBe(1);
  expect(program.code).toMatchInlineSnapshot(`
    "enable subgroups;
    // rowSum
    @group(0) @binding(0) var<storage, read> x_: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_: array<f32>;
    struct Invocation {
      local: u32,
      lane: u32,
      subgroup: u32,
      subgroups: u32,
    }
    var<workgroup> partial_f32: array<f32, 64>;
    fn workgroup_sum_f32(value: f32, at: Invocation) -> f32 {
      let part = subgroupAdd(value);
      if (at.lane == 0u) {
        partial_f32[at.subgroup] = part;
      }
      workgroupBarrier();
      if (at.local == 0u) {
        var total = partial_f32[0];
        for (var i = 1u; i < at.subgroups; i++) {
          total = total + partial_f32[i];
        }
        partial_f32[0] = total;
      }
      return workgroupUniformLoad(&partial_f32[0]);
    }
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) grid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
      let group = grid.x + grid.y * groups.x;
      var task = i32(group);
      let at = Invocation(local, lane, subgroup, subgroups);
      if (task >= 3i) {
        return;
      }
      let v0 = task;
      var part5 = 0.0f;
      for (var v1 = i32(at.local); v1 < 7i; v1 += 64i) {
        let v2 = (v0 * 7i);
        let v3 = (v2 + v1);
        let v4 = x_[v3];
        part5 = part5 + v4;
      }
      let v5 = workgroup_sum_f32(part5, at);
      if (at.local == 0u) {
        y_[v0] = v5;
      }
    }
    "
  `);
});

test("without subgroups: workgroup memory in two steps", () => {
  const k = new KernelBuilder("any");
  const x = k.buffer("x", "bool", 9);
  const y = k.buffer("y", "i32", 1, { access: "write" });
  k.parallel(1, (at) =>
    k.store(
      y,
      at,
      k.cast(
        k.reduce("or", 9, (i) => k.load(x, i)),
        "i32",
      ),
    ),
  );
  expect(renderWgsl(k.finish()).code).toMatchInlineSnapshot(`
    "// any
    @group(0) @binding(0) var<storage, read> x_: array<u32>;
    @group(0) @binding(1) var<storage, read_write> y_: array<i32>;
    struct Invocation {
      local: u32,
    }
    var<workgroup> partial_bool: array<bool, 64>;
    fn workgroup_or_bool(value: bool, at: Invocation) -> bool {
      partial_bool[at.local] = value;
      workgroupBarrier();
      if (at.local < 8u) {
        var column = value;
        for (var i = at.local + 8u; i < 64u; i += 8u) {
          column = column | partial_bool[i];
        }
        partial_bool[at.local] = column;
      }
      workgroupBarrier();
      if (at.local == 0u) {
        var total = partial_bool[0];
        for (var i = 1u; i < 8u; i++) {
          total = total | partial_bool[i];
        }
        partial_bool[0] = total;
      }
      return workgroupUniformLoad(&partial_bool[0]);
    }
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) grid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = grid.x + grid.y * groups.x;
      var task = i32(group);
      let at = Invocation(local);
      if (task >= 1i) {
        return;
      }
      let v0 = task;
      var part3 = false;
      for (var v1 = i32(at.local); v1 < 9i; v1 += 64i) {
        let v2 = (extractBits(x_[v1 >> 2u], u32(v1 & 3i) * 8u, 8u) != 0u);
        part3 = part3 | v2;
      }
      let v3 = workgroup_or_bool(part3, at);
      let v4 = i32(v3);
      if (at.local == 0u) {
        y_[v0] = v4;
      }
    }
    "
  `);
});

test("packed storage: shifts to read, atomics to write", () => {
  const k = new KernelBuilder("negative");
  const x = k.buffer("x", "i8", 40);
  const y = k.buffer("y", "bool", 40, { access: "write" });
  k.parallel(40, (i) => k.store(y, i, k.lt(k.load(x, i), 0)));
  expect(renderWgsl(k.finish()).code).toMatchInlineSnapshot(`
    "// negative
    @group(0) @binding(0) var<storage, read> x_: array<u32>;
    @group(0) @binding(1) var<storage, read_write> y_: array<atomic<u32>>;
    fn store_y_(index: i32, bits: u32) {
      let shift = u32(index & 3i) * 8u;
      atomicAnd(&y_[index >> 2u], ~(0xffu << shift));
      atomicOr(&y_[index >> 2u], (bits & 0xffu) << shift);
    }
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) grid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = grid.x + grid.y * groups.x;
      var task = i32(group * 64u + local);
      if (task >= 40i) {
        return;
      }
      let v0 = task;
      let v1 = extractBits(bitcast<i32>(x_[v0 >> 2u]), u32(v0 & 3i) * 8u, 8u);
      let v2 = (v1 < 0i);
      store_y_(v0, u32(v2));
    }
    "
  `);
});

test("masked vectors of 4", () => {
  const k = new KernelBuilder("axpy");
  const x = k.buffer("x", "f32", 10);
  const y = k.buffer("y", "f32", 10, { access: "readwrite" });
  k.parallel(3, (i) => {
    const at = k.mul(i, 4);
    const mask = k.lt(k.iota(at, 4), k.broadcast(k.index(10), 4));
    const sum = k.fma(
      k.broadcast(k.const("f32", 2), 4),
      k.load(x, at, { lanes: 4, mask }),
      k.load(y, at, { lanes: 4, mask }),
    );
    k.store(y, at, sum, { mask });
  });
  expect(renderWgsl(k.finish()).code).toMatchInlineSnapshot(`
    "// axpy
    @group(0) @binding(0) var<storage, read> x_: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) grid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
      let group = grid.x + grid.y * groups.x;
      var task = i32(group * 64u + local);
      if (task >= 3i) {
        return;
      }
      let v0 = task;
      let v1 = (v0 * 4i);
      let v2 = v1 + vec4<i32>(0i, 1i, 2i, 3i);
      let v3 = (v2 < vec4<i32>(10i));
      let v4 = vec4<f32>(select(0.0f, x_[select(0i, v1, v3.x)], v3.x), select(0.0f, x_[select(0i, (v1 + 1i), v3.y)], v3.y), select(0.0f, x_[select(0i, (v1 + 2i), v3.z)], v3.z), select(0.0f, x_[select(0i, (v1 + 3i), v3.w)], v3.w));
      let v5 = vec4<f32>(select(0.0f, y_[select(0i, v1, v3.x)], v3.x), select(0.0f, y_[select(0i, (v1 + 1i), v3.y)], v3.y), select(0.0f, y_[select(0i, (v1 + 2i), v3.z)], v3.z), select(0.0f, y_[select(0i, (v1 + 3i), v3.w)], v3.w));
      let v6 = fma(vec4<f32>(2.0f), v4, v5);
      if (v3.x) {
        y_[v1] = v6.x;
      }
      if (v3.y) {
        y_[(v1 + 1i)] = v6.y;
      }
      if (v3.z) {
        y_[(v1 + 2i)] = v6.z;
      }
      if (v3.w) {
        y_[(v1 + 3i)] = v6.w;
      }
    }
    "
  `);
});

test("scratch and barriers make a workgroup of a task", () => {
  const k = new KernelBuilder("reverse");
  const x = k.buffer("x", "f32", 128);
  const y = k.buffer("y", "f32", 128, { access: "write" });
  const shared = k.scratch("shared", "f32", 64);
  k.parallel(2, (block) => {
    const first = k.mul(block, 64);
    k.each(64, (i) => k.store(shared, i, k.load(x, k.add(first, i))));
    k.barrier();
    k.each(64, (i) => k.store(y, k.add(first, i), k.load(shared, k.sub(63, i))));
  });
  const { code, tasksPerWorkgroup } = renderWgsl(k.finish());
  expect(tasksPerWorkgroup).toBe(1);
  expect(code).toMatch(/var<workgroup> shared_: array<f32, 64>;[^]*storageBarrier\(\);\n {2}workgroupBarrier\(\);/);
});

test("f16 is native with the feature, packed without", () => {
  const k = new KernelBuilder("copy");
  const x = k.buffer("x", "f16", 8);
  const y = k.buffer("y", "f16", 8, { access: "write" });
  k.parallel(8, (i) => k.store(y, i, k.cast(k.cast(k.load(x, i), "f32"), "f16")));
  const kernel = k.finish();
  expect(renderWgsl(kernel, { f16: true }).code).toMatch(/^enable f16;[^]*y_: array<f16>;[^]*y_\[v0\] = f16\(/);
  const packed = renderWgsl(kernel).code;
  expect(packed).not.toContain("f16>");
  expect(packed).toMatch(/y_: array<atomic<u32>>;[^]*unpack2x16float/);
});

test("infinities and NaN are made at run time, and compared by their bits", () => {
  const k = new KernelBuilder("special");
  const x = k.buffer("x", "f32", 4);
  const y = k.buffer("y", "f32", 4, { access: "write" });
  k.parallel(4, (i) => {
    const value = k.load(x, i);
    k.store(y, i, k.select(k.ne(value, value), k.const("f32", Infinity), k.max(value, k.const("f32", NaN))));
  });
  const { code } = renderWgsl(k.finish());
  expect(code).toContain("f32FromBits(0x7f800000u)");
  expect(code).toContain("isNaN(v1)");
  expect(code).not.toMatch(/[^!]!=|inf|nan\b/);
});

test("what WGSL cannot express is an UnsupportedError", () => {
  const wide = new KernelBuilder("wide");
  const x = wide.buffer("x", "i64", 4, { access: "readwrite" });
  wide.parallel(4, (i) => wide.store(x, i, wide.add(wide.load(x, i), 1)));
  expect(() => renderWgsl(wide.finish())).toThrow(UnsupportedError);
  const vector = new KernelBuilder("vector");
  const y = vector.buffer("y", "f32", 8, { access: "readwrite" });
  vector.parallel(1, () => vector.store(y, 0, vector.neg(vector.load(y, 0, { lanes: 8 }))));
  expect(() => renderWgsl(vector.finish())).toThrow("WGSL has vectors of 2 and 4");
});

test("large grids fold into a second axis", () => {
  expect(foldGrid(65_535, 65_535)).toEqual([65_535, 1]);
  expect(foldGrid(65_536, 65_535)).toEqual([32_768, 2]);
  const [x, y] = foldGrid(10_000_019, 65_535);
  expect(x).toBeLessThanOrEqual(65_535);
  expect(x * y).toBeGreaterThanOrEqual(10_000_019);
  expect(() => foldGrid(2 ** 33, 65_535)).toThrow(UnsupportedError);
});
