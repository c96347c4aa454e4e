// The status words, in the order in which a reader wants to hear of them. Knows nothing of colours, icons and languages.
import type { Word } from './wire';

export const STATUSES = [
  'running',
  'finalizing',
  'queued',
  'waiting',
  'blocked',
  'failure',
  'error',
  'timed_out',
  'cancelled',
  'success',
  'neutral',
  'skipped',
  'finished',
  'unknown',
] as const;

export type Status = (typeof STATUSES)[number];

/** What other writers call ours. */
const SYNONYMS: Record<string, Status> = {
  failed: 'failure',
  canceled: 'cancelled',
  pending: 'queued',
  timeout: 'timed_out',
  passed: 'success',
};

const KNOWN = new Set<string>(STATUSES);

export function statusOf(word: Word | null | undefined): Status {
  if (!word) return 'unknown';
  if (KNOWN.has(word)) return word as Status;
  return SYNONYMS[word] ?? 'unknown';
}

/** Started and not over: its time runs. */
export function isActive(status: Status): boolean {
  return status === 'running' || status === 'finalizing';
}

/** Not over; `unknown` may be anything, so nothing is expected of it. */
export function isOpen(status: Status): boolean {
  return isActive(status) || status === 'queued' || status === 'waiting' || status === 'blocked';
}

export function isBad(status: Status): boolean {
  return status === 'failure' || status === 'error' || status === 'timed_out';
}

/** The status of several at once: what most needs a look. */
export function worst(words: Word[]): Status {
  const present = new Set(words.map(statusOf));
  const order: Status[] = [
    'running',
    'finalizing',
    'blocked',
    'error',
    'failure',
    'timed_out',
    'waiting',
    'queued',
    'cancelled',
    'success',
    'neutral',
    'finished',
    'skipped',
  ];
  return order.find((status) => present.has(status)) ?? 'unknown';
}
