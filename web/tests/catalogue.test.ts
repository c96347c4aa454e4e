// The catalogues of words: each says everything, with the same blanks.
import { describe, expect, test } from 'vitest';

import en from '../src/i18n/en.json';
import zhCN from '../src/i18n/zh-CN.json';
import manageEn from '../src/manage/i18n/en.json';
import manageZhCN from '../src/manage/i18n/zh-CN.json';

const sources = import.meta.glob<string>('../src/**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true });
const managing = (path: string): boolean => path.startsWith('../src/manage/');

const CATALOGUES: {
  of: string;
  english: Record<string, string>;
  chinese: Record<string, string>;
  in: (path: string) => boolean;
  families: RegExp[];
}[] = [
  {
    of: 'the page',
    english: en,
    chinese: zhCN,
    in: () => true,
    // Keys that are put together at run time: `status.${…}` and the plural forms.
    families: [/^status\./, /^event\./, /^live\./, /^theme\./, /\.(one|other)$/],
  },
  {
    of: 'the managing part',
    english: manageEn,
    chinese: manageZhCN,
    in: managing,
    families: [
      /^(problem|fault|outcome|verification|role|permission|visibility|secret\.kind|sources\.warn(?:ing|ed)|audit\.by|audit\.outcome|target\.kind|transfer\.action|transfer\.needs)\./,
      /\.(one|other)$/,
    ],
  },
];

describe.each(CATALOGUES)('the words of $of', ({ english, chinese, in: within, families }) => {
  test('both languages have the same keys', () => {
    expect(Object.keys(chinese).sort()).toEqual(Object.keys(english).sort());
  });

  test('both languages fill the same blanks', () => {
    const blanks = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();
    for (const [key, text] of Object.entries(english)) expect(blanks(chinese[key] ?? ''), key).toEqual(blanks(text));
  });

  test('no word was forgotten in translation', () => {
    const same = Object.entries(english).filter(([key, text]) => chinese[key] === text);
    expect(same).toEqual([]);
  });

  test('every key is used somewhere', () => {
    const text = Object.entries(sources)
      .filter(([path]) => within(path))
      .map(([, source]) => source)
      .join('\n');
    const unused = Object.keys(english).filter((key) => !families.some((family) => family.test(key)) && !text.includes(`'${key}'`));
    expect(unused).toEqual([]);
  });

  test('every plural has both forms', () => {
    const stems = Object.keys(english).flatMap((key) => /^(.*)\.(?:one|other)$/.exec(key)?.[1] ?? []);
    for (const stem of stems) expect(Object.keys(english)).toEqual(expect.arrayContaining([`${stem}.one`, `${stem}.other`]));
  });
});
