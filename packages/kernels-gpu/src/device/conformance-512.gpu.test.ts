/** Every op record's cases on the GPU; on lavapipe with vectors of 512 bits (subgroups of 16). */
import { env } from "node:process";
import { describeConformance } from "./conformance.test-support.ts";

describeConformance(512, env["QUERN_REQUIRE_GPU"]);
