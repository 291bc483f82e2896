/** The machine of a result file: the facts that decide whether times can be compared, and its measured peaks. */

const rooflineSchema = {
  type: "array",
  description: "Measured peaks by thread count; empty where they could not be measured.",
  items: {
    type: "object",
    required: ["threads", "fmaGflops", "matrixGflops", "readGBps"],
    properties: {
      threads: { type: "integer" },
      fmaGflops: { type: ["number", "null"], description: "f32 multiply-add peak" },
      matrixGflops: { type: ["number", "null"], description: "bf16 matrix unit peak; null without one" },
      byteGops: { type: ["number", "null"], description: "8-bit integer dot product peak; null without such" },
      readGBps: { type: ["number", "null"], description: "memory read bandwidth" },
      l1ReadGBps: {
        type: ["number", "null"],
        description: "read bandwidth of data in the first-level caches",
      },
      l2ReadGBps: {
        type: ["number", "null"],
        description: "read bandwidth of data in the second-level caches",
      },
      l3ReadGBps: { type: ["number", "null"], description: "read bandwidth of data in the third-level cache" },
    },
  },
} as const;

const cpuSchema = {
  type: "object",
  required: ["brand", "vendor", "cores", "features", "caches"],
  properties: {
    brand: { type: "string" },
    vendor: { type: "string" },
    cores: { type: "integer", description: "Logical processors that this process may use." },
    features: { type: "array", items: { type: "string" } },
    caches: {
      type: "array",
      items: {
        type: "object",
        required: ["level", "type", "bytes"],
        properties: { level: { type: "integer" }, type: { type: "string" }, bytes: { type: "integer" } },
      },
    },
    hypervisor: { type: "boolean" },
    governor: { type: ["string", "null"] },
    quota: { type: ["string", "null"], description: "cgroup cpu.max" },
  },
} as const;

export const machineSchema = {
  type: "object",
  required: ["fingerprint", "cpu", "memoryBytes", "os", "kernel", "arch", "node", "roofline"],
  properties: {
    fingerprint: { type: "string", description: "Short hash; times of different fingerprints are not comparable." },
    cpu: cpuSchema as typeof cpuSchema,
    memoryBytes: { type: "integer" },
    os: { type: "string" },
    kernel: { type: "string" },
    arch: { type: "string" },
    node: { type: "string" },
    roofline: rooflineSchema as typeof rooflineSchema,
    rooflineNote: {
      type: "string",
      description: "What could not be measured of the peaks that were asked for, and why; absent: nothing",
    },
  },
} as const;
