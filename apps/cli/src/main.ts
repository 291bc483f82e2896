#!/usr/bin/env node
/**
 * Entry of the `quern` command: asks Node to keep compiled JavaScript between runs, then loads the program.
 *
 * The cache saves most of the time that loading takes. It lies in the system's folder for temporary files;
 * NODE_COMPILE_CACHE moves it and NODE_DISABLE_COMPILE_CACHE=1 turns it off. Modules imported statically would be
 * loaded before the cache is on, hence the dynamic import.
 */

import { enableCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";

// What JavaScript allocates here is the garbage of loading: room for more of it would count to the memory of a model.
setFlagsFromString("--semi-space-growth-factor=1");
enableCompileCache();
await import("./program.ts");
