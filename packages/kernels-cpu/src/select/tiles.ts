/** stub */
import type { KValue, Stmt } from "@quern/core/kernel";
import type { Item, Reg } from "../asm/index.ts";
import type { Selector } from "./selector.ts";
export function emitTileLoad(s: Selector, value: KValue, _def: KValue["def"], _into: readonly Reg[] | undefined): readonly Reg[] { return s.unsupported("tile", value.type.dtype, "soon"); }
export function selectTileStore(s: Selector, _stmt: Stmt): void { s.unsupported("tile", "f32", "soon"); }
export function selectTileMma(s: Selector, _stmt: Stmt): void { s.unsupported("tile", "f32", "soon"); }
export function tileConfiguration(_s: Selector): { entry: Item[]; exit: Item[] } { return { entry: [], exit: [] }; }
