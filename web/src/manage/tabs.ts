// What the tabs of one browser tell each other: that somebody came in or has left, and the access token that one of them has. Nothing of it is kept
// anywhere. Knows nothing of how a token is got, nor of what it opens.

export interface Access {
  token: string;
  /** When it ends, in milliseconds on this machine's clock. */
  until: number;
}

type Word = 'opened' | 'ended' | 'wanted' | { access: Access };

interface Listener {
  opened: () => void;
  ended: () => void;
  /** Another tab has got a token. */
  given: (access: Access) => void;
  /** What this tab can give; null where it has none that is worth it. */
  own: () => Access | null;
}

/** Milliseconds for an answer of another tab, which may be busy or asleep. */
const PATIENCE = 300;
/** Held, together with others, by each tab that has a token. */
const HOLDER = 'pipecast.access';

export class Tabs {
  readonly #channel = new BroadcastChannel('pipecast.session');
  readonly #listener: Listener;
  #awaiting: ((access: Access) => void) | null = null;
  #release: (() => void) | null = null;

  constructor(listener: Listener) {
    this.#listener = listener;
    this.#channel.onmessage = (event: MessageEvent<Word>) => this.#hear(event.data);
  }

  tell(word: 'opened' | 'ended'): void {
    this.#channel.postMessage(word);
  }

  /** Tells the others what this tab has got. */
  give(access: Access): void {
    this.#channel.postMessage({ access });
  }

  /** Says whether this tab has something to give, so that nobody waits for an answer where no tab could. */
  holds(something: boolean): void {
    if (something === (this.#release !== null) || !navigator.locks) return;
    this.#release?.();
    this.#release = null;
    if (!something) return;
    const until = new Promise<void>((release) => (this.#release = release));
    void navigator.locks.request(HOLDER, { mode: 'shared' }, () => until);
  }

  /** The token of another tab; null where none has one, or none answers in time. */
  async ask(): Promise<Access | null> {
    const { held } = (await navigator.locks?.query()) ?? {};
    if (!held?.some((lock) => lock.name === HOLDER)) return null;
    return new Promise((answered) => {
      const done = (access: Access | null): void => {
        clearTimeout(timer);
        this.#awaiting = null;
        answered(access);
      };
      const timer = setTimeout(done, PATIENCE, null);
      this.#awaiting = done;
      this.#channel.postMessage('wanted');
    });
  }

  #hear(word: Word): void {
    if (word === 'opened') this.#listener.opened();
    else if (word === 'ended') this.#listener.ended();
    else if (word === 'wanted') {
      const own = this.#listener.own();
      if (own) this.give(own);
    } else {
      this.#awaiting?.(word.access);
      this.#listener.given(word.access);
    }
  }
}
