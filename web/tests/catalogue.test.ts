// The catalogues of words: each says everything, with the same blanks.
import { expect, test } from 'vitest';

import en from '../src/i18n/en.json';
import zhCN from '../src/i18n/zh-CN.json';

const chinese: Record<string, string> = zhCN;

test('both languages have the same keys', () => {
  expect(Object.keys(zhCN).sort()).toEqual(Object.keys(en).sort());
});

test('both languages fill the same blanks', () => {
  const blanks = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();
  for (const [key, text] of Object.entries(en)) expect(blanks(chinese[key] ?? ''), key).toEqual(blanks(text));
});

test('no word was forgotten in translation', () => {
  const same = Object.entries(en).filter(([key, text]) => chinese[key] === text);
  expect(same).toEqual([]);
});

test('every key is used somewhere', async () => {
  const sources = import.meta.glob<string>('../src/**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true });
  const text = Object.values(sources).join('\n');
  // Keys that are put together at run time: `status.${…}` and the plural forms.
  const families = [/^status\./, /^event\./, /^live\./, /^theme\./, /\.(one|other)$/];
  const unused = Object.keys(en).filter((key) => !families.some((family) => family.test(key)) && !text.includes(`'${key}'`));
  expect(unused).toEqual([]);
});
