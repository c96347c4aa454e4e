// A list of the admin API, page by page. Knows nothing of what is in it.
import { untrack } from 'svelte';

import { Refused, wasAborted } from '../api';
import type { Page } from '../wire';
import { session } from './session.svelte';

/** Milliseconds for which nobody types before the list is asked for. */
const PAUSE = 250;

type Query = Record<string, string | null | undefined>;

export class Listing<T> {
  items = $state.raw<T[]>([]);
  next = $state<string | null>(null);
  /** Whether a page is on its way. */
  loading = $state(true);
  /** Whether the first page has come. */
  complete = $state(false);
  refused = $state.raw<Refused | null>(null);

  #path = '';
  #query = new URLSearchParams();
  #abort = new AbortController();

  /** Reads another list, or the same with another question; what is shown stays until the answer has come. */
  async read(path: string, query: Query = {}): Promise<void> {
    this.#path = path;
    this.#query = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) if (value) this.#query.set(key, value);
    await this.again();
  }

  /** Reads it after a pause, the first time at once; for an effect, which runs what it returns before the next one and at its end. */
  soon(path: string, query: Query): () => void {
    const timer = setTimeout(() => void this.read(path, query), untrack(() => this.complete) ? PAUSE : 0);
    return () => {
      clearTimeout(timer);
      this.close();
    };
  }

  /** Reads the first page again. */
  async again(): Promise<void> {
    await this.#load(null);
  }

  async more(): Promise<void> {
    if (this.next && !this.loading) await this.#load(this.next);
  }

  close(): void {
    this.#abort.abort();
  }

  async #load(cursor: string | null): Promise<void> {
    this.#abort.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      const query = new URLSearchParams(this.#query);
      if (cursor) query.set('cursor', cursor);
      const text = query.toString();
      const response = await session.ask(this.#path + (text ? `?${text}` : ''), { signal: abort.signal });
      const page = (await response.json()) as Page<T>;
      this.items = cursor ? [...this.items, ...page.items] : page.items;
      this.next = page.next_cursor ?? null;
      this.refused = null;
      this.complete = true;
    } catch (error) {
      if (wasAborted(error)) return;
      this.refused = error instanceof Refused ? error : new Refused(0, String(error));
    } finally {
      if (this.#abort === abort) this.loading = false;
    }
  }
}
