#!/usr/bin/env node
/**
 * Entry of the `quern-bench` command: asks Node to keep compiled JavaScript between runs, then loads the program. Modules
 * imported statically would be loaded before the cache is on, hence the dynamic import.
 */

import { enableCompileCache } from "node:module";

enableCompileCache();
await import("./program.ts");
