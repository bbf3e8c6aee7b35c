import type { Answer, ClassifyInput, ClassifyOptions, Model, Source, WorkerOptions } from "./index.js";

export { SanderlingError } from "./index.js";

export interface UpdaterOptions {
  /** The class of `sanderling` or `sanderling/vision`: it tests images and answers. */
  Model: typeof Model;
  /** Tells apart the updaters of an origin: 1 to 64 of a-z, 0-9, - and _; `default`. */
  name?: string;
  /** What `sanderling device enrol` printed, or a function that gets one: called once, when the name belongs to no fleet yet. */
  enrolment?: string | (() => string | Promise<string>);
  /** The kind of device, as the fleet's owner names it. */
  hardware: string;
  /** The bundle that comes with the page: it answers where no slot holds an intact image. An address is fetched once. */
  factory?: Source;
  /** How models are loaded. */
  model?: WorkerOptions;
  /** Bytes of images a day; 2 GiB. */
  dailyBudget?: number;
  /** Least seconds that a new image is on trial; 30. */
  trialSeconds?: number;
  /** Waits until no other tab holds the name, instead of refusing with `Busy`. */
  wait?: boolean;
  /** Gets each line of the log. */
  log?: (line: string) => void;
  /** Makes the worker, for bundlers that want to see it. */
  worker?: () => Worker;
}

export interface UpdaterState {
  /** This tab's id in the fleet. */
  device: string;
  server: string;
  enrolled: boolean;
  phase: "Idle" | "Downloading" | "SelfTest" | "Trial" | "NoModel";
  /** SHA-256 of the image that answers. */
  image: string | null;
  place: "factory" | "slot a" | "slot b" | null;
  model: string | null;
  version: string | null;
  /** The image that it would go back to. */
  standby: string | null;
  factory: string | null;
}

/** Signed updates of a model in a tab. One tab holds a name at a time. */
export class Updater {
  static open(options: UpdaterOptions): Promise<Updater>;
  private constructor();
  /** Does what is due (check in, fetch, verify, test, flip), then up to `patience` milliseconds what comes to be. Gives the milliseconds until there is more. */
  work(patience?: number): Promise<number>;
  /** Checks in now, and does what follows. */
  check(patience?: number): Promise<number>;
  /** Answers from the image that serves: counted for the fleet, and compared during a trial. */
  classify(input: ClassifyInput | Blob, options?: ClassifyOptions): Promise<Answer>;
  /** The bytes of the image that serves: what is run on them is not counted. */
  bundle(): Promise<Uint8Array>;
  state(): Promise<UpdaterState>;
  /** Puts what was counted into the files, and takes this start for a good one: `work` and `close` do it. */
  rest(): Promise<void>;
  /** Rests, and gives the name free. */
  close(): Promise<void>;
}
