// One pipeline or execution as its socket tells it. Knows nothing of how it is shown.
import type { State } from '../wire';
import { watch, type Connection } from './connection.svelte';
import { cursorOf, replaces, type Cursor } from './cursor';

export class Topic<T extends { status: string }> {
  /** Its newest state; null while nothing is known of it. */
  data = $state.raw<T | null>(null);
  /** Whether the first answer has come, be it that nothing is known. */
  answered = $state(false);

  readonly path: string;
  #cursor: Cursor | undefined;

  constructor(path: string) {
    this.path = path;
  }

  watch(): Connection {
    return watch({
      path: this.path,
      // With nothing to show, only a snapshot helps.
      since: () => (this.data ? (this.#cursor?.id ?? null) : null),
      frame: (frame) => {
        if (frame.type === 'snapshot' || frame.type === 'status_change') this.#take(frame as State<T>, frame.type === 'snapshot');
      },
    });
  }

  #take(state: State<T>, snapshot: boolean): void {
    this.answered = true;
    const cursor = cursorOf(state);
    if (cursor && state.data) {
      if (!replaces(cursor, this.#cursor, snapshot)) return;
      this.#cursor = cursor;
      this.data = state.data;
    } else if (this.data && state.status !== 'unknown') {
      // A foreign writer's word lies over what we know and leaves the cursor alone.
      this.data = { ...this.data, status: state.status };
    }
  }
}
