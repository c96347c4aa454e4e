// Reads the service's API. Knows nothing of which page asks.
import type { Problem } from './wire';

/** The service answered with a problem, or did not answer. */
export class Refused extends Error {
  constructor(
    /** The HTTP status; 0 where nothing answered. */
    readonly status: number,
    message: string,
    /** What the service said, where it did. */
    readonly problem: Problem | null = null,
    /** Seconds to wait before another try, where it said so. */
    readonly wait: number | null = null,
  ) {
    super(message);
  }
}

export async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, { headers: { Accept: 'application/json' }, signal: signal ?? null }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, '');
  });
  if (response.ok) return (await response.json()) as T;
  throw await refusal(response);
}

/** Why the service refused. */
export async function refusal(response: Response): Promise<Refused> {
  const problem = (await response.json().catch(() => ({}))) as Problem;
  const wait = Number(response.headers.get('Retry-After')) || null;
  return new Refused(response.status, problem.detail ?? problem.title ?? response.statusText, problem, wait);
}

/** Whether a request was given up by ourselves. */
export function wasAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
