// Somebody with many tabs, or with a heavy hand on the reload key, in a real browser against the real service: nobody is signed out by it.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { comeIn, setUp, signIn } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { BINARY, Service } from './service';

const reason = missing(BINARY);

/** Counts what a page asks for to be carried on. */
function renewals(page: Page): string[] {
  const seen: string[] = [];
  page.on('request', (request) => request.url().endsWith('/sessions/refresh') && seen.push(request.method()));
  return seen;
}

/** The heading of the page that was asked for, or of the form that asks who one is. */
async function heading(page: Page): Promise<string> {
  const shown = page.getByRole('heading', { level: 1 });
  await shown.waitFor();
  return shown.innerText();
}

describe.skipIf(reason)('with many tabs', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
  });
  beforeEach(async () => {
    service = await Service.start();
    await setUp(service);
  });
  afterEach(async () => {
    await service?.remove();
  });

  test('fifteen reloads in a row and twelve tabs at once stay signed in', async () => {
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/account`);
    await signIn(page);
    for (let times = 0; times < 15; times++) {
      await page.reload();
      expect(await heading(page), `reload ${times}`).toBe('My account');
    }

    const tabs = await Promise.all(Array.from({ length: 12 }, () => page.context().newPage()));
    await Promise.all(tabs.map((tab) => tab.goto(`${service.url}/manage/account`)));
    expect(await Promise.all(tabs.map(heading))).toEqual(Array(12).fill('My account'));
    // And all of them anew, as a browser does that is opened again: none is there to give anything to the others.
    await Promise.all([page, ...tabs].map((tab) => tab.reload()));
    expect(await Promise.all([page, ...tabs].map(heading))).toEqual(Array(13).fill('My account'));
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('reloads that nobody waits for stay signed in', async () => {
    const { page, close } = await openPage(browser, `${service.url}/manage/account`);
    await signIn(page);
    let loads = 0;
    page.on('framenavigated', () => loads++);
    for (let times = 0; times < 10; times++) {
      // By the page itself, which may be told so in the middle of a load; the one that it replaces answers nobody.
      await page.evaluate(() => void setTimeout(() => location.reload())).catch(() => undefined);
      await page.waitForTimeout(20 + 30 * times);
    }
    expect(await heading(page)).toBe('My account');
    expect(loads).toBeGreaterThan(5);
    // Longer than what belongs together may be shown.
    service.alter('UPDATE refresh_tokens SET begun_at = begun_at - 20000000, used_at = used_at - 20000000');
    await page.reload();
    expect(await heading(page)).toBe('My account');
    await close();
  });

  test('a new tab gets the access token of one that has one, and so do those that wait', async () => {
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/account`);
    await signIn(page);

    const tab = await page.context().newPage();
    const asked = renewals(tab);
    await tab.goto(`${service.url}/manage/account`);
    expect(await heading(tab)).toBe('My account');
    expect(asked).toEqual([]);

    // A token that came from another tab is worth as much as one's own.
    await page.close();
    await tab.getByRole('link', { name: 'Users' }).click();
    await tab.getByRole('list', { name: 'Users' }).waitFor();
    await tab.getByRole('button', { name: 'Sign out' }).first().click();
    await tab.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('who has come too often is asked to wait, is told so, and goes on by itself', async () => {
    const { page, close } = await openPage(browser, `${service.url}/manage/account`);
    await comeIn(page);
    const last = await page.evaluate(async () => {
      const renew = () =>
        fetch('/admin/v1/sessions/refresh', {
          method: 'POST',
          headers: { 'X-Pipecast': '1', 'Content-Type': 'application/json' },
          body: '{}',
        });
      let status = 200;
      for (let times = 0; times < 70 && status === 200; times++) status = (await renew()).status;
      return status;
    });
    expect(last).toBe(429);
    // So that there is another one in a few seconds.
    service.alter('UPDATE refresh_tokens SET issued_at = issued_at - 53000000');

    await page.reload();
    await page.getByRole('status').getByText('You are still signed in').waitFor();
    expect(await page.getByRole('button', { name: 'Sign in' }).count()).toBe(0);
    await page.getByRole('heading', { name: 'My account' }).waitFor();
    expect(await page.getByText('You are still signed in').count()).toBe(0);
    await close();
  });

  test('a service that cannot carry a session on for a while signs nobody out', async () => {
    const { page, close } = await openPage(browser, `${service.url}/manage/account`);
    await comeIn(page);
    await service.block(12);

    await page.reload();
    await expect
      .poll(() => page.getByText(/You are still signed in|It is tried again by itself/).count(), { timeout: 20_000 })
      .toBeGreaterThan(0);
    expect(await page.getByRole('button', { name: 'Sign in' }).count()).toBe(0);
    await service.unblocked();
    await page.getByRole('heading', { name: 'My account' }).waitFor({ timeout: 30_000 });
    await close();
  });

  test('a list that could not be read is read again by itself', async () => {
    const { page, close } = await openPage(browser, `${service.url}/manage/account`);
    await signIn(page);
    await service.kill();

    await page.getByRole('link', { name: 'Users' }).click();
    await page.getByText(/It is tried again by itself in \d+ seconds?\./).waitFor();
    await service.again();
    await page.getByRole('list', { name: 'Users' }).waitFor({ timeout: 30_000 });
    await close();
  });
});
