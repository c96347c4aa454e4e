// The two readers of the API's document in a real browser, as another machine sees them: they work, and their policy stops nothing of them.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { missing, openBrowser, openPage, own } from './browser';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
/** Under a loopback name Swagger UI would leave out what it asks others for. */
const NAME = 'ci.example.org';
/** Redoc lays out the whole document before it shows any of it, which takes long on a busy machine; in milliseconds. */
const PATIENCE = 90_000;

describe.skipIf(reason)('the readers of the document', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser(NAME);
    service = await Service.start();
  });
  afterAll(async () => {
    await browser?.close();
    await service?.remove();
  });

  /** Opens a path and keeps the addresses that were asked for elsewhere. */
  async function open(path: string) {
    const url = service.url.replace('127.0.0.1', NAME);
    const opened = await openPage(browser, 'about:blank');
    const foreign: string[] = [];
    opened.page.on('request', (request) => {
      if (/^(https?|wss?):/.test(request.url()) && !request.url().startsWith(url)) foreign.push(request.url());
    });
    await opened.page.goto(url + path);
    return { ...opened, foreign };
  }

  test('Swagger UI shows every operation and sends one', async () => {
    const { page, errors, foreign, close } = await open('/docs');
    await page.locator('.opblock').first().waitFor({ timeout: PATIENCE });
    const document = (await (await fetch(`${service.url}/api/openapi.json`)).json()) as { paths: Record<string, object> };
    const operations = Object.values(document.paths).flatMap((path) => Object.keys(path));
    expect(await page.locator('.opblock').count()).toBe(operations.length);

    const operation = page.locator('[id$="show_liveness"]');
    await operation.locator('.opblock-summary').click();
    await operation.getByRole('button', { name: 'Try it out' }).click();
    await operation.getByRole('button', { name: 'Execute' }).click();
    await operation.locator('.live-responses-table .response-col_status', { hasText: '200' }).first().waitFor();
    await operation.locator('.live-responses-table', { hasText: '"ok"' }).waitFor();

    expect(own(errors)).toEqual([]);
    expect(foreign).toEqual([]);
    await close();
  }, 180_000);

  test('Redoc shows the document and finds words in it', async () => {
    const { page, errors, foreign, close } = await open('/redoc');
    await page.locator('[role="search"] input').waitFor({ timeout: PATIENCE });
    await page
      .getByRole('heading', { name: /Pipecast/ })
      .first()
      .waitFor();

    // Its search runs in a worker.
    await page.locator('[role="search"] input').pressSequentially('dead letter');
    await page.locator('[data-role="search:results"] li').first().waitFor({ timeout: PATIENCE });

    expect(own(errors)).toEqual([]);
    expect(foreign).toEqual([]);
    await close();
  }, 180_000);
});
