/**
 * The template engine `@huggingface/jinja`, with what chat templates use and the library lacks: dictionaries with integer
 * keys, and `| string` of lists and dictionaries as Python writes them.
 */
import { Environment, Interpreter } from "@huggingface/jinja";

/** What the library computes with: a type name and a value. Its classes are not exported. */
interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
}

/** The parts of syntax nodes that are looked at here. */
interface Node {
  readonly type: string;
  readonly value?: unknown;
  readonly operand?: Node;
  readonly filter?: Node;
  readonly object?: Node;
  readonly property?: Node;
  readonly computed?: boolean;
}

/** A JavaScript value as a runtime value. */
function toRuntime(value: unknown): RuntimeValue {
  return new Environment().set("value", value);
}

/** A list of runtime values as one. */
function runtimeList(items: readonly RuntimeValue[]): RuntimeValue {
  const list = toRuntime([]);
  (list.value as RuntimeValue[]).push(...items);
  return list;
}

const PYTHON_ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function pythonQuoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll(/[\\\n\r\t]/g, (character) => PYTHON_ESCAPES[character]!);
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

/** A value as Python's `repr` writes it. */
function pythonRepr({ type, value }: RuntimeValue): string {
  if (typeof value === "string") return pythonQuoted(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === null || value === undefined) return type === "UndefinedValue" ? "" : "None";
  if (value instanceof Map) {
    const pairs = [...(value as Map<string | number, RuntimeValue>)];
    return `{${pairs.map(([key, each]) => `${pythonRepr(toRuntime(key))}: ${pythonRepr(each)}`).join(", ")}}`;
  }
  if (Array.isArray(value)) return `[${(value as RuntimeValue[]).map(pythonRepr).join(", ")}]`;
  // Python writes floats with a point even when they are whole.
  const digits = String(value as number);
  return type === "FloatValue" && Number.isInteger(value) ? `${digits}.0` : digits;
}

function hasIntegerKeys(value: unknown): value is Map<number, RuntimeValue> {
  return value instanceof Map && [...value.keys()].some((key) => typeof key === "number");
}

/** The method through which the library evaluates every node; private in its declarations. */
type Evaluate = (node: Node | undefined, environment: Environment) => RuntimeValue;

/** Makes an interpreter over `environment`. */
export function chatInterpreter(environment: Environment): Interpreter {
  const interpreter = new Interpreter(environment);
  const inner = interpreter as unknown as { evaluate: Evaluate };
  const evaluate: Evaluate = inner.evaluate.bind(interpreter);
  inner.evaluate = (node, scope) => {
    // An open end of a slice is no node at all.
    return (node === undefined ? undefined : extended(node, scope, inner.evaluate)) ?? evaluate(node, scope);
  };
  return interpreter;
}

/** The value of a node that the library cannot evaluate, or undefined for all others. */
function extended(node: Node, scope: Environment, evaluate: Evaluate): RuntimeValue | undefined {
  if (node.type === "ObjectLiteral") return dictionary(node.value as Map<Node, Node>, scope, evaluate);
  if (node.type === "FilterExpression" && node.filter?.type === "Identifier") {
    if (node.filter.value === "string") return stringOf(evaluate(node.operand!, scope));
    if (node.filter.value === "dictsort") return sortedByInteger(node.operand!, scope, evaluate);
  }
  if (node.type === "MemberExpression" && node.computed === true && node.property!.type === "IntegerLiteral") {
    return memberByInteger(node, scope, evaluate);
  }
  return undefined;
}

function stringOf(value: RuntimeValue): RuntimeValue {
  return toRuntime(typeof value.value === "string" ? value.value : pythonRepr(value));
}

function dictionary(entries: Map<Node, Node>, scope: Environment, evaluate: Evaluate): RuntimeValue | undefined {
  if (![...entries.keys()].some((key) => key.type === "IntegerLiteral")) return undefined;
  const result = toRuntime({});
  for (const [key, value] of entries) {
    (result.value as Map<unknown, RuntimeValue>).set(evaluate(key, scope).value, evaluate(value, scope));
  }
  return result;
}

function sortedByInteger(operand: Node, scope: Environment, evaluate: Evaluate): RuntimeValue | undefined {
  // Evaluated once more by the library when the keys are strings: harmless, since only a variable is looked up.
  if (operand.type !== "Identifier") return undefined;
  const { value } = evaluate(operand, scope);
  if (!hasIntegerKeys(value)) return undefined;
  const pairs = [...value].sort(([a], [b]) => a - b);
  return runtimeList(pairs.map(([key, each]) => runtimeList([toRuntime(key), each])));
}

function memberByInteger(node: Node, scope: Environment, evaluate: Evaluate): RuntimeValue | undefined {
  if (node.object!.type !== "Identifier") return undefined;
  const { value } = evaluate(node.object!, scope);
  if (!hasIntegerKeys(value)) return undefined;
  return value.get(node.property!.value as number) ?? toRuntime(undefined);
}
