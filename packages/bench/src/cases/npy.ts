/**
 * NumPy `.npy` files: one tensor each, format versions 1 to 3, little-endian, C order.
 *
 * In: bytes of a file. Out: a `Tensor`, and back. Lengths are checked against the file's size before anything is
 * allocated. Reference: numpy.lib.format documentation.
 */

import { readFileSync } from "node:fs";
import { ARRAY_OF, Tensor, UserError, elementCount, type DType } from "@quern/core";

const DTYPE_OF_DESCR: Readonly<Record<string, DType>> = {
  "<f8": "f64",
  "<f4": "f32",
  "<f2": "f16",
  "<i8": "i64",
  "<i4": "i32",
  "<i2": "i16",
  "|i1": "i8",
  "<u8": "u64",
  "<u4": "u32",
  "<u2": "u16",
  "|u1": "u8",
  "|b1": "bool",
};

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** Reads one tensor. `where` names the file in errors. */
export function parseNpy(bytes: Uint8Array, where: string): Tensor {
  const fail = (what: string): never => {
    throw new UserError(`npy: ${what}`, { where, hint: "Write it with numpy.save(file, array) or check the copy." });
  };
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) fail("this is no .npy file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(6);
  if (version < 1 || version > 3) fail(`format version ${version} is unknown`);
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) fail("the header is cut off");
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + headerLength > bytes.length) fail("the header is cut off");
  const header = new TextDecoder().decode(bytes.subarray(start, start + headerLength));

  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1];
  const shapeText = /'shape'\s*:\s*\(([\d\s,L]*)\)/.exec(header)?.[1];
  if (descr === undefined || shapeText === undefined) return fail(`the header cannot be read: ${header.trim()}`);
  const dtype = DTYPE_OF_DESCR[descr] ?? fail(`element type '${descr}' is not supported`);
  const shape = shapeText
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(Number.parseFloat);
  if (/'fortran_order'\s*:\s*True/.test(header) && shape.length > 1)
    fail("column-major (fortran_order) arrays are not supported");

  const count = elementCount(shape);
  const constructor = ARRAY_OF[dtype];
  const size = count * constructor.BYTES_PER_ELEMENT;
  const offset = start + headerLength;
  if (!Number.isSafeInteger(size) || offset + size > bytes.length) {
    fail(`shape (${shape.join(", ")}) of ${dtype} needs ${size} bytes, the file has ${bytes.length - offset}`);
  }
  const copy = new Uint8Array(size); // aligned for any element type, whatever buffer `bytes` is a view of
  copy.set(bytes.subarray(offset, offset + size));
  return new Tensor(dtype, shape, new constructor(copy.buffer, 0, count));
}

/** Reads a `.npy` file. Throws a `UserError` that names it where it cannot be read or is none. */
export function readNpy(file: string): Tensor {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw new UserError(`npy: the file cannot be read (${(cause as Error).message})`, { where: file, cause });
  }
  return parseNpy(bytes, file);
}

/** The bytes of a version 1.0 file. */
export function encodeNpy(tensor: Tensor): Uint8Array {
  const descr = Object.entries(DTYPE_OF_DESCR).find(([, dtype]) => dtype === tensor.dtype)?.[0];
  if (descr === undefined) throw new UserError(`npy: ${tensor.dtype} has no NumPy element type`);
  const shape = tensor.shape.length === 1 ? `${tensor.shape[0]},` : tensor.shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  const padded = Math.ceil((10 + text.length + 1) / 64) * 64;
  const header = new TextEncoder().encode(`${text.padEnd(padded - 11)}\n`);
  const bytes = new Uint8Array(padded + tensor.byteLength);
  bytes.set([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  bytes.set(header, 10);
  bytes.set(tensor.bytes(), padded);
  return bytes;
}
