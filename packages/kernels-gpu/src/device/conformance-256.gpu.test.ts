/** Every op record's cases on the GPU; on lavapipe with vectors of 256 bits (subgroups of 8). */
import { env } from "node:process";
import { describeConformance } from "./conformance.test-support.ts";

describeConformance(256, env["QUERN_REQUIRE_GPU"]);
