/** Every op record's cases on the GPU; on lavapipe with vectors of 128 bits (subgroups of 4). */
import { env } from "node:process";
import { describeConformance } from "./conformance.test-support.ts";

describeConformance(128, env["QUERN_REQUIRE_GPU"]);
