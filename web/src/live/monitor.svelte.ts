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

  watch(): Connection {
    return watch({
      path: '/ws/monitor',
      opened: () => this.#board.reopen(),
      frame: (frame) => {
        if (this.#board.take(frame)) this.#show();
      },
    });
  }

  /** However many frames arrive, they are drawn once per picture of the screen; a hidden tab draws none, so it waits for a timer. */
  #show(): void {
    if (this.#due) return;
    this.#due = true;
    const draw = (): void => {
      this.#due = false;
      this.pipelines = [...this.#board.pipelines.values()];
      this.complete = this.#board.complete;
    };
    if (document.hidden) setTimeout(draw, 250);
    else requestAnimationFrame(draw);
  }
}

export const monitor = new Monitor();
