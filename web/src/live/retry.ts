// Whether and when to come back after a socket closed. Pure; knows nothing of sockets and clocks.

/** The longest wait by back-off, in milliseconds. */
export const LONGEST_WAIT = 20_000;
/** The longest wait that a server may ask for. */
const LONGEST_ASKED = 300_000;
const FIRST_WAIT = 500;
const OVERLOADED = 1013;
const OVERLOADED_WAIT = 5_000;
/** The server ends sockets of a certain age, so that they spread over its nodes. */
export const ROTATION = 1001;
/** It takes an account, or the session has ended. */
export const UNAUTHORIZED = 4501;
/** The account may not see it. */
export const FORBIDDEN = 4503;

export type Next = { stop: true } | { stop: false; wait: number };

/**
 * What a close code and its reason ask for. `tries` counts the failed attempts in a row; `random` is in 0..1.
 * 1000, 1009 and 4500–4999 mean that coming back is pointless; `retry_ms=` in the reason is an order; everything else is full jitter.
 */
export function afterClose(code: number, reason: string, tries: number, random: number): Next {
  if (code === 1000 || code === 1009 || (code >= 4500 && code <= 4999)) return { stop: true };
  const floor = code === OVERLOADED ? OVERLOADED_WAIT : 0;
  const asked = /retry_ms=(\d+)/.exec(reason)?.[1];
  if (asked !== undefined) return { stop: false, wait: Math.max(floor, Math.min(Number(asked), LONGEST_ASKED)) };
  if (code === ROTATION) return { stop: false, wait: random * 1_000 };
  return { stop: false, wait: Math.max(floor, random * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** tries)) };
}
