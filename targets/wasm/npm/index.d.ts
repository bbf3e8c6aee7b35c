/** What a model takes: a typed array; with a shape where the model leaves more than one dimension open. */
export type TypedArray = Float32Array | Float64Array | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array
  | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;
export type TensorLike = TypedArray | { data: TypedArray; shape?: ArrayLike<number>; type?: string };
export type Inputs = Record<string, TensorLike>;

export interface Tensor { data: TypedArray; shape: number[]; type: string }
export type Outputs = Record<string, Tensor>;

export interface Port {
  name: string;
  /** ONNX's name, as in `float32`; null where the model does not say. */
  type: string | null;
  /** A number, the name of a dimension that a run decides, or null. */
  shape: (number | string | null)[];
  /** Smallest and largest legal element, where the bundle declares them. */
  range: [number, number] | null;
}

export interface Layer {
  node: string;
  operator: string;
  value: string;
  type: string;
  /** SHA-256 of the layer, the same on every device; null for floats and what depends on them. */
  digest: string | null;
}

export interface Answer {
  label: string;
  confidence: number;
  top: { label: string; index: number; score: number }[];
  /** Whether a rule answered, without the model. */
  rule: boolean;
  belowThreshold: boolean;
  flagged: boolean;
}

/** 8-bit channels row by row: RGBA, as an ImageData has them, or RGB. */
export interface Image { width: number; height: number; data: Uint8Array | Uint8ClampedArray }
export type ClassifyInput = ArrayBuffer | TypedArray | Image | Inputs;
export interface ClassifyOptions { /** How many labels the answer lists. */ top?: number }
export type Source = string | URL | ArrayBuffer | ArrayBufferView | Blob | Response;
export type Instructions = "scalar" | "simd128" | "relaxed";
export interface LoadOptions {
  /** Bytes of weights and intermediates; 1 GiB. */
  memoryLimit?: number;
  /** The module to take, where the package has several (`sanderling/vision`); the best that the engine has, of `simd128` and `scalar`. */
  instructions?: Instructions;
}
/** Who computes: the CPU by WebAssembly, or the GPU by WebGPU. */
export type Backend = "cpu" | "webgpu";
/** `auto`: WebGPU where the browser has it on a real GPU; `webgpu`: on an emulated one too, and an error (`Unsupported`) where there is none. */
export interface BackendOptions { backend?: Backend | "auto" }
/** A backend that answers no more, or never did, and why: the CPU answers instead. */
export interface Fallback { backend: Backend; reason: string }
export interface WorkerOptions extends LoadOptions, BackendOptions {
  /** Milliseconds for an answer, after which the worker is ended; 120 000. */
  timeout?: number;
  /** Makes the worker, for bundlers that want to see it; in a page only. */
  worker?: () => Worker;
}

export type ErrorCode = "Bundle" | "Core" | "NeedsRuntime" | "MissingOperators" | "NoPlan" | "TooLarge" | "InputName" | "InputType"
  | "InputValue" | "Description" | "Pipeline" | "Option" | "Closed" | "Network" | "Unsupported" | "Worker" | "Internal"
  | "Busy" | "NoModel" | "NotEnrolled" | "State" | "Storage";
export class SanderlingError extends Error {
  readonly code: ErrorCode;
  /** Whether another input may be answered. */
  readonly isInput: boolean;
}

interface About {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Names of the classes, in the order of the scores; empty where the bundle has none. */
  readonly labels: readonly string[];
  /** What its module computes with. */
  readonly instructions: Instructions;
}

declare global {
  // As TypeScript's esnext.disposable has it, for projects that do not take that in.
  interface SymbolConstructor { readonly dispose: unique symbol }
}

/** A model in this thread: calls answer at once, and the page waits for them. */
export class Model implements About {
  static load(source: Source, options?: LoadOptions & { backend?: "cpu" }): Promise<Model>;
  /** On WebGPU where there is one: the CPU answers until its pipelines are compiled, and when it fails. */
  static load(source: Source, options: LoadOptions & { backend: "auto" | "webgpu" }): Promise<AsyncModel>;
  /** The same in a worker of its own. */
  static inWorker(source: Source, options?: WorkerOptions): Promise<WorkerModel>;
  static readonly instructions: Instructions;
  /** What the module can run, as an updater tells its fleet. */
  static runtime(): Promise<{ version: [number, number, number]; numerics: number; bundleFormat: number; operators: string[] }>;
  private constructor();
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly labels: readonly string[];
  readonly instructions: Instructions;
  readonly backend: "cpu";
  readonly fallbacks: readonly Fallback[];
  /** SHA-256 of the bundle. */
  digest(): string;
  /** On tensors by name, or on what the bundle makes of a file or an image. */
  run(input: ClassifyInput): Outputs;
  layers(input: ClassifyInput): Layer[];
  classify(input: ClassifyInput, options?: ClassifyOptions): Answer;
  /** Runs the bundle's golden vectors. */
  selfTest(): { name: string; failure: string | null }[];
  /** Gives its memory back; `using` does it by itself. */
  free(): void;
  [Symbol.dispose](): void;
}

/** A model whose answers are promises. Inputs are read when their turn comes: leave them be until the answer. */
export interface AsyncModel extends About {
  /** Who answers now. */
  readonly backend: Backend;
  readonly fallbacks: readonly Fallback[];
  /** Resolves with the backend that stays: once WebGPU is ready or given up. Questions need not wait for it. */
  readonly ready: Promise<Backend>;
  digest(): Promise<string>;
  run(input: ClassifyInput): Promise<Outputs>;
  layers(input: ClassifyInput): Promise<Layer[]>;
  classify(input: ClassifyInput, options?: ClassifyOptions): Promise<Answer>;
  selfTest(): Promise<{ name: string; failure: string | null }[]>;
  /** Gives its memory back, after open questions are answered. */
  free(): void;
  [Symbol.dispose](): void;
}

/** A model in a worker: inputs are copied there at once; freeing it ends the worker and refuses open questions. */
export interface WorkerModel extends AsyncModel {
  run(input: ClassifyInput | Blob): Promise<Outputs>;
  layers(input: ClassifyInput | Blob): Promise<Layer[]>;
  classify(input: ClassifyInput | Blob, options?: ClassifyOptions): Promise<Answer>;
}

/** Pixels of a picture, ready for `classify`. */
export function pixels(picture: Blob | ImageBitmap | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement): Promise<ImageData>;
