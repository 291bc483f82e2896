/**
 * Where the process of an engine begins. It loads `@quern/core` before the harness does, and times that: nothing may be imported
 * statically here, since that would be loaded before the clock starts.
 */

const before = performance.now();
await import("@quern/core");
const ms = performance.now() - before;
const { noteCoreLoad } = await import("./core-load.ts");
noteCoreLoad(ms);
await import("./worker.ts");

export {};
