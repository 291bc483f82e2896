/** The history of benchmarks: where it is kept, what is read from it, and where levels changed. */
export {
  type LevelChange,
  type SeriesAnalysis,
  LEAST_POINTS,
  analyseSeries,
  bisectCommand,
  newlyFound,
  trendOf,
} from "./analyse.ts";
export { BranchStore, DEFAULT_BRANCH } from "./branch-store.ts";
export { DirectoryStore } from "./directory-store.ts";
export { toBadge, toBmf, toCsv, toGithubActionBenchmark, toJson } from "./exports.ts";
export { DisturbedResults, type RecordOptions, type ResultRecords, recordsOf } from "./from-results.ts";
export { type PruneOptions, type Pruned, pruneShards } from "./prune.ts";
export { type HistoryRecord, RECORD_VERSION, recordSchema } from "./record.ts";
export { type Selection, onlyClass, parseMoment, selectRecords } from "./select.ts";
export { type Series, type SeriesOptions, type SeriesPoint, seriesName, seriesOf } from "./series.ts";
export { type LineProblem, type Shards, addRecords, parseShards, shardPath } from "./shards.ts";
export { writeSqlite } from "./sqlite.ts";
export { type HistoryStore, problemText, readHistory } from "./store.ts";
