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

/** The words of one part of the page, in every language. */
export type Catalogues<K extends string> = Record<Locale, Record<K, string>>;

/** Keys that have a `.one` and an `.other`. */
export type PluralKey<K extends string> = K extends `${infer Stem}.one` ? Stem : never;

export interface Speech<K extends string> {
  /** The text of a key, with `{name}` replaced. */
  t: (key: K, values?: Values) => string;
  /** The text of a key that has a `.one` and an `.other`, for `n` things. */
  many: (key: PluralKey<K>, n: number) => string;
  /** Whether there is such a key. */
  has: (key: string) => key is K;
}

/** Speaks the words of one part of the page in the language that is chosen. */
export function speech<K extends string>(catalogues: Catalogues<K>): Speech<K> {
  const t = (key: K, values?: Values): string => fill(catalogues[chosen.locale][key], values);
  return {
    t,
    many: (key, n) => {
      const form = new Intl.PluralRules(chosen.locale).select(n) === 'one' ? 'one' : 'other';
      return t(`${key}.${form}` as K, { n: number(n) });
    },
    has: (key): key is K => key in catalogues.en,
  };
}

/** The words of the pages that everybody sees. */
export const { t, many } = speech<Key>(CATALOGUES);

/** What set an execution off; a word of a host that has no translation stays as it is. */
export function event(word: string): string {
  const key = `event.${word}`;
  return key in en ? t(key as Key) : word.replaceAll('_', ' ');
}

export function number(n: number): string {
  return new Intl.NumberFormat(chosen.locale).format(n);
}

function fill(text: string, values: Values | undefined): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole)) : text;
}
