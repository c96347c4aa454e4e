// A page in both themes, both languages and both widths: kept as pictures, and held against what every page keeps to.
// Knows nothing of what the page shows.
import { join } from 'node:path';

import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';

import { openPage, own, SCREENSHOTS } from './browser';

export const LOOKS = [
  { look: 'wide-light-en', viewport: { width: 1280, height: 860 }, colorScheme: 'light', locale: 'en-US' },
  { look: 'wide-dark-zh', viewport: { width: 1280, height: 860 }, colorScheme: 'dark', locale: 'zh-CN' },
  { look: 'narrow-light-zh', viewport: { width: 320, height: 740 }, colorScheme: 'light', locale: 'zh-CN' },
  { look: 'narrow-dark-en', viewport: { width: 320, height: 800 }, colorScheme: 'dark', locale: 'en-US' },
] as const;

/** Opens it in every look, keeps a picture of each, and fails where something hangs over the edge, cannot be read or complains. */
export async function lookAt(
  browser: Browser,
  name: string,
  url: string,
  ready: (page: Page) => Promise<unknown>,
  options: BrowserContextOptions = {},
): Promise<void> {
  for (const { look, ...its } of LOOKS) {
    const { page, errors, close } = await openPage(browser, url, { ...its, ...options });
    await ready(page);
    // Colours glide for a moment after the connection is live.
    await page.waitForFunction(() => document.getAnimations().every((one) => !(one instanceof CSSTransition)));
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${look}.png`) });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(over, `${name} ${look} hangs over the edge by pixels`).toBeLessThanOrEqual(0);
    // What glides is in between for a moment; what is hard to read for good stays so.
    await expect.poll(() => hardToRead(page), { timeout: 5_000, message: `${name} ${look}` }).toEqual([]);
    expect(own(errors), `${name} ${look}`).toEqual([]);
    await close();
  }
}

/** Texts whose contrast to their background is below 4.5 to 1. Composes half-transparent backgrounds; skips what is not seen. */
function hardToRead(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
    const pixel = (color: string): [number, number, number, number] => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r!, g!, b!, a! / 255];
    };
    const over = (top: number[], below: number[]): number[] => [0, 1, 2].map((i) => top[i]! * top[3]! + below[i]! * (1 - top[3]!));
    const light = (rgb: number[]): number => {
      const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const background = (element: Element): number[] => {
      const own = pixel(getComputedStyle(element).backgroundColor);
      if (own[3] === 1 || !element.parentElement) return own;
      return over(own, background(element.parentElement));
    };
    const found = new Set<string>();
    for (const element of document.querySelectorAll('body *')) {
      const text = [...element.childNodes]
        .filter((node) => node.nodeType === Node.TEXT_NODE)
        .map((node) => node.textContent?.trim())
        .join('');
      const box = element.getBoundingClientRect();
      if (!text || box.width < 2 || box.height < 2 || element.closest('.said, .skip')) continue;
      if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      const behind = background(element);
      const ink = over(pixel(getComputedStyle(element).color), behind);
      const [a, b] = [light(ink), light(behind)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.add(`${element.className || element.tagName}: ${text.slice(0, 30)} ${contrast.toFixed(2)}`);
    }
    return [...found];
  });
}
