// The words of the page in the reader's language, one catalogue each. Knows nothing of where they are shown.
import { recall, remember } from '../theme.svelte';
import en from './en.json';
import zhCN from './zh-CN.json';

export type Key = keyof typeof en;
export type Locale = 'en' | 'zh-CN';
type Values = Record<string, string | number>;

const CATALOGUES: Record<Locale, Record<Key, string>> = { en, 'zh-CN': zhCN };
export const LOCALES: { locale: Locale; name: string; short: string }[] = [
  { locale: 'en', name: 'English', short: 'EN' },
  { locale: 'zh-CN', name: '简体中文', short: '中' },
];

const KEY = 'pipecast.language';

class Chosen {
  locale = $state<Locale>(first(recall(KEY), navigator.languages));
}
const chosen = new Chosen();

/** The language to begin with: the one chosen here before, else the first of the browser's that we speak. */
export function first(kept: string | null, languages: readonly string[]): Locale {
  if (kept === 'en' || kept === 'zh-CN') return kept;
  for (const language of languages) {
    if (/^zh\b/i.test(language)) return 'zh-CN';
    if (/^en\b/i.test(language)) return 'en';
  }
  return 'en';
}

export function locale(): Locale {
  return chosen.locale;
}

export function setLocale(next: Locale): void {
  chosen.locale = next;
  remember(KEY, next);
}

export function nextLocale(): void {
  setLocale(chosen.locale === 'en' ? 'zh-CN' : 'en');
}

/** The text of a key, with `{name}` replaced. */
export function t(key: Key, values?: Values): string {
  return fill(CATALOGUES[chosen.locale][key], values);
}

/** What set an execution off; a word of a host that has no translation stays as it is. */
export function event(word: string): string {
  const key = `event.${word}`;
  return key in en ? t(key as Key) : word.replaceAll('_', ' ');
}

/** The text of a key that has a `.one` and an `.other`, for `n` things. */
export function many(key: PluralKey, n: number): string {
  const form = new Intl.PluralRules(chosen.locale).select(n) === 'one' ? 'one' : 'other';
  return t(`${key}.${form}` as Key, { n: number(n) });
}
type PluralKey = Key extends infer K ? (K extends `${infer Stem}.one` ? Stem : never) : never;

export function number(n: number): string {
  return new Intl.NumberFormat(chosen.locale).format(n);
}

function fill(text: string, values: Values | undefined): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole)) : text;
}
