/** The TypeScript type of what a JSON Schema accepts, so that a schema and its types cannot differ. */

interface NamedTypes {
  readonly string: string;
  readonly number: number;
  readonly integer: number;
  readonly boolean: boolean;
  readonly null: null;
}

/**
 * The type of the values that `Schema` accepts. Understood: const, enum, anyOf, type by name or list of names, arrays,
 * objects with `properties` and `required` (which may be empty), and objects whose members are all of one kind.
 */
export type FromSchema<Schema> = Schema extends { const: infer Value }
  ? Value
  : Schema extends { enum: readonly (infer Value)[] }
    ? Value
    : Schema extends { anyOf: readonly (infer Choice)[] }
      ? Choice extends unknown
        ? FromSchema<Choice>
        : never
      : Schema extends { type: readonly (infer Name extends keyof NamedTypes)[] }
        ? NamedTypes[Name]
        : Schema extends { type: infer Name extends keyof NamedTypes }
          ? NamedTypes[Name]
          : Schema extends { type: "array"; items: infer Item }
            ? readonly FromSchema<Item>[]
            : Schema extends { properties: infer Members; required: readonly (infer Required)[] }
              ? { readonly [Key in keyof Members as Key extends Required ? Key : never]: FromSchema<Members[Key]> } & {
                  readonly [Key in keyof Members as Key extends Required ? never : Key]?: FromSchema<Members[Key]>;
                }
              : Schema extends { additionalProperties: infer Value }
                ? Readonly<Record<string, FromSchema<Value>>>
                : never;
