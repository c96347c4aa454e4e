// Times and durations as people read them, in the reader's language. Knows nothing of which time is meant.
import { locale, t } from './i18n/i18n.svelte';
import type { Instant } from './wire';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "1m 23s": two units at most, whole ones. */
export function duration(ms: number): string {
  const whole = Math.max(0, ms);
  const s = Math.floor(whole / SECOND);
  const m = Math.floor(whole / MINUTE);
  const h = Math.floor(whole / HOUR);
  const d = Math.floor(whole / DAY);
  if (m === 0) return t('unit.s', { s });
  if (h === 0) return t('unit.m', { m, s: pad(s % 60) });
  if (d === 0) return t('unit.h', { h, m: pad(m % 60) });
  return t('unit.d', { d, h: h % 24 });
}

function pad(n: number): string {
  return String(n).padStart(2, '0');
}

const relative = new Map<string, Intl.RelativeTimeFormat>();

/** "3 min ago"; what lies up to ten seconds back, or in the future by a clock that is wrong, is "just now". */
export function ago(instant: Instant, now: number): string {
  const passed = now - Date.parse(instant);
  if (!Number.isFinite(passed)) return '';
  if (passed < 10 * SECOND) return t('time.now');
  const language = locale();
  let format = relative.get(language);
  if (!format) relative.set(language, (format = new Intl.RelativeTimeFormat(language, { style: 'narrow', numeric: 'always' })));
  if (passed < MINUTE) return format.format(-Math.floor(passed / (10 * SECOND)) * 10, 'second');
  if (passed < HOUR) return format.format(-Math.floor(passed / MINUTE), 'minute');
  if (passed < DAY) return format.format(-Math.floor(passed / HOUR), 'hour');
  if (passed < 30 * DAY) return format.format(-Math.floor(passed / DAY), 'day');
  if (passed < 365 * DAY) return format.format(-Math.floor(passed / (30 * DAY)), 'month');
  return format.format(-Math.floor(passed / (365 * DAY)), 'year');
}

/** The whole instant in the reader's zone, which it names; for tips and facts. */
export function moment(instant: Instant): string {
  const at = new Date(instant);
  return Number.isNaN(at.getTime()) ? instant : new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'long' }).format(at);
}

/** The time of day where the instant is of today, else the day as well. */
export function clockTime(instant: Instant, now: number): string {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return instant;
  const today = at.toDateString() === new Date(now).toDateString();
  return new Intl.DateTimeFormat(locale(), today ? { timeStyle: 'medium' } : { dateStyle: 'short', timeStyle: 'short' }).format(at);
}

/** The first seven digits, as Git shows them. */
export function shortSha(sha: string): string {
  return /^[0-9a-f]{12,}$/i.test(sha) ? sha.slice(0, 7) : sha;
}
