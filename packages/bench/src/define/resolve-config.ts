/**
 * Which value of a setting counts: a flag before an environment variable, that before the file, that before the preset of
 * the profile. Every value keeps where it came from, so that `--dump-config` can say it.
 */

import { UserError } from "@quern/core/errors";
import type { BenchConfig } from "./config.ts";
import { DEFAULT_BENCHES } from "./load-config.ts";
import { nearestName } from "./nearest.ts";
import { isPattern, patternMatcher } from "./pattern.ts";
import { SETTINGS, SETTING_KEYS, type Profile, type SettingKey, type Settings } from "./settings.ts";

export type Origin = "flag" | "environment" | "file" | "preset";

/** Values of flags, as text or already read. */
export type Flags = { readonly [Key in SettingKey]?: Settings[Key] | string | undefined };

/** Everything that a profile fills in. `threads` and `seed` may depend on the machine and the hour. */
export type Presets = (profile: Profile) => Settings;

export interface ResolvedConfig {
  readonly settings: Settings;
  readonly origins: { readonly [Key in SettingKey]: Origin };
  readonly benches: readonly string[];
  readonly files: readonly string[];
  readonly prepare: readonly string[];
  readonly deltas: Readonly<Record<string, number>>;
  readonly removed: readonly string[];
  readonly shared: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly nodeOptions: readonly string[];
}

export interface ConfigSources {
  readonly flags: Flags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: BenchConfig;
  readonly presets: Presets;
}

const PREFIX = "BENCH_";

/** Variables of other parts of the program. */
const OTHER_VARIABLES = ["BENCH_ACCEPT"];

function read<Key extends SettingKey>(key: Key, text: string, where: string): Settings[Key] {
  const value = SETTINGS[key].parse(text.trim());
  if (value === undefined) throw new UserError(`"${text}" is not ${SETTINGS[key].takes}`, { where });
  return value;
}

/** A variable that is nearly one of ours is a mistake; any other belongs to someone else. */
function requireKnownVariables(env: ConfigSources["env"]): void {
  const known = [...SETTING_KEYS.map((key) => SETTINGS[key].env), ...OTHER_VARIABLES];
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue;
    const nearest = nearestName(
      name.slice(PREFIX.length),
      known.map((other) => other.slice(PREFIX.length)),
    );
    if (nearest === undefined) continue;
    throw new UserError(`there is no variable ${name}`, {
      where: "environment",
      hint: `Did you mean ${PREFIX}${nearest}?`,
    });
  }
}

function given<Key extends SettingKey>(key: Key, sources: ConfigSources): [Settings[Key], Origin] | undefined {
  const flag = sources.flags[key];
  const { env: variable, flag: option } = SETTINGS[key];
  if (typeof flag === "string") return [read(key, flag, option), "flag"];
  if (flag !== undefined) {
    if (!SETTINGS[key].accepts(flag))
      throw new UserError(`${String(flag)} is not ${SETTINGS[key].takes}`, { where: option });
    return [flag as Settings[Key], "flag"];
  }
  const text = sources.env[variable];
  if (text !== undefined && text !== "") return [read(key, text, variable), "environment"];
  const inFile = sources.file[key] as Settings[Key] | undefined;
  return inFile === undefined ? undefined : [inFile, "file"];
}

/** Merges the four sources. Throws a `UserError` that names the flag or variable of a wrong value. */
export function resolveConfig(sources: ConfigSources): ResolvedConfig {
  requireKnownVariables(sources.env);
  const profile = given("profile", sources)?.[0] ?? DEFAULT_PROFILE;
  const preset: Settings = { ...sources.presets(profile), profile };
  const chosen = SETTING_KEYS.map((key) => [key, given(key, sources) ?? [preset[key], "preset"]] as const);
  const { file } = sources;
  const benches = file.benches ?? DEFAULT_BENCHES;
  return {
    settings: Object.fromEntries(chosen.map(([key, [value]]) => [key, value])) as unknown as Settings,
    origins: Object.fromEntries(chosen.map(([key, [, origin]]) => [key, origin])) as ResolvedConfig["origins"],
    benches,
    files: file.files ?? benches.flatMap(folderOf),
    prepare: file.prepare ?? [],
    deltas: file.deltas ?? {},
    removed: file.removed ?? [],
    shared: file.shared ?? [],
    env: file.env ?? {},
    nodeOptions: file.nodeOptions ?? [],
  };
}

const DEFAULT_PROFILE: Profile = "ci";

/** The literal folders that a glob begins with, and all below them; nothing for a glob that begins with a sign. */
function folderOf(glob: string): string[] {
  const parts = glob.split("/");
  const signs = parts.findIndex((part) => isPattern(part) || /[[\]()!+@]/.test(part));
  const folder = parts.slice(0, signs === -1 ? parts.length - 1 : signs).filter((part) => part !== ".");
  return folder.length === 0 ? [] : [`${folder.join("/")}/**`];
}

/**
 * The practical threshold of one bench: that of a flag or variable, else that of the longest pattern in `deltas`, else
 * the bench's own, else that of the run.
 */
export function deltaOf(
  config: ResolvedConfig,
  bench: { readonly id: string; readonly delta?: number | undefined },
): number {
  const { delta } = config.settings;
  if (config.origins.delta === "flag" || config.origins.delta === "environment") return delta;
  const fitting = Object.keys(config.deltas)
    .filter((pattern) => patternMatcher(pattern)(bench.id))
    .sort((a, b) => (a === bench.id ? -1 : b === bench.id ? 1 : b.length - a.length || (a < b ? -1 : 1)));
  const [pattern] = fitting;
  return (pattern === undefined ? bench.delta : config.deltas[pattern]) ?? delta;
}

const COMMENTS: { readonly [O in Origin]: (key: SettingKey, profile: Profile) => string } = {
  flag: (key) => SETTINGS[key].flag,
  environment: (key) => SETTINGS[key].env,
  file: () => "this file",
  preset: (_, profile) => `preset ${profile}`,
};

/** The configuration as a file that can be saved and loaded; comments say where each setting came from. */
export function dumpConfig(config: ResolvedConfig, file?: string): string {
  const lines = SETTING_KEYS.map((key) => {
    const origin = COMMENTS[config.origins[key]](key, config.settings.profile);
    return `  ${key}: ${JSON.stringify(config.settings[key])}, // ${origin}`;
  });
  const { benches, files, prepare, deltas, removed, shared, env, nodeOptions } = config;
  const others = Object.entries({ benches, files, prepare, deltas, removed, shared, env, nodeOptions });
  return [
    `// ${file ?? "no configuration file"}`,
    "export default {",
    "  version: 1,",
    ...lines,
    ...others.map(([key, value]) => `  ${key}: ${JSON.stringify(value)},`),
    "};",
    "",
  ].join("\n");
}
