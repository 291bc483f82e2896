/**
 * cuBLAS through foreign function calls, where the CUDA toolkit's libraries are installed: matrix products only.
 *
 * Inputs lie in device memory before they are timed, as weights and activations of a program do; a call ends when the result
 * is there, in device memory. Precision "highest" is f32 throughout, "medium" lets the tensor cores round to TF32. Untried:
 * no machine with such a GPU was at hand; only loading and the binding of its functions are tested.
 */

import { basename } from "node:path";
import { UserError } from "@quern/core";
import type { Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { compileGemm, gemmOnly, type GemmLibrary } from "./gemm-model.ts";
import { loadLibrary, type NativeLibrary } from "./native-library.ts";

const HINT = "It comes with the CUDA toolkit (packages libcublas and cuda-cudart), found where LD_LIBRARY_PATH says.";

const windows = process.platform === "win32";
const BLAS_NAMES = windows
  ? ["cublas64_13.dll", "cublas64_12.dll"]
  : ["libcublas.so.13", "libcublas.so.12", "libcublas.so"];
const RUNTIME_NAMES = windows
  ? ["cudart64_13.dll", "cudart64_12.dll"]
  : ["libcudart.so.13", "libcudart.so.12", "libcudart.so"];

const AS_IT_IS = 0;
const TO_DEVICE = 1;
const FROM_DEVICE = 2;
const TF32 = 3;

interface Libraries {
  readonly blas: NativeLibrary;
  readonly runtime: NativeLibrary;
}

async function load(): Promise<Libraries> {
  const purpose = "the engine cublas";
  return {
    blas: await loadLibrary(BLAS_NAMES, purpose, HINT),
    runtime: await loadLibrary(RUNTIME_NAMES, purpose, HINT),
  };
}

function must(status: number, what: string): void {
  if (status !== 0) throw new UserError(`${what} failed with status ${status}`, { where: "the engine cublas" });
}

/** A pointer that a function writes. */
function pointerFrom(write: (into: bigint) => number, what: string, library: NativeLibrary): bigint {
  const cell = new BigUint64Array(1);
  must(write(library.address(cell)), what);
  return cell[0] as bigint;
}

/** All functions that the engine calls, bound before any is called. Exported for the test of a library that lacks one. */
export function bindCublas({ blas, runtime }: Libraries): GemmLibrary<bigint> & { close(): void; setTf32(): void } {
  const create = blas.bind("int cublasCreate_v2(uint64_t handle)");
  const destroy = blas.bind("int cublasDestroy_v2(uint64_t handle)");
  const setMathMode = blas.bind("int cublasSetMathMode(uint64_t handle, int mode)");
  const sgemm = blas.bind(
    "int cublasSgemm_v2(uint64_t handle, int transA, int transB, int m, int n, int k, uint64_t alpha, uint64_t a, int lda, uint64_t b, int ldb, uint64_t beta, uint64_t c, int ldc)",
  );
  const malloc = runtime.bind("int cudaMalloc(uint64_t pointer, uint64_t bytes)");
  const free = runtime.bind("int cudaFree(uint64_t pointer)");
  const copy = runtime.bind("int cudaMemcpy(uint64_t to, uint64_t from, uint64_t bytes, int kind)");
  const synchronise = runtime.bind("int cudaDeviceSynchronize(void)");

  const handle = pointerFrom(create, "cublasCreate", blas);
  const one = Float32Array.of(1);
  const zero = Float32Array.of(0);
  const allocate = (count: number): bigint =>
    pointerFrom((into) => malloc(into, 4 * count), `cudaMalloc of ${4 * count} bytes`, runtime);
  return {
    device: "cuda",
    load(values) {
      const matrix = allocate(values.length);
      must(copy(matrix, runtime.address(values), values.byteLength, TO_DEVICE), "cudaMemcpy");
      return matrix;
    },
    allocate,
    multiply(x, b, y, { m, k, n }) {
      // Matrices are stored by columns there: yᵀ = bᵀ · xᵀ.
      const alpha = blas.address(one);
      const beta = blas.address(zero);
      must(sgemm(handle, AS_IT_IS, AS_IT_IS, n, m, k, alpha, b, n, x, k, beta, y, n), "cublasSgemm");
      must(synchronise(), "cudaDeviceSynchronize");
    },
    read(matrix, count) {
      const values = new Float32Array(count);
      must(copy(runtime.address(values), matrix, values.byteLength, FROM_DEVICE), "cudaMemcpy");
      return values;
    },
    free: (matrix) => must(free(matrix), "cudaFree"),
    setTf32: () => must(setMathMode(handle, TF32), "cublasSetMathMode"),
    close: () => must(destroy(handle), "cublasDestroy"),
  };
}

export const cublas: Engine = {
  name: "cublas",
  about: "cuBLAS of the CUDA toolkit, matrix products in device memory",
  ownThreads: true,
  precisions: ["highest", "medium"],
  keepsKernels: false,
  quantises: false,

  async describe() {
    const { blas } = await load();
    const part = (index: number): number => {
      const value = new Int32Array(1);
      must(
        blas.bind("int cublasGetProperty(int type, uint64_t value)")(index, blas.address(value)),
        "cublasGetProperty",
      );
      return value[0] as number;
    };
    return {
      name: "cublas",
      version: [0, 1, 2].map(part).join("."),
      library: basename(blas.file),
      sha256: blas.sha256,
      settings: {
        path: blas.file,
        isa: "cuda",
        threads: "one of the host",
        call: "cublasSgemm_v2 and cudaDeviceSynchronize, inputs and outputs in device memory",
        math: "f32; TF32 at precision medium",
      },
    };
  },

  supports: gemmOnly,

  async open(options: EngineOptions): Promise<OpenEngine> {
    const gemm = bindCublas(await load());
    if (options.precision === "medium") gemm.setTf32();
    return { compile: async (path) => compileGemm(path, gemm), close: async () => gemm.close() };
  },
};
