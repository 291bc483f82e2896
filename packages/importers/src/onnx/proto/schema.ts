/**
 * The messages of onnx.proto that a reader needs: one interface and one table of fields each.
 *
 * A row is `[field number, kind]`; the mapped type of `MessageSpec` makes a missing or misspelt row a compile error.
 * Documentation strings, training information and device configurations are left out: unknown fields are skipped.
 * Reference: onnx/onnx.proto of ONNX 1.23 (field numbers never change within the format).
 */

/**
 * How a field is decoded. `int` and `float` are numbers (64-bit integers beyond 2^53 are rounded), with default 0;
 * `int?` is absent where the file has no such field. Lists ending in `Array` become typed arrays.
 */
export type FieldKind =
  | "int"
  | "int?"
  | "float"
  | "string"
  | "bytes"
  | "ints"
  | "floats"
  | "strings"
  | "bytesList"
  | "floatArray"
  | "doubleArray"
  | "int32Array"
  | "int64Array"
  | "uint64Array";

export type Field =
  | readonly [number: number, kind: FieldKind]
  | readonly [number: number, kind: "one" | "many", spec: () => AnySpec];

/** A spec whose message type does not matter. */
export interface AnySpec {
  readonly name: string;
  readonly fields: Readonly<Record<string, Field>>;
}

export interface MessageSpec<T> {
  readonly name: string;
  readonly fields: { readonly [K in keyof T]-?: Field };
}

export interface ModelProto {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  graph: GraphProto | undefined;
  opsetImport: OperatorSetIdProto[];
  metadataProps: StringStringEntryProto[];
  functions: FunctionProto[];
}

export interface OperatorSetIdProto {
  domain: string;
  version: number;
}

export interface StringStringEntryProto {
  key: string;
  value: string;
}

export interface GraphProto {
  name: string;
  node: NodeProto[];
  initializer: TensorProto[];
  sparseInitializer: SparseTensorProto[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
}

export interface FunctionProto {
  name: string;
  domain: string;
  overload: string;
  input: string[];
  output: string[];
  attribute: string[];
  attributeProto: AttributeProto[];
  node: NodeProto[];
  opsetImport: OperatorSetIdProto[];
}

export interface NodeProto {
  name: string;
  opType: string;
  domain: string;
  overload: string;
  input: string[];
  output: string[];
  attribute: AttributeProto[];
}

export interface AttributeProto {
  name: string;
  type: number;
  refAttrName: string;
  f: number;
  i: number;
  s: Uint8Array | undefined;
  t: TensorProto | undefined;
  g: GraphProto | undefined;
  floats: number[];
  ints: number[];
  strings: Uint8Array[];
  graphs: GraphProto[];
  sparseTensor: SparseTensorProto | undefined;
  tp: TypeProto | undefined;
}

export interface TensorProto {
  name: string;
  dims: number[];
  dataType: number;
  segment: SegmentProto | undefined;
  rawData: Uint8Array | undefined;
  floatData: Float32Array;
  doubleData: Float64Array;
  int32Data: Int32Array;
  int64Data: BigInt64Array;
  uint64Data: BigUint64Array;
  stringData: Uint8Array[];
  externalData: StringStringEntryProto[];
  dataLocation: number;
}

export interface SegmentProto {
  begin: number;
  end: number;
}

export interface SparseTensorProto {
  values: TensorProto | undefined;
  indices: TensorProto | undefined;
  dims: number[];
}

export interface ValueInfoProto {
  name: string;
  type: TypeProto | undefined;
}

export interface TypeProto {
  tensorType: TensorTypeProto | undefined;
  sequenceType: ElementTypeProto | undefined;
  mapType: MapTypeProto | undefined;
  sparseTensorType: TensorTypeProto | undefined;
  optionalType: ElementTypeProto | undefined;
}

export interface TensorTypeProto {
  elemType: number;
  shape: TensorShapeProto | undefined;
}

export interface ElementTypeProto {
  elemType: TypeProto | undefined;
}

export interface MapTypeProto {
  keyType: number;
}

export interface TensorShapeProto {
  dim: DimensionProto[];
}

export interface DimensionProto {
  dimValue: number | undefined;
  dimParam: string;
}

/** A list of tensors as the conformance suite stores it. */
export interface SequenceProto {
  name: string;
  elemType: number;
  tensorValues: TensorProto[];
}

export const modelSpec: MessageSpec<ModelProto> = {
  name: "ModelProto",
  fields: {
    irVersion: [1, "int"],
    producerName: [2, "string"],
    producerVersion: [3, "string"],
    graph: [7, "one", () => graphSpec],
    opsetImport: [8, "many", () => operatorSetIdSpec],
    metadataProps: [14, "many", () => stringStringEntrySpec],
    functions: [25, "many", () => functionSpec],
  },
};

export const operatorSetIdSpec: MessageSpec<OperatorSetIdProto> = {
  name: "OperatorSetIdProto",
  fields: { domain: [1, "string"], version: [2, "int"] },
};

export const stringStringEntrySpec: MessageSpec<StringStringEntryProto> = {
  name: "StringStringEntryProto",
  fields: { key: [1, "string"], value: [2, "string"] },
};

export const graphSpec: MessageSpec<GraphProto> = {
  name: "GraphProto",
  fields: {
    node: [1, "many", () => nodeSpec],
    name: [2, "string"],
    initializer: [5, "many", () => tensorSpec],
    input: [11, "many", () => valueInfoSpec],
    output: [12, "many", () => valueInfoSpec],
    sparseInitializer: [15, "many", () => sparseTensorSpec],
  },
};

export const functionSpec: MessageSpec<FunctionProto> = {
  name: "FunctionProto",
  fields: {
    name: [1, "string"],
    input: [4, "strings"],
    output: [5, "strings"],
    attribute: [6, "strings"],
    node: [7, "many", () => nodeSpec],
    opsetImport: [9, "many", () => operatorSetIdSpec],
    domain: [10, "string"],
    attributeProto: [11, "many", () => attributeSpec],
    overload: [13, "string"],
  },
};

export const nodeSpec: MessageSpec<NodeProto> = {
  name: "NodeProto",
  fields: {
    input: [1, "strings"],
    output: [2, "strings"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "many", () => attributeSpec],
    domain: [7, "string"],
    overload: [8, "string"],
  },
};

export const attributeSpec: MessageSpec<AttributeProto> = {
  name: "AttributeProto",
  fields: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int"],
    s: [4, "bytes"],
    t: [5, "one", () => tensorSpec],
    g: [6, "one", () => graphSpec],
    floats: [7, "floats"],
    ints: [8, "ints"],
    strings: [9, "bytesList"],
    graphs: [11, "many", () => graphSpec],
    tp: [14, "one", () => typeSpec],
    type: [20, "int"],
    refAttrName: [21, "string"],
    sparseTensor: [22, "one", () => sparseTensorSpec],
  },
};

