// Every pipeline as `/ws/monitor` tells it: snapshot pages, then changes. Pure; knows nothing of sockets and of what is shown.
import type { Frame, MonitorPage, Pipeline, State } from '../wire';
import { cursorOf, replaces, type Cursor } from './cursor';

export class Board {
  readonly pipelines = new Map<number, Pipeline>();
  /** Whether a whole snapshot has arrived since the page was opened. */
  complete = false;

  #cursors = new Map<number, Cursor>();
  /** The pipelines named since a snapshot began; null between snapshots. */
  #named: Set<number> | null = null;

  /** A new socket: a snapshot that was cut off half-way will not go on. */
  reopen(): void {
    this.#named = null;
  }

  /** Takes a frame in; says whether anything may look different now. */
  take(frame: Frame): boolean {
    if (frame.type === 'snapshot' && frame.topic === 'monitor') {
      this.#named ??= new Set();
      for (const state of (frame.data as MonitorPage | null)?.pipelines ?? []) this.#accept(state, true);
      if (frame.complete !== false) this.#close();
      return true;
    }
    if (frame.type === 'status_change') return this.#accept(frame as State<Pipeline>, false);
    return false;
  }

  #accept(state: State<Pipeline>, snapshot: boolean): boolean {
    const id = state.data?.id ?? Number(/^pipeline:(\d+)$/.exec(state.topic)?.[1]);
    if (!Number.isFinite(id)) return false;
    this.#named?.add(id);
    const known = this.pipelines.get(id);
    const cursor = cursorOf(state);
    if (!cursor) {
      // A foreign writer's word lies over what we know and leaves the cursor alone.
      if (!known) return false;
      this.pipelines.set(id, { ...known, status: state.status });
      return true;
    }
    if (state.data === null && known && replaces(cursor, this.#cursors.get(id), snapshot)) {
      // Merged into another pipeline: its own row is gone.
      this.#cursors.set(id, cursor);
      return this.pipelines.delete(id);
    }
    if (!state.data?.project || !replaces(cursor, this.#cursors.get(id), snapshot)) return false;
    this.#cursors.set(id, cursor);
    this.pipelines.set(id, state.data);
    return true;
  }

  #close(): void {
    for (const id of [...this.pipelines.keys()]) {
      if (this.#named?.has(id)) continue;
      this.pipelines.delete(id);
      this.#cursors.delete(id);
    }
    this.#named = null;
    this.complete = true;
  }
}
