// Whether someone is in the list, and the order in which it stands still for them. Knows nothing of rows and of what is asked for.
import { activity } from '../filter';
import type { Pipeline } from '../wire';

/** A pointer that was left lying on the list is nobody who reads it, in milliseconds. */
const RESTS = 12_000;
/** A pointer that leaves the list may be on its way to the button above it. */
const LEAVES = 900;

export class Stillness {
  /** The focus is in the list. */
  focused = $state(false);
  /** The top of the list is out of sight: what comes there would push the rest. */
  scrolled = $state(false);
  /** The order that is kept; null while rows may move. */
  held = $state.raw<{ ids: number[]; newest: number } | null>(null);

  #pointer = $state(false);
  #letting: ReturnType<typeof setTimeout> | undefined;

  /** Whether anyone is in the list. */
  get wanted(): boolean {
    return this.#pointer || this.focused || this.scrolled;
  }

  /** From now on the order stays as it is, or moves freely. */
  keep(still: boolean, ideal: Pipeline[]): void {
    this.held = still ? { ids: ideal.map((one) => one.id), newest: ideal[0] ? activity(ideal[0]) : 0 } : null;
  }

  /** Forgets pointer and scrolling; who has the focus is still there. */
  release(): void {
    this.#pointer = false;
    this.scrolled = false;
  }

  /** The rows as they stand: what is kept with today's facts, else as they should be. */
  order(ideal: Pipeline[], all: Pipeline[]): Pipeline[] {
    if (!this.held) return ideal;
    const known = new Map(all.map((one) => [one.id, one]));
    return this.held.ids.flatMap((id) => known.get(id) ?? []);
  }

  /** How many began since the order is kept. */
  newer(ideal: Pipeline[]): number {
    if (!this.held) return 0;
    const { newest } = this.held;
    const at = ideal.findIndex((one) => activity(one) <= newest);
    return at < 0 ? ideal.length : at;
  }

  pointed = (event: PointerEvent): void => {
    // A finger that scrolls does not point.
    if (event.pointerType === 'touch') return;
    this.#pointer = true;
    this.#letGo(RESTS);
  };

  left = (): void => this.#letGo(LEAVES);

  #letGo(after: number): void {
    clearTimeout(this.#letting);
    this.#letting = setTimeout(() => (this.#pointer = false), after);
  }
}