export const tensorSpec: MessageSpec<TensorProto> = {
  name: "TensorProto",
  fields: {
    dims: [1, "ints"],
    dataType: [2, "int"],
    segment: [3, "one", () => segmentSpec],
    floatData: [4, "floatArray"],
    int32Data: [5, "int32Array"],
    stringData: [6, "bytesList"],
    int64Data: [7, "int64Array"],
    name: [8, "string"],
    rawData: [9, "bytes"],
    doubleData: [10, "doubleArray"],
    uint64Data: [11, "uint64Array"],
    externalData: [13, "many", () => stringStringEntrySpec],
    dataLocation: [14, "int"],
  },
};

export const segmentSpec: MessageSpec<SegmentProto> = {
  name: "TensorProto.Segment",
  fields: { begin: [1, "int"], end: [2, "int"] },
};

export const sparseTensorSpec: MessageSpec<SparseTensorProto> = {
  name: "SparseTensorProto",
  fields: { values: [1, "one", () => tensorSpec], indices: [2, "one", () => tensorSpec], dims: [3, "ints"] },
};

export const valueInfoSpec: MessageSpec<ValueInfoProto> = {
  name: "ValueInfoProto",
  fields: { name: [1, "string"], type: [2, "one", () => typeSpec] },
};

export const typeSpec: MessageSpec<TypeProto> = {
  name: "TypeProto",
  fields: {
    tensorType: [1, "one", () => tensorTypeSpec],
    sequenceType: [4, "one", () => elementTypeSpec],
    mapType: [5, "one", () => mapTypeSpec],
    sparseTensorType: [8, "one", () => tensorTypeSpec],
    optionalType: [9, "one", () => elementTypeSpec],
  },
};

export const tensorTypeSpec: MessageSpec<TensorTypeProto> = {
  name: "TypeProto.Tensor",
  fields: { elemType: [1, "int"], shape: [2, "one", () => tensorShapeSpec] },
};

export const elementTypeSpec: MessageSpec<ElementTypeProto> = {
  name: "TypeProto.Sequence",
  fields: { elemType: [1, "one", () => typeSpec] },
};

export const mapTypeSpec: MessageSpec<MapTypeProto> = {
  name: "TypeProto.Map",
  fields: { keyType: [1, "int"] },
};

export const tensorShapeSpec: MessageSpec<TensorShapeProto> = {
  name: "TensorShapeProto",
  fields: { dim: [1, "many", () => dimensionSpec] },
};

export const dimensionSpec: MessageSpec<DimensionProto> = {
  name: "TensorShapeProto.Dimension",
  fields: { dimValue: [1, "int?"], dimParam: [2, "string"] },
};

export const sequenceSpec: MessageSpec<SequenceProto> = {
  name: "SequenceProto",
  fields: { name: [1, "string"], elemType: [2, "int"], tensorValues: [3, "many", () => tensorSpec] },
};
