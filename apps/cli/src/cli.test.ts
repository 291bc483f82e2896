/** The command as users meet it: spawned, with its exit code, streams and files. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { bundledModels } from "@quern/bench/engines";
import { describe, expect, it } from "vitest";
import { packageVersion } from "./version.ts";
import { spawnedCli, main } from "./spawn-cli.test-support.ts";

const { folder, quern, start } = spawnedCli("cli");

const mnist = bundledModels().find((file) => file.includes("mnist")) ?? "";

describe("help and version", () => {
  it.each([[["--help"]], [["bench", "--help"]], [["run", "--help"]], [["inspect", "--help"]], [["doctor", "--help"]]])(
    "%j",
    (args) => {
      const { code, stdout, stderr } = quern(...args);
      expect(code).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toContain("Usage: quern");
      if (args.length > 1) expect(stdout).toContain("Examples:");
    },
  );

  it("--version", () => {
    expect(quern("--version")).toEqual({ code: 0, stdout: `${packageVersion()}\n`, stderr: "" });
  });
});

describe("wrong use is one message and exit code 2", () => {
  it.each([
    [["grind"], "unknown command 'grind'"],
    [["run"], "missing required argument 'file'"],
    [["bench", "--no-such-option"], "unknown option '--no-such-option'"],
    [["bench", "fft"], '"fft" cannot be measured'],
    [["bench", "gemm,fft"], '"fft" cannot be measured'],
    [["bench", "gemm,model", "a.onnx"], '"a.onnx" is not expected here'],
    [["bench", "model,gemm"], "files are measured alone"],
    [["bench", "gemm", "-o", "pdf=x.pdf"], 'there is no report in the form "pdf"'],
    [["bench", "mnist.onnx"], "quern bench model mnist.onnx"],
    [["bench", "model"], "no model file is given"],
    [["bench", "gemm", "extra"], '"extra" is not expected here'],
    [["bench", "gemm", "--shapes", "12x12"], '"12x12" is not a GEMM shape'],
    [["bench", "gemm", "--weights", "none"], "neither constant nor input"],
    [["bench", "models", "--cache", "soft-cold"], "the weights of a model do not rotate"],
    [["bench", "ops", "--ops", "sofmax"], 'there is no op case "sofmax"'],
    [["bench", "gemm", "--engines", "tensorflow"], 'there is no engine "tensorflow"'],
    [["bench", "gemm", "--engines", ""], "no engine to measure"],
    [["bench", "gemm", "--threads", "0"], "no list of thread counts"],
    [["bench", "gemm", "--precision", "best"], 'there is no precision "best"'],
    [["bench", "gemm", "--time", "soon"], "not a number from"],
    [["bench", "gemm", "--seed", "-1"], "not a whole number from"],
    [["bench", "--dim", "batch"], "not of the form name=value"],
    [["bench", "gemm", "--shapes", "8x8x8", "--dim", "sequence=128"], 'has a dimension "sequence"'],
    [["bench", "model", "missing.onnx"], "the model file does not exist"],
    [["bench", "gemm", "--quantize", "Q8_0"], "only weights of models are quantised"],
    [["bench", "gemm", "--json", "/proc/nowhere/r.json"], "cannot be written"],
    [["bench", "gemm", "-o", "html=r.json", "--json", "./r.json"], "two reports would be written to one file"],
    [["bench", "gemm", "--html", "r.html", "-o", "md=r.html"], "two reports would be written to one file"],
    [["bench", "--shapes", "256"], "--shapes says nothing about models"],
    [["bench", "gemm", "--ops", "gelu"], "--ops says nothing about gemm"],
    [["bench", "models,ops", "--weights", "nonsense"], "--weights says nothing about models and ops"],
    [["bench", "model", "a.onnx", "--shapes", "8"], "--shapes says nothing about model\n"],
    [["bench", "--threads", "2", "run"], "--threads would be ignored before run"],
    [["bench", "run", "--time", "soon"], '"soon" is not a number from 0.01'],
    [["bench", "list"], "this folder has no bench files"],
    [["run", "missing.onnx"], "the model file does not exist"],
    [["run", "."], "a folder, not a model file"],
    [["run", "x.onnx", "--device", "tpu"], 'there is no device "tpu"'],
    [["inspect", "x.onnx", "--stage", "soup"], 'there is no stage "soup"'],
    [["run", "x.onnx", "--quantize", "Q4_K_M"], "Choose from: F16, Q4_0"],
    [["inspect", "x.onnx", "--quantize", "Q8_1"], "weights cannot be quantised to Q8_1"],
  ])("%j", (args, message) => {
    const { code, stdout, stderr } = quern(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("QUERN_DEBUG adds the stack", () => {
    const { status, stderr } = spawnSync(process.execPath, ["--conditions=quern-src", main, "run", "missing.onnx"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, QUERN_DEBUG: "1" },
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/at .*\.ts:\d+/);
  });
});

describe("doctor", () => {
  it("always answers", () => {
    const { code, stdout } = quern("doctor");
    expect(code).toBe(0);
    for (const heading of ["machine", "devices", "engines", "environment"]) expect(stdout).toContain(`\n${heading}\n`);
    expect(stdout).toMatch(/✓ reference/);
  });

  it("--json - prints JSON and nothing else", () => {
    const { code, stdout } = quern("doctor", "--json", "-");
    expect(code).toBe(0);
    const found = JSON.parse(stdout) as { machine: { cpu: object }; engines: { name: string }[] };
    expect(found.engines.map((engine) => engine.name)).toContain("onnxruntime");
    expect(found.machine.cpu).toHaveProperty("features");
  });
});

describe("bench", () => {
  it("measures, writes whole files and prints a table", () => {
    const { code, stdout, stderr } = quern(
      "bench",
      "gemm,ops",
      "--shapes",
      "16x24x32",
      "--ops",
      "add",
      "--engines",
      "onnxruntime",
      "--time",
      "0.02",
      "--processes",
      "1",
      "--json",
      "out/results.json",
      "--html",
      "out/report.html",
      "-o",
      "md=out/report.md",
    );
    expect(stderr).toBe(""); // no progress where nobody watches
    expect(code).toBe(0);
    expect(stdout).toMatch(/gemm\/16x24x32 +1 +onnxruntime +highest .*✓/);
    const results = JSON.parse(readFileSync(join(folder, "out/results.json"), "utf8")) as {
      schema: string;
      run?: { argv: string[] };
    };
    expect(results.schema).toBe("quern.results/1");
    expect(results.run).toMatchObject({ kind: "engines", tool: { name: "quern" } });
    expect(results.run?.argv.join(" ")).toContain("bench gemm,ops --shapes 16x24x32");
    // Ops have their usual size beside products.
    expect(readFileSync(join(folder, "out/report.md"), "utf8")).toMatch(/gemm\/16x24x32<.*\n.*op\/add</);
    for (const file of ["results.json", "report.html", "report.md"]) expect(stdout).toContain(`wrote out/${file}\n`);
    expect(readFileSync(join(folder, "out/report.html"), "utf8")).toContain("</html>");
    expect(readdirSync(join(folder, "out")).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("Ctrl-C reports what was measured as a whole", async (context) => {
    if (process.platform === "win32") context.skip("signals end processes on Windows");
    const few = ["--shapes", "16x16x16", "--engines", "onnxruntime", "--time", "60", "--processes", "100"];
    const child = start("bench", "gemm", ...few, "--json", "interrupted.json");
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const end = new Promise((done) => child.once("close", done));
    await setTimeout(5000);
    child.kill("SIGINT");
    expect(await end).toBe(130);
    // How many repeats are done by then is the machine's business.
    if (stderr === "") {
      const kept = JSON.parse(readFileSync(join(folder, "interrupted.json"), "utf8")) as { run?: object };
      expect(kept.run).toMatchObject({ aborted: true });
    } else {
      expect(stderr).toBe("quern: interrupted before anything was measured\n");
      expect(readdirSync(folder)).not.toContain("interrupted.json");
    }
  });

  it("a model that no engine can read is a failure, and no success is claimed", () => {
    writeFileSync(join(folder, "spoiled.onnx"), "this is not protobuf");
    const { code, stdout, stderr } = quern("bench", "model", "spoiled.onnx", "--engines", "onnxruntime", "--json", "-");
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("nothing could be measured");
    expect(stderr).toContain("model/spoiled, onnxruntime: ");
    expect(existsSync(join(folder, "-"))).toBe(false);
  });
});

describe("run and inspect", () => {
  it("run compares with the outputs beside the model", () => {
    const { code, stdout, stderr } = quern(
      "run",
      mnist,
      "--device",
      "reference",
      "--case",
      join(mnist, "../case-0"),
      "--output",
      "outputs",
    );
    expect(stderr).toBe("");
    expect(stdout).toContain("✓ equal to");
    expect(code).toBe(0);
    expect(readdirSync(join(folder, "outputs")).every((name) => /^out-.*\.npy$/.test(name))).toBe(true);
  });

  it("run says 1 where outputs differ", () => {
    const { code, stdout } = quern(
      "run",
      mnist,
      "--device",
      "reference",
      "--case",
      join(mnist, "../case-0"),
      "--input",
      "Input3=random",
    );
    expect(stdout).toContain("✗ differs from");
    expect(code).toBe(1);
  });

  it.each([
    [["--input", "nonsense=random"], 'the model has no input "nonsense"'],
    [["--input", "Input3=missing.npy"], "missing.npy"],
    [["--case", "nowhere"], "the case folder does not exist"],
  ])("run %j is refused", (args, message) => {
    const { code, stdout, stderr } = quern("run", mnist, "--device", "reference", ...args);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("--quantize says what became of the weights, and at which precision", () => {
    const magika = bundledModels().find((file) => file.includes("magika")) ?? "";
    const { code, stdout } = quern("run", magika, "--quantize", "q4_k", "--case", join(magika, "../case-0"));
    expect(stdout).toMatch(/^weights quantised: Q4_K, 1 of 2 matrices, 426 KiB → 59\.9 KiB, .*precision medium$/m);
    expect(stdout).toContain("✓ equal to");
    expect(code).toBe(0);
    const inspected = quern("inspect", magika, "--quantize", "Q4_K", "--precision", "highest").stdout;
    expect(inspected).toMatch(/products at precision highest\n/);
    expect(inspected).toMatch(/213×512 +matmul +1 +Q4_K/);
    expect(inspected).toContain("stays: rows of 257 weights");
    expect(inspected).not.toContain("matmul_Q4_K");
  });

  it("bench labels quantised weights", () => {
    const magika = bundledModels().find((file) => file.includes("magika")) ?? "";
    const options = ["--quantize", "Q8_0", "--time", "0.02", "--processes", "1", "--json", "quantised.json"];
    const { code, stdout } = quern("bench", "model", magika, ...options);
    expect(stdout).toContain("weights quantised: Q8_0 (quern)");
    expect(stdout).toMatch(/quern +medium, Q8_0 weights .*✓/);
    expect(stdout).toMatch(/onnxruntime +highest .*✓/);
    expect(code).toBe(0);
    const { results } = JSON.parse(readFileSync(join(folder, "quantised.json"), "utf8")) as {
      results: { engine: string; weights?: string; tolerance: number }[];
    };
    for (const { engine, weights } of results) expect(weights).toBe(engine === "quern" ? "Q8_0" : undefined);
  });

  it("inspect counts ops and prints stages", () => {
    const summary = quern("inspect", mnist, "--device", "reference");
    expect(summary.code).toBe(0);
    expect(summary.stdout).toContain("Input3: f32");
    const graph = quern("inspect", mnist, "--device", "reference", "--stage", "graph");
    expect(graph.code).toBe(0);
    expect(graph.stdout).toMatch(/^graph @/);
  });
});
