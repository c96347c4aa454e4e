// One thing of the admin API: read, and read again. Knows nothing of what it is.
import { Refused, wasAborted } from '../api';
import { find } from './ask';

export class Thing<T> {
  /** The thing as it was read last. */
  it = $state.raw<T | null>(null);
  /** What a change of it has to name. */
  version = $state<string | null>(null);
  /** Why it could not be read. */
  refused = $state.raw<Refused | null>(null);

  readonly #abort = new AbortController();

  constructor(readonly path: string) {}

  /** Ends with the page: what is asked for on behalf of it may end with it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Reads it; what was read before stays until the answer has come. Returns it, or null where it could not be read. */
  async look(): Promise<T | null> {
    try {
      this.take(await find<T>(this.path, this.signal));
      return this.it;
    } catch (error) {
      if (wasAborted(error)) return null;
      if (!(error instanceof Refused)) throw error;
      this.refused = error;
      return null;
    }
  }

  /** It is this now, as a change has answered. */
  take({ it, version }: { it: T; version: string | null }): void {
    this.it = it;
    this.version = version;
    this.refused = null;
  }

  close(): void {
    this.#abort.abort();
  }
}
