/**
 * OpenBLAS through foreign function calls: matrix products only.
 *
 * Best documented settings: as many threads as the budget, set through `openblas_set_num_threads` and read back; a row times
 * a matrix is `cblas_sgemv`. The record `openblas-defaults` leaves the threads to the library, which takes all
 * processors, and calls `cblas_sgemm` for everything. OpenBLAS has no call that packs a constant matrix ahead. Its
 * threads spin for a while after a call, which costs nobody anything while idle engines are stopped.
 */

import { basename } from "node:path";
import { UserError } from "@quern/core";
import type { Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { compileGemm, gemmOnly, type GemmLibrary } from "./gemm-model.ts";
import { loadLibrary, type NativeLibrary } from "./native-library.ts";

const HINT =
  "On Debian and Ubuntu: apt-get install libopenblas0-pthread. Another one is found where LD_LIBRARY_PATH says.";

const NAMES: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: [
    "libopenblas.so.0",
    "libopenblas.so",
    "libopenblasp.so.0", // Fedora
  ],
  darwin: ["/opt/homebrew/opt/openblas/lib/libopenblas.dylib", "/usr/local/opt/openblas/lib/libopenblas.dylib"],
  win32: ["libopenblas.dll", "openblas.dll"],
};

const ROW_MAJOR = 101;
const AS_IT_IS = 111;
const TRANSPOSED = 112;

/** What `openblas_get_parallel` returns. */
const PARALLEL = ["one thread", "its own threads", "OpenMP"];

function load(names: readonly string[] = NAMES[process.platform] ?? ["libopenblas.so"]): Promise<NativeLibrary> {
  return loadLibrary(names, "the engine openblas", HINT);
}

/** Sets the number of threads; throws a `UserError` where the library keeps another. */
function setThreads(library: NativeLibrary, threads: number): void {
  library.bind("void openblas_set_num_threads(int)")(threads);
  const set = library.bind("int openblas_get_num_threads(void)")();
  if (set === threads) return;
  throw new UserError(`openblas was asked for ${threads} threads and has ${set}`, {
    where: library.file,
    hint: "libopenblas0-serial has one thread; install libopenblas0-pthread.",
  });
}

/** Values with the address of the first, asked for once. */
interface Matrix {
  readonly values: Float32Array;
  readonly at: number;
}

function gemmLibrary(library: NativeLibrary, best: boolean): GemmLibrary<Matrix> {
  const sgemm = library.bind(
    "void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, uint64_t a, int lda, uint64_t b, int ldb, float beta, uint64_t c, int ldc)",
  );
  const sgemv = library.bind(
    "void cblas_sgemv(int order, int trans, int m, int n, float alpha, uint64_t a, int lda, uint64_t x, int incx, float beta, uint64_t y, int incy)",
  );
  const matrix = (values: Float32Array): Matrix => ({ values, at: Number(library.address(values)) });
  const core = library.text("openblas_get_corename");
  return {
    device: core === null ? "cpu" : `cpu:${core}`,
    load: matrix,
    allocate: (count) => matrix(new Float32Array(count)),
    multiply(x, b, y, { m, k, n }) {
      if (best && m === 1) sgemv(ROW_MAJOR, TRANSPOSED, k, n, 1, b.at, n, x.at, 1, 0, y.at, 1);
      else sgemm(ROW_MAJOR, AS_IT_IS, AS_IT_IS, m, n, k, 1, x.at, k, b.at, n, 0, y.at, n);
    },
    read: ({ values }) => values,
    free: () => {},
  };
}

function openblasEngine(name: string, about: string, best: boolean): Engine {
  return {
    name,
    about,
    ...(best ? {} : { variantOf: "openblas" }),
    precisions: ["highest"],
    keepsKernels: false,
    quantises: false,

    async describe() {
      const library = await load();
      const config = library.text("openblas_get_config") ?? "unknown";
      const parallel = library.bind("int openblas_get_parallel(void)")();
      return {
        name,
        version: /\d+(\.\d+)+/.exec(config)?.[0] ?? "unknown",
        library: basename(library.file),
        sha256: library.sha256,
        settings: {
          config: config.trim(),
          path: library.file,
          isa: library.text("openblas_get_corename") ?? "unknown",
          parallel: PARALLEL[parallel] ?? String(parallel),
          threads: best ? "as in each row" : `the library's own: ${defaultThreads(library)}`,
          call: best ? "cblas_sgemm; cblas_sgemv for one row" : "cblas_sgemm",
        },
      };
    },

    supports: gemmOnly,

    async open(options: EngineOptions): Promise<OpenEngine> {
      const library = await load();
      if (best) setThreads(library, options.threads);
      const gemm = gemmLibrary(library, best);
      return { compile: async (path) => compileGemm(path, gemm), close: async () => {} };
    },
  };
}

function defaultThreads(library: NativeLibrary): number {
  return library.bind("int openblas_get_num_threads(void)")();
}

export const openblas: Engine = openblasEngine("openblas", "OpenBLAS of the system, matrix products", true);
export const openblasDefaults: Engine = openblasEngine(
  "openblas-defaults",
  "the same, threads and calls as without any setting",
  false,
);
