// One socket to one topic that comes back by itself, and what a reader should know of it. Knows nothing of what the frames mean.
import { untrack } from 'svelte';

import { read, Refused } from '../api';
import { clock, setServerTime } from '../clock.svelte';
import type { Frame } from '../wire';
import { afterClose, FORBIDDEN, ROTATION, UNAUTHORIZED } from './retry';

export type Phase =
  /** Nothing has been heard yet. */
  | { is: 'connecting' }
  | { is: 'live' }
  /** Lost; the next try is at `at` (on this machine's clock), or is under way where that has passed. */
  | { is: 'reconnecting'; at: number }
  /** The socket is open or being renewed, but nothing has been heard for longer than the server promises. */
  | { is: 'stale'; since: number }
  /** The browser says that there is no network. */
  | { is: 'offline' }
  /** The server said that coming back is pointless. */
  | { is: 'stopped'; code: number; reason: string };

export interface Watcher {
  /** The address of the socket, without `since`. */
  path: string;
  /** The cursor to resume after, or null for a snapshot. */
  since?: () => string | null;
  /** A new socket has been opened. */
  opened?: () => void;
  frame: (frame: Frame) => void;
}

const SUBPROTOCOL = 'pipecast.v1';
/** Until `hello` says otherwise, in milliseconds. */
const PING = 25_000;
/** How much later than promised a ping may come. */
const GRACE = 10_000;
/** How long a handshake may take. */
const HANDSHAKE = 10_000;

export class Connection {
  phase = $state.raw<Phase>({ is: 'connecting' });
  /** When the last frame came, on this machine's clock; 0 for never. */
  heard = $state(0);

  #watcher: Watcher;
  #socket: WebSocket | null = null;
  #tries = 0;
  #opened = false;
  #closedForGood = false;
  #silence = PING + GRACE;
  #asked: number | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;

  constructor(watcher: Watcher) {
    this.#watcher = watcher;
    addEventListener('online', this.#online);
    addEventListener('offline', this.#offline);
    document.addEventListener('visibilitychange', this.#visible);
    this.#open();
  }

  /** Ends it for good. */
  close(): void {
    removeEventListener('online', this.#online);
    removeEventListener('offline', this.#offline);
    document.removeEventListener('visibilitychange', this.#visible);
    this.#closedForGood = true;
    this.#drop(1000);
  }

  /** Tries at once, whatever the back-off says. */
  retry = (): void => {
    this.#tries = 0;
    this.#open();
  };

  #online = (): void => this.retry();

  #offline = (): void => {
    this.#drop();
    this.phase = { is: 'offline' };
  };

  /** A sleeping tab's timers are late; once it is looked at again, nobody wants to wait. */
  #visible = (): void => {
    if (document.hidden || this.phase.is === 'stopped' || this.phase.is === 'offline') return;
    if (this.phase.is === 'reconnecting') this.retry();
    else if (this.phase.is === 'live' && Date.now() - this.heard > this.#silence) this.#silent();
  };

  #open(): void {
    this.#drop();
    if (navigator.onLine === false) {
      this.phase = { is: 'offline' };
      return;
    }
    if (this.phase.is === 'offline' || this.phase.is === 'stopped') this.phase = { is: 'reconnecting', at: 0 };
    const url = new URL(this.#watcher.path, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const since = this.#watcher.since?.();
    if (since) url.searchParams.set('since', since);

    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    this.#asked = null;
    this.#opened = false;
    this.#watchdog = setTimeout(() => this.#closed(1006, ''), HANDSHAKE);
    socket.onopen = () => {
      this.#opened = true;
      this.#watcher.opened?.();
      this.#expect();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => this.#frame(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
  }

  #frame(data: unknown): void {
    this.heard = Date.now();
    this.#tries = 0;
    this.#expect();
    if (this.phase.is !== 'live') this.phase = { is: 'live' };
    const frame = parse(data);
    if (!frame) return;
    if ((frame.type === 'hello' || frame.type === 'ping') && frame.server_time) setServerTime(frame.server_time);
    if (frame.type === 'hello' && frame.ping_ms > 0) this.#silence = frame.ping_ms + GRACE;
    if (frame.type === 'ping') this.#socket?.send('{"cmd":"pong"}');
    if (frame.type === 'reconnect') this.#asked = frame.after_ms;
    this.#watcher.frame(frame);
  }

  /** From now on a frame must come within the promised time. */
  #expect(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#silent(), this.#silence);
  }

  /** Silent for too long: the link is dead or the server hangs. What is shown may be old, so say so and renew the socket. */
  #silent(): void {
    this.phase = { is: 'stale', since: this.heard || Date.now() };
    this.#open();
  }

  #closed(code: number, reason: string): void {
    const asked = this.#asked;
    const refused = code === UNAUTHORIZED || code === FORBIDDEN || !this.#opened;
    this.#drop();
    if (refused) void this.#askWhether(code);
    const ordered = asked !== null && !reason.includes('retry_ms=') ? `${reason};retry_ms=${asked}` : reason;
    const next = afterClose(code, ordered, this.#tries, Math.random());
    if (next.stop) {
      this.phase = { is: 'stopped', code, reason };
      return;
    }
    this.#tries += 1;
    // A server that accepts nothing more is still silent, not merely gone; and a planned change of sockets is no loss.
    if (this.phase.is !== 'stale' && code !== ROTATION) this.phase = { is: 'reconnecting', at: Date.now() + next.wait };
    this.#retry = setTimeout(() => this.#open(), next.wait);
  }

  /** A browser does not tell why a socket was not opened, nor does a close tell whether an account would help: a request tells both. */
  async #askWhether(closed: number): Promise<void> {
    let code = 0;
    try {
      await read('/api/v1/pipelines?limit=1');
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 401 && error.status !== 403)) return;
      code = error.problem?.code === 'forbidden' ? FORBIDDEN : UNAUTHORIZED;
    }
    if (this.#closedForGood || this.#opened) return;
    if (code) {
      this.#drop();
      this.phase = { is: 'stopped', code, reason: '' };
      // Whose session has ended may still read as nobody.
    } else if (closed === UNAUTHORIZED) this.retry();
  }

  #drop(code?: number): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }
}

function parse(data: unknown): Frame | null {
  if (typeof data !== 'string') return null;
  try {
    const value: unknown = JSON.parse(data);
    return value && typeof value === 'object' && 'type' in value ? (value as Frame) : null;
  } catch {
    return null;
  }
}

/** The connection of the page that is shown, for the mark in the header. */
class Shown {
  connection = $state.raw<Connection | null>(null);
}
export const shown = new Shown();

/** Whether the page that is shown may not be seen without an account. */
export function wantsAccount(): boolean {
  const phase = shown.connection?.phase;
  return phase?.is === 'stopped' && phase.code === UNAUTHORIZED;
}

/** Somebody has signed in or out: what was refused before is asked for anew. */
export function forgetRefusal(): void {
  if (wantsAccount()) shown.connection = null;
}

/** Watches a topic and shows in the header how that goes. The effect that calls it does not run again when the connection changes. */
export function watch(watcher: Watcher): Connection {
  const connection = untrack(() => new Connection(watcher));
  shown.connection = connection;
  return connection;
}

/** Whole seconds until an instant on this machine's clock, never negative; ticks. */
export function secondsUntil(at: number): number {
  return Math.max(0, Math.ceil((at - clock.local) / 1_000));
}
