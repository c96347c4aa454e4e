// Which of two states of a topic is the newer one. Pure.
import type { State } from '../wire';

export interface Cursor {
  epoch: string;
  seq: number;
  /** As the server wrote it, to hand back as `since`. */
  id: string;
}

/** The place of a state in its topic's history; null where a foreign writer spoke, who has none. */
export function cursorOf(state: Pick<State<unknown>, 'id' | 'seq'>): Cursor | null {
  if (typeof state.id !== 'string' || typeof state.seq !== 'number') return null;
  const dash = state.id.lastIndexOf('-');
  return { epoch: dash < 0 ? state.id : state.id.slice(0, dash), seq: state.seq, id: state.id };
}

/** Whether `next` may replace `last`. A snapshot also replaces its equal: it ends what a foreign writer laid over it. */
export function replaces(next: Cursor, last: Cursor | undefined, snapshot: boolean): boolean {
  if (!last || next.epoch !== last.epoch) return true;
  return snapshot ? next.seq >= last.seq : next.seq > last.seq;
}
