// The one picture of every pipeline that the list shows. It outlives the list, so that coming back to it shows something at once.
// Knows nothing of filters and order.
import type { Pipeline } from '../wire';
import { Board } from './board';
import { watch, type Connection } from './connection.svelte';

class Monitor {
  /** Every pipeline, in no order; a new array for each change, and a new object for each changed pipeline. */
  pipelines = $state.raw<Pipeline[]>([]);
  /** Whether a whole picture has arrived. */
  complete = $state(false);

  #board = new Board();
  #due = false;
  #drawn = 0;

  watch(): Connection {
    return watch({
      path: '/ws/monitor',
      opened: () => this.#board.reopen(),
      frame: (frame) => {
        if (this.#board.take(frame)) this.#show();
      },
    });
  }

  /** However many frames arrive, they are shown together, a few times a second; the more pipelines there are, the fewer. */
  #show(): void {
    if (this.#due) return;
    this.#due = true;
    const pause = Math.min(600, 50 + this.#board.pipelines.size / 20);
    const draw = (): void => {
      this.#due = false;
      this.#drawn = performance.now();
      this.pipelines = [...this.#board.pipelines.values()];
      this.complete = this.#board.complete;
    };
    // The first of a burst is shown at once: most deliveries come alone.
    setTimeout(draw, Math.max(0, this.#drawn + pause - performance.now()));
  }
}

export const monitor = new Monitor();
