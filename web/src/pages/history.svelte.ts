// A pipeline's executions, page by page from the API, with what the sockets tell laid over. Knows nothing of how they are shown.
import { untrack } from 'svelte';

import { read, Refused, wasAborted } from '../api';
import type { Execution, Page } from '../wire';

const PAGE = 50;

export class History {
  /** The newest first, by number and attempt. */
  executions = $state.raw<Execution[]>([]);
  next = $state<string | null>(null);
  loading = $state(false);
  /** What went wrong with the last reading. */
  refused = $state.raw<Refused | null>(null);

  readonly #pipeline: number;
  #abort = new AbortController();

  constructor(pipeline: number) {
    this.#pipeline = pipeline;
  }

  /** Reads the newest ones; those that are known already stay. */
  async refresh(): Promise<void> {
    await this.#read(null);
  }

  async more(): Promise<void> {
    if (this.next && !this.loading) await this.#read(this.next);
  }

  /** Takes in what a socket tells of one of them. */
  tell(execution: Execution): void {
    this.#merge([execution]);
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(cursor: string | null): Promise<void> {
    this.loading = true;
    try {
      const query = new URLSearchParams({ limit: String(PAGE) });
      if (cursor) query.set('cursor', cursor);
      const page = await read<Page<Execution>>(`/api/v1/pipelines/${this.#pipeline}/executions?${query}`, this.#abort.signal);
      // A refresh of the first page does not forget how far one has gone on.
      const first = this.executions.length === 0 || cursor !== null || this.executions.length <= page.items.length;
      this.#merge(page.items);
      if (first) this.next = page.next_cursor;
      this.refused = null;
    } catch (error) {
      if (wasAborted(error)) return;
      this.refused = error instanceof Refused ? error : new Refused(0, String(error));
    } finally {
      this.loading = false;
    }
  }

  #merge(told: Execution[]): void {
    // Whoever tells does not depend on what was known.
    const all = new Map(untrack(() => this.executions).map((one) => [one.id, one]));
    for (const one of told) {
      const known = all.get(one.id);
      if (!known || one.seq >= known.seq) all.set(one.id, one);
    }
    this.executions = [...all.values()].sort((a, b) => (b.number ?? 0) - (a.number ?? 0) || b.attempt - a.attempt || b.id - a.id);
  }
}
