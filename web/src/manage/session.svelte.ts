// Who is signed in. The access token is in memory alone; a cookie that no script can read gets the next one. Knows nothing of single pages.
import { refusal, Refused } from '../api';
import { forgetRefusal } from '../live/connection.svelte';
import { confirmation } from './confirmation.svelte';
import { Tabs, type Access } from './tabs';
import type { Granted, Me, Permission } from './wire';

export const API = '/admin/v1';

export type Standing =
  /** Not asked yet. */
  | { is: 'unknown' }
  /** Nobody; `ended` where there was somebody a moment ago. */
  | { is: 'nobody'; ended: boolean }
  | { is: 'somebody'; me: Me }
  /** It cannot be told. */
  | { is: 'lost'; refused: Refused };

interface Asking {
  method?: string;
  body?: unknown;
  /** A body of lines, each a JSON value. */
  lines?: string;
  /** The `ETag` of what is to be changed. */
  version?: string | null;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Milliseconds before its end at which an access token is not used any more. */
const MARGIN = 15_000;

/** Milliseconds until one asks again who asks too often, where the service does not say; doubled each time, up to the longest. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 60_000;

/** What somebody may with this role everywhere, besides an admin, who may everything. */
const EVERYWHERE: Record<string, Permission[]> = {
  maintainer: [
    'pipelines:read',
    'pipelines:write',
    'deliveries:read',
    'deliveries:replay',
    'members:manage',
    'tokens:manage',
    'system:read',
  ],
  viewer: ['pipelines:read', 'tokens:manage', 'system:read'],
  wallboard: ['pipelines:read'],
  runner: ['ingest:write'],
};

class Session {
  standing = $state.raw<Standing>({ is: 'unknown' });

  /** When it goes on, on this machine's clock, where the service asked it to wait; 0 where it does not wait. */
  waits = $state(0);

  #access: string | null = null;
  #until = 0;
  #carrying: Promise<void> | null = null;
  readonly #tabs = new Tabs({
    opened: () => this.standing.is !== 'somebody' && void this.resume(),
    ended: () => this.#leave(true),
    given: (access) => this.me && this.#adopt(access),
    own: () => (this.me && this.#access && this.#isGood(this.#until) ? { token: this.#access, until: this.#until } : null),
  });

  get me(): Me | null {
    return this.standing.is === 'somebody' ? this.standing.me : null;
  }

  /** Whether the caller may do this somewhere. */
  may(permission: Permission): boolean {
    return this.me?.permissions.includes(permission) ?? false;
  }

  /** Whether the caller may do this everywhere. */
  mayEverywhere(permission: Permission): boolean {
    const role = this.me?.role;
    return role === 'admin' || (role ? (EVERYWHERE[role]?.includes(permission) ?? false) : false);
  }

  /** Whether the caller may do this in a project. */
  mayIn(permission: Permission, project: number): boolean {
    return (
      this.mayEverywhere(permission) ||
      (this.me?.projects.some((one) => one.project_id === project && one.permissions.includes(permission)) ?? false)
    );
  }

