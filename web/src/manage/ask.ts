// Reading and changing single things of the admin API. Knows nothing of what they are.
import { session } from './session.svelte';

/** A thing and the version of it that was read, which a change has to name. */
export interface Versioned<T> {
  it: T;
  version: string | null;
}

export async function find<T>(path: string, signal?: AbortSignal): Promise<Versioned<T>> {
  return versioned(await session.ask(path, signal ? { signal } : {}));
}

/** `version` where it becomes part of something that has one. */
export async function create<T>(path: string, body: unknown, version: string | null = null): Promise<T> {
  return (await (await session.ask(path, { method: 'POST', body, version })).json()) as T;
}

/** Asks for something to be done; what the answer holds is not of interest. */
export async function act(path: string, body?: unknown, method = 'POST'): Promise<void> {
  await session.ask(path, { method, ...(body === undefined ? {} : { body }) });
}

export async function change<T>(path: string, version: string | null, body: unknown): Promise<Versioned<T>> {
  return versioned(await session.ask(path, { method: 'PATCH', version, body }));
}

export async function remove(path: string, version: string | null): Promise<void> {
  await session.ask(path, { method: 'DELETE', version });
}

/** Changes what is known from a list alone: its version is read first. */
export async function changeNow<T>(path: string, body: unknown): Promise<Versioned<T>> {
  const { version } = await find<T>(path);
  return change(path, version, body);
}

export async function removeNow(path: string): Promise<void> {
  const { version } = await find(path);
  await remove(path, version);
}

async function versioned<T>(response: Response): Promise<Versioned<T>> {
  return { it: (await response.json()) as T, version: response.headers.get('ETag') };
}
