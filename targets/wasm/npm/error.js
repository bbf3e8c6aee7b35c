/**
 * An error that says what is wrong, where, and what to do. `code` is one of Sanderling's variants, as in InputName or Bundle, or one
 * of the binding's own: Option, Closed, Network, Unsupported, Worker, Internal; of an updater: Busy, NoModel, NotEnrolled, State, Storage.
 */
export class SanderlingError extends Error {
  constructor(code, message, isInput = false) {
    super(message);
    this.name = "SanderlingError";
    this.code = code;
    /** Whether another input may be answered. */
    this.isInput = isInput;
  }
}
