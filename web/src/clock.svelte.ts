// The one clock of the page: it ticks once a second for all, and it is the server's, so that running times are right on a
// machine whose own clock is not. Knows nothing of formats.

let offset = 0;

class Clock {
  /** This machine's time in milliseconds since the Unix epoch. */
  local = $state(Date.now());
  #offset = $state(0);

  /** The server's time in milliseconds since the Unix epoch. */
  get now(): number {
    return this.local + this.#offset;
  }

  shift(by: number): void {
    this.#offset = by;
  }
}

export const clock = new Clock();

export function setServerTime(instant: string): void {
  const server = Date.parse(instant);
  if (!Number.isFinite(server)) return;
  const measured = server - Date.now();
  // The way here takes time as well: only a difference that a reader would see is worth a change.
  if (Math.abs(measured - offset) < 1_500) return;
  offset = measured;
  clock.shift(measured);
}

let timer: ReturnType<typeof setTimeout> | undefined;

function tick(): void {
  clearTimeout(timer);
  clock.local = Date.now();
  if (!document.hidden) timer = setTimeout(tick, 1_000 - (clock.local % 1_000));
}

/** Starts the ticking; it pauses while nobody looks. */
export function startClock(): void {
  document.addEventListener('visibilitychange', tick);
  tick();
}
