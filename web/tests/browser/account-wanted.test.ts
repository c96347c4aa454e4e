// The page on a network where reading takes an account, and without TLS: what it shows to whom, and that it works there.
import { createServer } from 'node:net';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { asAdmin, setUp, signIn } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
const NAME = 'ci.example';

describe.skipIf(reason)('where reading takes an account', () => {
  let browser: Browser;
  let service: Service;
  let url: string;

  beforeAll(async () => {
    browser = await openBrowser(NAME);
    const port = await freePort();
    url = `http://${NAME}:${port}`;
    service = await Service.start({
      PIPECAST_SERVER__LISTEN: `127.0.0.1:${port}`,
      PIPECAST_SERVER__PUBLIC_URL: url,
      PIPECAST_SERVER__PLAIN_HTTP: 'true',
    });
    await setUp(service);
    await run(service, { id: 7, repository: 'acme/rocket', workflow: 'CI', number: 1, title: 'A start', began: 20 }, 'in_progress');
  });
  afterAll(async () => {
    await browser?.close();
    await service?.remove();
  });

  test('the list says so, leads to the login, is live afterwards, and says so again when the session has ended', async () => {
    const { page, errors, close } = await openPage(browser, url);
    await page.getByRole('heading', { name: 'Please sign in' }).waitFor();
    expect(await page.getByText('acme/rocket').count()).toBe(0);

    await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
    await signIn(page);
    await page.getByRole('link', { name: 'Pipecast' }).click();
    await page.locator('header [data-phase="live"]').waitFor();
    await page.getByText('acme/rocket').first().waitFor();

    const me = await asAdmin<{ user_id: number }>(service, 'GET', '/me');
    await asAdmin(service, 'DELETE', `/users/${me.user_id}/sessions`);
    await page.getByRole('heading', { name: 'Please sign in' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('a secret can be copied although the page is not secure', async () => {
    const { page, close } = await openPage(browser, `${url}/manage/tokens`);
    await signIn(page);
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await page.getByRole('button', { name: 'Make a token' }).first().click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox', { name: 'Name' }).fill('deploy');
    await dialog.getByLabel(/pipelines:read/).check();
    await dialog.getByRole('button', { name: 'Make the token' }).click();

    await dialog.getByRole('button', { name: 'Copy: Token' }).click();

    await dialog.getByRole('status').getByText('Copied').waitFor();
    await close();
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
