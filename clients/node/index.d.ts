/** A generation's number, or another way to name it: "@-", a pin, six digits of a tree id. */
export type Ref = number | string;

/** Settings of all calls. */
export interface GenstoreOptions {
  /** The store. Without it, genstore searches from the directory upwards, as on the command line. */
  store?: string;
  /** The working directory of the program. Relative paths begin there. */
  directory?: string;
  /** The program. Without it: GENSTORE_BINARY, the package of this platform, PATH. */
  binary?: string;
  /** The longest time to wait for locks, for example "10s". */
  lockTimeout?: string;
  /** Variables, in addition to those of this process. */
  env?: Record<string, string>;
  /** Receives the lines of builds, audits and hooks. Without it, they go to stderr. */
  onOutput?: (line: string) => void;
}

export interface CallOptions {
  /** Interrupts the call. It then fails with the code "interrupted", unless it was done already. */
  signal?: AbortSignal;
  /** Further arguments of the verb. */
  args?: readonly string[];
}

export interface PublishOptions extends CallOptions {
  /** A note for people. */
  note?: string;
  /** Facts for programs. */
  facts?: Record<string, string>;
  /** Publish only if this generation is current ("none": if nothing was published before). */
  expect?: Ref | "none";
  /** Keep the new generation without making it current. */
  noActivate?: boolean;
  /** Create a generation even if nothing changed. */
  always?: boolean;
  /** Publish an empty tree even if it replaces one that is not empty. */
  allowEmpty?: boolean;
  /** Read every file, even if its metadata is unchanged. */
  rehash?: boolean;
  /** The handling of files that lose access rights or attributes. */
  lossy?: "warn" | "refuse" | "allow";
  /** "full" survives a power loss. */
  durability?: "full" | "none";
}

export interface SourceOptions extends PublishOptions {
  /** Return what would be published, without writing anything. */
  dryRun?: boolean;
  /** Move the files into the store instead of copying them. */
  consume?: boolean;
}

export interface BeginOptions extends CallOptions {
  /** End the stage after this time, for example "30m". */
  ttl?: string;
  /** End the stage when this process ends. Without it and `ttl`, the stage ends with this process. */
  ownerPid?: number;
}

export interface WaitOptions extends CallOptions {
  /** Return as soon as another generation than this is current. Without it: the current one. */
  after?: Ref;
  /** Give up after this time, for example "10s", with the code "timeout". */
  timeout?: string;
}

export interface RollbackOptions extends CallOptions {
  /** The number of good generations to go back. */
  steps?: number;
  /** Do not mark the current generation as bad. */
  keepGood?: boolean;
}

export interface WatchOptions extends CallOptions {
  /** The build command and its arguments. Without it: the command of the project's file. */
  build?: readonly string[];
  /** Commands that run on the current generation. */
  run?: readonly string[];
  /** Files and directories to watch, instead of those in the project's file. */
  paths?: readonly string[];
  /** Patterns of files to ignore. */
  ignore?: readonly string[];
  debounce?: string;
  /** Publish this directory, which the build writes to and keeps. */
  output?: string;
  timeout?: string;
  allowEmpty?: boolean;
}

/** An entry of a plan. It has one of `text`, `bytes`, `source`, `symlink` and `dir`. */
export interface Entry {
  path: string;
  text?: string;
  /** Bytes, or another iterable of numbers. */
  bytes?: Uint8Array | Iterable<number>;
  /** A file to read. */
  source?: string;
  /** The target of a symlink. */
  symlink?: string;
  dir?: true;
  /** Only the executable bit is kept. */
  mode?: number | string;
}

export interface Warning {
  message: string;
  not_durable: boolean;
}

export interface Finding {
  rule: string;
  severity: string;
  path?: string;
  message: string;
}

/** Every document may have more fields than are listed here. */
export interface Document {
  schema: string;
  [field: string]: unknown;
}

export interface Place extends Document {
  generation: number;
  tree: string;
  /** The directory. A path that is not UTF-8 is in `path_b64` instead. */
  path: string;
}

export interface Publication extends Document {
  /** The generation, or null in a dry run that would create one. */
  generation: number;
  tree: string;
  path: string;
  previous: number | null;
  changed: boolean;
  /** Whether the generation is the current one. */
  current: boolean;
  durable: boolean;
  dry_run: boolean;
  files: number;
  bytes: number;
  added: number;
  modified: number;
  removed: number;
  renamed: number;
  findings?: Finding[];
  /** Failures after the commit. */
  warnings: Warning[];
}

export interface Activation extends Place {
  previous: number | null;
  changed: boolean;
  current: boolean;
  durable: boolean;
  marked_bad?: number;
  warnings: Warning[];
}

/** An event of `watch`. The book lists the fields of each. */
export interface WatchEvent {
  event: string;
  time: string;
  [field: string]: any;
}

/** A failed call. `code` never changes its meaning; `message` and `hint` are for people. */
export class GenstoreError extends Error {
  readonly code: string;
  readonly exit: number;
  readonly hint: string;
  /** The whole document `genstore.error/1`, with `findings`, `problems`, `lost` and others. */
  readonly document: Record<string, any>;
}

/** A stage: a directory to write to, until it is committed or aborted. */
export class Stage {
  private constructor();
  readonly schema: string;
  readonly id: string;
  readonly path: string;
  commit(options?: PublishOptions): Promise<Publication>;
  abort(options?: CallOptions): Promise<Document>;
}

/** A store, and the way to run the program on it. */
export class Genstore {
  constructor(options?: GenstoreOptions);
  /** Publishes a directory as a new generation. */
  publish(directory: string, options?: SourceOptions): Promise<Publication>;
  /** Publishes the entries of a plan. If `entries` throws, nothing is published. */
  publishPlan(entries: Iterable<Entry> | AsyncIterable<Entry>, options?: SourceOptions): Promise<Publication>;
  begin(options?: BeginOptions): Promise<Stage>;
  /** Returns the current generation. */
  current(options?: CallOptions): Promise<Place>;
  /** Waits until another generation is current. */
  wait(options?: WaitOptions): Promise<Place>;
  /** Goes back to an older good generation. */
  rollback(options?: RollbackOptions): Promise<Activation>;
  /** Builds and publishes when sources change. Leaving the loop ends the watch. */
  watch(options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined>;
  /** Runs any verb, and returns its document, which must have this schema. */
  json(schema: string, args: readonly string[], options?: Pick<CallOptions, "signal">): Promise<Document>;
}

/** Returns the path of the program, or its name if PATH has to find it. */
export function findBinary(): string;
