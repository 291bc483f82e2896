/**
 * Checks a value against a JSON Schema of the form that result files use, and copies it.
 *
 * The copy has the members that the schema names and no others, so that nothing of a hostile file travels further than
 * its check. Understood are the keywords of `JsonSchema`; a schema with another keyword is refused by the tests.
 */

/** The part of JSON Schema (draft 2020-12) that is understood. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema;
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly format?: string;
}

/** How much of one kind a file may hold. */
export interface ValueLimits {
  /** UTF-16 units of one string */
  readonly stringLength: number;
  /** Members of an object whose names the schema does not fix */
  readonly recordSize: number;
  /** Elements of one list */
  readonly listLength: number;
}

const VALUE_LIMITS: ValueLimits = { stringLength: 65_536, recordSize: 2000, listLength: 1_000_000 };

/** Where a value differs from the schema: `path` as in `benches[3].estimate.ratio`. */
export class SchemaMismatch extends Error {
  override readonly name: string = "SchemaMismatch";
  readonly path: string;

  constructor(path: string, problem: string) {
    super(`${path === "" ? "the file" : path}: ${problem}`);
    this.path = path;
  }
}

/** Names that mean something else than a member to JavaScript. */
const RESERVED: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** A copy of `value` with what the schema names. Throws a `SchemaMismatch` at the first difference. */
export function acceptValue(
  schema: JsonSchema,
  value: unknown,
  path = "",
  limits: ValueLimits = VALUE_LIMITS,
): unknown {
  if (schema.const !== undefined && value !== schema.const) {
    throw new SchemaMismatch(path, `expected ${show(schema.const)}, found ${show(value)}`);
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    throw new SchemaMismatch(path, `expected one of ${schema.enum.map(show).join(", ")}, found ${show(value)}`);
  }
  if (schema.anyOf !== undefined) return acceptChoice(schema.anyOf, value, path, limits);
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    if (!types.some((type) => isOfType(type, value))) {
      throw new SchemaMismatch(path, `expected ${types.join(" or ")}, found ${show(value)}`);
    }
  }
  if (typeof value === "number") return acceptNumber(schema, value, path);
  if (typeof value === "string") return acceptString(schema, value, path, limits);
  if (Array.isArray(value)) return acceptList(schema, value, path, limits);
  if (typeof value === "object" && value !== null) return acceptObject(schema, value, path, limits);
  return value;
}

/** The choice that fits; otherwise the difference that lies deepest, which is most likely the one that was meant. */
function acceptChoice(choices: readonly JsonSchema[], value: unknown, path: string, limits: ValueLimits): unknown {
  let deepest: SchemaMismatch | undefined;
  for (const choice of choices) {
    try {
      return acceptValue(choice, value, path, limits);
    } catch (error) {
      if (!(error instanceof SchemaMismatch)) throw error;
      if (deepest === undefined || error.path.length > deepest.path.length) deepest = error;
    }
  }
  throw deepest ?? new SchemaMismatch(path, "nothing is allowed here");
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isSafeInteger(value);
    // JSON has no infinity, but its parsers make one of 1e999.
    case "number":
      return Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

function acceptNumber({ minimum, maximum, exclusiveMinimum }: JsonSchema, value: number, path: string): number {
  if (minimum !== undefined && value < minimum) throw new SchemaMismatch(path, `${value} is less than ${minimum}`);
  if (maximum !== undefined && value > maximum) throw new SchemaMismatch(path, `${value} is more than ${maximum}`);
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) {
    throw new SchemaMismatch(path, `${value} is not more than ${exclusiveMinimum}`);
  }
  return value;
}

function acceptString({ format }: JsonSchema, value: string, path: string, { stringLength }: ValueLimits): string {
  if (value.length > stringLength) {
    throw new SchemaMismatch(path, `a text of ${value.length} characters, more than ${stringLength}`);
  }
  if (format === "date-time" && !isDateTime(value)) {
    throw new SchemaMismatch(path, `expected a date with a time, found ${show(value)}`);
  }
  return value;
}

/** RFC 3339, as far as a calendar is needed to read it. */
function isDateTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(text) && !Number.isNaN(Date.parse(text));
}

function acceptList({ items }: JsonSchema, value: readonly unknown[], path: string, limits: ValueLimits): unknown[] {
  if (value.length > limits.listLength) {
    throw new SchemaMismatch(path, `a list of ${value.length} elements, more than ${limits.listLength}`);
  }
  return items === undefined ? [] : value.map((item, i) => acceptValue(items, item, `${path}[${i}]`, limits));
}

function acceptObject(schema: JsonSchema, value: object, path: string, limits: ValueLimits): Record<string, unknown> {
  const inside = (name: string): string => (path === "" ? name : `${path}.${name}`);
  const copy: [string, unknown][] = [];
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) throw new SchemaMismatch(path, `"${name}" is missing`);
  }
  const { properties = {}, additionalProperties } = schema;
  for (const [name, member] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name)) continue;
    copy.push([name, acceptValue(member, (value as Record<string, unknown>)[name], inside(name), limits)]);
  }
  if (additionalProperties !== undefined) {
    const others = Object.entries(value).filter(([name]) => !Object.hasOwn(properties, name));
    if (others.length > limits.recordSize) {
      throw new SchemaMismatch(path, `${others.length} members, more than ${limits.recordSize}`);
    }
    for (const [name, member] of others) {
      if (RESERVED.has(name)) throw new SchemaMismatch(path, `a member may not be named "${name}"`);
      if (name.length > limits.stringLength) throw new SchemaMismatch(path, "the name of a member is too long");
      copy.push([name, acceptValue(additionalProperties, member, inside(printableName(name)), limits)]);
    }
  }
  return Object.fromEntries(copy);
}

function printableName(name: string): string {
  return /^[\w.-]{1,60}$/.test(name) ? name : show(name);
}

const SHOWN = 60;

/** A value as one short line of ASCII, whatever it holds. */
function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, SHOWN)) : String(value);
  const escaped = text.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return typeof value === "string" && value.length > SHOWN ? `${escaped.slice(0, -1)}…"` : escaped;
}
