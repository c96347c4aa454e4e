// Debian's Chromium, and pages in it that let no error pass. Knows nothing of the service.
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Why browser tests cannot run here; null where they can. */
export function missing(binary: string | undefined): string | null {
  if (!binary) return 'PIPECAST_BIN names no binary';
  if (!existsSync(binary)) return `there is no binary at ${binary}`;
  if (!existsSync(CHROMIUM)) return `there is no Chromium at ${CHROMIUM}`;
  return null;
}

/** `named` is a name under which the browser finds this machine, as if it were another one. */
export async function openBrowser(named?: string): Promise<Browser> {
  const names = named ? [`--host-resolver-rules=MAP ${named} 127.0.0.1`] : [];
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...names] });
}

/** A page with a profile of its own. What it writes to its console as an error lands in `errors`. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; errors: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: 'en-US', colorScheme: 'light', ...options });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.setDefaultTimeout(20_000);
  await page.goto(url);
  return { page, errors, close: () => context.close() };
}

/** Where the screenshots of this run are kept: SCREENSHOTS, or a new folder. */
export const SCREENSHOTS = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'pipecast-screens-'));
mkdirSync(SCREENSHOTS, { recursive: true });

/** What a lost connection, a refusal and plain HTTP make the browser itself write; everything else is ours. */
export function own(errors: string[]): string[] {
  return errors.filter(
    (error) =>
      !/WebSocket connection to .* failed|net::ERR_|Failed to load resource|Cross-Origin-Opener-Policy header has been ignored/.test(error),
  );
}
