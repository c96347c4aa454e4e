// The words of the managing part, loaded with it alone; and what the service says, in the reader's words. Knows nothing of single pages.
import type { Refused } from '../api';
import { speech } from '../i18n/i18n.svelte';
import type { Fault } from '../wire';
import en from './i18n/en.json';
import zhCN from './i18n/zh-CN.json';

export type Word = keyof typeof en;
export const { t, many, has } = speech<Word>({ en, 'zh-CN': zhCN });

/** A word of the service that has a translation, else as it is. */
export function word(family: string, value: string): string {
  const key = `${family}.${value}`;
  return has(key) ? t(key) : value.replaceAll('_', ' ');
}

/** What is wrong with a field, and with which entry of it where it is a list. A detail that the service alone knows is kept as it says it. */
export function said(fault: Fault): string {
  const key = `fault.${fault.code}`;
  if (!has(key)) return fault.detail;
  const text = t(key, { detail: fault.detail });
  const entry = /\/(\d+)$/.exec(fault.pointer)?.[1];
  return entry === undefined ? text : t('fault.entry', { n: Number(entry) + 1, text });
}

/** Why the service refused, or that it does not answer. */
export function told(refused: Refused): string {
  if (refused.status === 0) return t('problem.silent');
  const key = `problem.${refused.problem?.code}`;
  const text = has(key) ? t(key) : (refused.problem?.title ?? refused.message);
  const detail = refused.problem?.detail;
  const whole = detail ? `${text} (${detail})` : text;
  return refused.status >= 500 && refused.problem?.request_id ? `${whole} [${refused.problem.request_id}]` : whole;
}