  /** Goes on with the session of the cookie, if there is one. */
  async resume(): Promise<void> {
    try {
      await this.#carryOn();
      await this.look();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) this.#leave(false);
      else this.standing = { is: 'lost', refused: error };
    }
  }

  async logIn(name: string, password: string, code: string | null): Promise<void> {
    const response = await fromPage('/sessions', { name, password, ...(code ? { code } : {}) });
    this.#take((await response.json()) as Granted);
    await this.look();
    this.#tabs.tell('opened');
  }

  async logOut(): Promise<void> {
    try {
      await this.ask('/sessions/current', { method: 'DELETE' });
    } catch (error) {
      // A session that has ended is left all the same.
      if (!(error instanceof Refused) || error.status !== 401) throw error;
    }
    this.#leave(false);
    this.#tabs.tell('ended');
  }

  /** Proves once more who one is; throws `Refused` where password or code are wrong. */
  async confirm(password: string, code: string | null): Promise<void> {
    const response = await this.ask('/me/confirmation', { method: 'POST', body: { password, ...(code ? { code } : {}) } });
    this.#take((await response.json()) as Granted);
    // The other tabs go on with it, and are not asked again.
    this.#tabs.give({ token: this.#access!, until: this.#until });
  }

  /** Asks who one is, and what one may. */
  async look(): Promise<void> {
    const response = await this.ask('/me');
    this.standing = { is: 'somebody', me: (await response.json()) as Me };
  }

  /**
   * Asks the admin API; throws `Refused` for every answer but a good one. Renews the access token where it has to be, and where the service wants to
   * be sure who it is, asks them and then the service again.
   */
  async ask(path: string, asking: Asking = {}): Promise<Response> {
    if (!this.#access || !this.#isGood(this.#until)) await this.#carryOn();
    const tried = new Set<string>();
    for (;;) {
      const access = this.#access;
      const response = await this.#send(path, asking);
      if (response.ok) return response;
      const refused = await refusal(response);
      const code = refused.problem?.code ?? '';
      if (!['token_refused', 'confirmation_required'].includes(code) || tried.has(code)) throw refused;
      tried.add(code);
      // Somebody else's request may have got another one meanwhile.
      if (this.#access !== access) continue;
      await (code === 'token_refused' ? this.#carryOn(true) : confirmation.ask(refused));
    }
  }

  #send(path: string, asking: Asking): Promise<Response> {
    const method = asking.method ?? 'GET';
    const headers: Record<string, string> = {
      Accept: 'application/json',
      'X-Pipecast': '1',
      Authorization: `Bearer ${this.#access}`,
      ...asking.headers,
    };
    if (asking.body !== undefined) headers['Content-Type'] = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    if (asking.lines !== undefined) headers['Content-Type'] = 'application/x-ndjson';
    if (asking.version) headers['If-Match'] = asking.version;
    const body = asking.lines ?? (asking.body === undefined ? null : JSON.stringify(asking.body));
    return answered(fetch(API + path, { method, headers, body, signal: asking.signal ?? null, cache: 'no-store' }));
  }

  /**
   * However many requests need a new access token, one of them gets it, and however many tabs, one of those: another tab is asked for its
   * own first, unless the one at hand was `refused`. A tab waits for its turn where the browser can tell it to, and gets nothing where
   * it was given one meanwhile.
   */
  #carryOn(refused = false): Promise<void> {
    const before = this.#access;
    const renew = async (): Promise<void> => {
      if (this.#access !== before && this.#isGood(this.#until)) return;
      const given = refused ? null : await this.#tabs.ask();
      if (given && this.#adopt(given)) return;
      try {
        this.#take(await this.#granted());
      } catch (error) {
        if (error instanceof Refused && error.status === 401 && this.standing.is === 'somebody') this.#leave(true);
        throw error;
      }
      this.#tabs.give({ token: this.#access!, until: this.#until });
    };
    const alone = async (): Promise<void> => {
      await (navigator.locks ? navigator.locks.request('pipecast.session', renew) : renew());
    };
    this.#carrying ??= alone().finally(() => (this.#carrying = null));
    return this.#carrying;
  }

  /** Asks for the next access token, and asks again whenever the service says to wait: that is no reason to leave. */
  async #granted(): Promise<Granted> {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        // A page that is left meanwhile must not take the answer with it, or the cookie of the browser is the one that was used up.
        return (await (await fromPage('/sessions/refresh', {}, true)).json()) as Granted;
      } catch (error) {
        if (!(error instanceof Refused) || (error.status !== 429 && error.status !== 503)) throw error;
        const wait = error.wait === null ? pause : error.wait * 1_000;
        this.waits = Date.now() + wait;
        await new Promise((done) => setTimeout(done, wait));
      } finally {
        this.waits = 0;
      }
    }
  }

  #take(granted: Granted): void {
    this.#set({ token: granted.access_token, until: Date.now() + granted.expires_in * 1_000 });
  }

  /** Takes the token of another tab where it is better than its own. */
  #adopt(access: Access): boolean {
    if (access.token === this.#access || access.until < this.#until || !this.#isGood(access.until)) return false;
    this.#set(access);
    return true;
  }

  #set({ token, until }: Access): void {
    this.#access = token;
    this.#until = until;
    this.#tabs.holds(true);
    forgetRefusal();
  }

  #isGood(until: number): boolean {
    return Date.now() < until - MARGIN;
  }

  #leave(ended: boolean): void {
    this.#access = null;
    this.#until = 0;
    this.#tabs.holds(false);
    forgetRefusal();
    confirmation.refuse();
    this.standing = { is: 'nobody', ended: ended && this.standing.is === 'somebody' };
  }
}

export const session = new Session();

/** Asks without an access token, as a page of this origin. With `outlasting` the request goes on when the page is left. */
export async function fromPage(path: string, body?: unknown, outlasting = false): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', 'X-Pipecast': '1' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const asked = fetch(API + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    cache: 'no-store',
    keepalive: outlasting,
  });
  return good(await answered(asked));
}

async function answered(asked: Promise<Response>): Promise<Response> {
  return asked.catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, '');
  });
}

async function good(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw await refusal(response);
}
