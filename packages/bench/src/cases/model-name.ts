/** What models are called in reports: by their file or its folder, and where that is not enough by folders above. */

import { basename, dirname, extname, resolve, sep } from "node:path";

/** What a name is made of: the last `least` parts, and those before them where names would be alike. */
export interface NameParts {
  readonly parts: readonly string[];
  readonly least: number;
}

function partsOf(path: string): string[] {
  return path.split(sep).filter((part) => part !== "");
}

/** "m" for "m.gguf". */
export function fileNameParts(file: string): NameParts {
  const path = resolve(file);
  return { parts: [...partsOf(dirname(path)), basename(path, extname(path))], least: 1 };
}

/** "mnist-12" for "mnist-12.onnx", "mnist/zoo-8" for "mnist/zoo-8/model.onnx", "mnist" for "bench-models/mnist/model.onnx". */
export function modelNameParts(file: string): NameParts {
  const { parts, least } = fileNameParts(file);
  const folders = parts.slice(0, -1);
  if (parts.at(-1) !== "model" || folders.length === 0) return { parts, least };
  return { parts: folders, least: /(^|-)models?$/.test(folders.at(-2) ?? "") ? 1 : 2 };
}

function joined({ parts, least }: NameParts): string {
  return parts.slice(-least).join("/");
}

/** The name of one model among others, see `modelNameParts`. */
export function modelName(file: string): string {
  return joined(modelNameParts(file));
}

/**
 * Names of files, by their absolute paths. Those that would be alike have as many folders before them as tell them apart, and
 * where no folder does, the endings of the files.
 */
export function distinctNames(
  files: readonly string[],
  nameParts: (file: string) => NameParts,
): ReadonlyMap<string, string> {
  const names = new Map([...new Set(files.map((file) => resolve(file)))].map((path) => [path, nameParts(path)]));
  for (;;) {
    const groups = Map.groupBy(names, ([, name]) => joined(name));
    const alike = [...groups.values()].filter((group) => group.length > 1);
    if (alike.length === 0) return new Map([...names].map(([path, name]) => [path, joined(name)]));
    for (const group of alike) {
      const able = group.filter(([, { parts, least }]) => least < parts.length);
      for (const [path, { parts, least }] of able) names.set(path, { parts, least: least + 1 });
      if (able.length > 0) continue;
      for (const [path] of group) names.set(path, { parts: partsOf(path), least: 1 });
    }
  }
}
