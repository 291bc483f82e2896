/**
 * The configuration file of a repository, `quern.bench.config.ts` (or `.mts`, `.mjs`, `.js`), and its check. Keys are strict: a
 * misspelt threshold must not be a threshold without effect.
 */

import { isAbsolute } from "node:path";
import { UserError } from "@quern/core/errors";
import { nearestName } from "./nearest.ts";
import { SETTINGS, SETTING_KEYS, type Settings } from "./settings.ts";

export const CONFIG_VERSION = 1;

/** What a configuration file may say; keys of `Settings` are presets' to fill in where they are missing. */
export interface BenchConfig extends Partial<Settings> {
  readonly version: typeof CONFIG_VERSION;
  /** Globs of bench files, relative to this file's folder. */
  readonly benches?: readonly string[];
  /**
   * Globs of what bench files need beside them. Packages of npm and folders without benches get them, and all builds of
   * `bisect --current-benches`: everything else that is compared brings its own files. Default: the folders that the globs of `benches` begin with.
   */
  readonly files?: readonly string[];
  /** Commands that build an arm, run by the shell in its project folder: `["npm ci", "npm run build"]`. */
  readonly prepare?: readonly string[];
  /** Practical thresholds by pattern of identifiers; the longest pattern that fits decides. */
  readonly deltas?: Readonly<Record<string, number>>;
  /** Patterns of benches that the base has and the head has no more, on purpose. */
  readonly removed?: readonly string[];
  /**
   * Absolute folders with libraries that both arms may load although they belong to neither, as `/usr/local/cuda/lib64`.
   * Those of the system need no mention.
   */
  readonly shared?: readonly string[];
  /** Variables of the processes that measure. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node for the processes that measure, such as `--conditions=development`. */
  readonly nodeOptions?: readonly string[];
}

/** Gives the configuration back, with its type. Checks happen where the file is loaded, and name the file. */
export function defineConfig(config: BenchConfig): BenchConfig {
  return config;
}

type Check = (value: unknown) => string | undefined;

const texts: Check = (value) =>
  Array.isArray(value) && value.every((text) => typeof text === "string" && text.trim() !== "")
    ? undefined
    : "is a list of texts, none of them empty";

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A glob that leaves the folder would read files of another arm. */
const globs: Check = (value) =>
  texts(value) ??
  ((value as string[]).every((glob) => !/^([/\\]|[a-z]:)|(^|[/\\{,])\.\.([/\\},]|$)/i.test(glob))
    ? undefined
    : "is a list of globs within the folder of the configuration file");

const OTHER_KEYS: { readonly [Key in Exclude<keyof BenchConfig, keyof Settings | "version">]-?: Check } = {
  benches: (value) => globs(value) ?? ((value as string[]).length > 0 ? undefined : "names at least one glob"),
  files: globs,
  prepare: texts,
  deltas: (value) =>
    isRecord(value) && Object.values(value).every((delta) => SETTINGS.delta.accepts(delta))
      ? undefined
      : `is a record of patterns and ${SETTINGS.delta.takes}`,
  removed: texts,
  shared: (value) =>
    texts(value) ??
    ((value as string[]).every((path) => isAbsolute(path)) ? undefined : "is a list of absolute folders"),
  env: (value) =>
    isRecord(value) && Object.values(value).every((text) => typeof text === "string")
      ? undefined
      : "is a record of names and texts",
  nodeOptions: (value) =>
    texts(value) ??
    ((value as string[]).every((option) => option.startsWith("-")) ? undefined : "is a list of options of Node"),
};

export const CONFIG_KEYS: readonly string[] = ["version", ...Object.keys(OTHER_KEYS), ...SETTING_KEYS];

/** `value` as a configuration. Throws a `UserError` naming `where` for a wrong version, an unknown key, a wrong value. */
export function checkConfig(value: unknown, where: string): BenchConfig {
  if (!isRecord(value)) {
    throw new UserError("the configuration is no object", {
      where,
      hint: "export default defineConfig({ version: 1 })",
    });
  }
  const version = value["version"];
  if (version !== CONFIG_VERSION) {
    const what =
      version === undefined ? "the configuration has no version" : `version ${JSON.stringify(version)} is not known`;
    throw new UserError(what, { where, hint: `This program reads \`version: ${CONFIG_VERSION}\`.` });
  }
  for (const [key, given] of Object.entries(value)) {
    if (!CONFIG_KEYS.includes(key)) {
      const nearest = nearestName(key, CONFIG_KEYS);
      const hint = nearest === undefined ? `Known keys: ${CONFIG_KEYS.join(", ")}.` : `Did you mean "${nearest}"?`;
      throw new UserError(`there is no setting "${key}"`, { where, hint });
    }
    if (given === undefined || key === "version") continue;
    const wrong = wrongValue(key, given);
    if (wrong !== undefined) throw new UserError(`"${key}" ${wrong}, not ${shown(given)}`, { where });
  }
  return value as unknown as BenchConfig;
}

function wrongValue(key: string, given: unknown): string | undefined {
  const setting = SETTING_KEYS.find((name) => name === key);
  if (setting === undefined) return (OTHER_KEYS as Readonly<Record<string, Check>>)[key]?.(given);
  return SETTINGS[setting].accepts(given) ? undefined : `is ${SETTINGS[setting].takes}`;
}

const SHOWN = 60;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
