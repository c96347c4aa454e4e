// The managing part in a real browser against the real service: coming in, and what one may do there.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { ADMIN, asAdmin, codeNow, comeIn, setUp, signIn, tokenOf } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { BINARY, Service } from './service';

const reason = missing(BINARY);

/** Asked for again and again; nobody waits longer. */
const SOON = { timeout: 10_000 };

function dialog(page: Page) {
  return page.getByRole('dialog');
}

/** The name of what has the focus, as a screen reader would say it. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const at = document.activeElement as HTMLInputElement | null;
    return at?.labels?.[0]?.textContent?.trim() || at?.getAttribute('aria-label') || at?.textContent?.trim() || at?.tagName || '';
  });
}

describe.skipIf(reason)('the managing part', () => {
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
  });
  afterEach(async () => {
    await service?.remove();
  });

  test('the first admin comes in by the token that the service printed, by keyboard alone', async () => {
    const { page, errors, close } = await openPage(browser, `${service.url}/manage`);
    await page.getByRole('heading', { name: 'Set up Pipecast' }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/setup');

    await page.getByLabel('Setup token').focus();
    await page.keyboard.type('pcsu_notthis');
    await page.keyboard.press('Tab');
    await page.keyboard.type('grace');
    await page.keyboard.press('Tab');
    await page.keyboard.type('a sentence that nobody guesses');
    await page.keyboard.press('Enter');
    await page.getByText('This token is wrong').waitFor();
    expect(await focused(page)).toBe('Setup token');
    expect(await page.getByLabel('Setup token').getAttribute('aria-invalid')).toBe('true');

    await page.keyboard.press('Control+A');
    await page.keyboard.type(await tokenOf(service));
    await page.keyboard.press('Enter');

    await page.getByRole('navigation', { name: 'Administration' }).waitFor();
    await expect.poll(() => new URL(page.url()).pathname, SOON).toBe('/manage/sources');
    await page.goto(`${service.url}/setup`);
    await page.getByRole('navigation', { name: 'Administration' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('a session outlives a reload, nothing of it lies where scripts can read it, and signing out ends it in every tab', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/account`);
    await page.getByLabel('User name').fill(ADMIN.name);
    await page.getByLabel('Password', { exact: true }).fill('not this one');
    await page.keyboard.press('Enter');
    await page.getByText('Name or password is wrong.').waitFor();
    await signIn(page);
    await page.getByRole('heading', { name: 'My account' }).waitFor();

    await page.reload();
    await page.getByRole('heading', { name: 'My account' }).waitFor();
    const readable = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }));
    expect(readable).not.toMatch(/eyJ|pc_rt|pcrt_/);

    const other = await page.context().newPage();
    await other.goto(`${service.url}/manage/account`);
    await other.getByRole('heading', { name: 'My account' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).first().click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await other.getByText('Your session has ended.').waitFor();

    await signIn(other);
    await other.getByRole('heading', { name: 'My account' }).waitFor();
    await page.getByRole('heading', { name: 'My account' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('however many requests need a new access token, one of them gets it', async () => {
    await service.remove();
    service = await Service.start({ PIPECAST_AUTH__ACCESS_LIFETIME: '16s' });
    await setUp(service);
    const { page, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    await page.getByText(ADMIN.name).first().waitFor();

    const renewals: string[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/sessions/refresh')) renewals.push(request.method());
    });
    // Fifteen seconds before its end it is not used any more.
    await page.waitForTimeout(1_500);
    await page.evaluate(async () => {
      for (const name of ['Tokens', 'My account', 'Users']) {
        [...document.querySelectorAll<HTMLAnchorElement>('nav a')].find((link) => link.textContent === name)?.click();
        await new Promise((done) => setTimeout(done));
      }
    });
    await page.getByRole('list', { name: 'Users' }).getByText(ADMIN.name).waitFor();

    expect(renewals).toEqual(['POST']);
    await close();
  });

  test('a session that was ended elsewhere asks to sign in again, at the same place', async () => {
    await setUp(service);
    const { page, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    const me = await asAdmin<{ user_id: number }>(service, 'GET', '/me');
    await asAdmin(service, 'DELETE', `/users/${me.user_id}/sessions`);

    const ended = page.getByText('Your session has ended.');
    await expect
      .poll(async () => {
        const link = page.getByRole('link', { name: page.url().endsWith('users') ? 'Tokens' : 'Users' });
        if (await link.isVisible()) await link.click();
        return ended.isVisible();
      }, SOON)
      .toBe(true);
    await signIn(page);
    expect(new URL(page.url()).pathname).toMatch(/^\/manage\/(users|tokens)$/);
    await close();
  });

  test('who tries too often is told how long to wait, and need not reload', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/login`);
    await page.getByLabel('User name').fill(ADMIN.name);
    const waits = page.getByRole('button', { name: /Wait \d+ second/ });
    await expect
      .poll(async () => {
        if (await waits.isVisible()) return true;
        await page.getByLabel('Password', { exact: true }).fill('not this one');
        const answered = page.waitForResponse((response) => response.url().endsWith('/sessions'));
        await page.getByLabel('Password', { exact: true }).press('Enter');
        await answered;
        return waits.isVisible();
      }, SOON)
      .toBe(true);
    await page.getByText('Too many tries.').waitFor();

    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await signIn(page);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('an account is made, and what is wrong with it stands at its field', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    await page.getByRole('button', { name: 'Add a user' }).click();
    expect(await focused(page)).toBe('User name');

    await page.keyboard.type(ADMIN.name);
    await dialog(page).getByLabel('Password', { exact: true }).fill('a sentence for somebody else');
    await page.keyboard.press('Enter');
    await dialog(page).getByText('Somebody has this already.').waitFor();
    expect(await focused(page)).toBe('User name');
    expect(await dialog(page).getByLabel('User name').getAttribute('aria-invalid')).toBe('true');

    await page.keyboard.press('Control+A');
    await page.keyboard.type('grace');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'grace' }).waitFor();

    await page.getByLabel('Mail address').fill('no address');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('This is no mail address.').waitFor();
    await page.getByLabel('Mail address').fill('grace@example.org');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').getByText('Saved').waitFor();

    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog(page).getByRole('button', { name: 'Delete' }).click();
    await page.getByLabel('Deleted ones').check();
    await page.getByRole('button', { name: 'Restore' }).click();
    await page.getByText('Nothing matches').waitFor();
    await page.getByLabel('Deleted ones').uncheck();
    await page.getByRole('link', { name: 'grace' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('somebody else has changed it meanwhile, and nothing is overwritten', async () => {
    await setUp(service);
    const { id } = await asAdmin<{ id: number }>(service, 'POST', '/users', { name: 'grace', role: 'viewer' });
    const { page, close } = await openPage(browser, `${service.url}/manage/users/${id}`);
    await signIn(page);
    await page.getByLabel('Display name').fill('Grace H.');

    const other = await page.context().newPage();
    await other.goto(`${service.url}/manage/users/${id}`);
    await other.getByLabel('Display name').fill('Rear Admiral');
    await other.getByRole('button', { name: 'Save' }).click();
    await other.getByRole('status').getByText('Saved').waitFor();

    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Somebody else has changed it meanwhile.').waitFor();
    const kept = await asAdmin<{ display_name: string }>(service, 'GET', `/users/${id}`);
    expect(kept.display_name).toBe('Rear Admiral');
    await close();
  });

  test('what a role may not do is not offered', async () => {
    await setUp(service);
    const viewer = { name: 'vera', password: 'a sentence for looking only' };
    await asAdmin(service, 'POST', '/users', { ...viewer, role: 'viewer' });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage`);
    await signIn(page, viewer);

    const offered = await page.getByRole('navigation', { name: 'Administration' }).getByRole('link').allInnerTexts();
    expect(offered).toEqual(['Tokens', 'My account']);
    await page.getByRole('button', { name: 'Make a token' }).click();
    const scopes = await dialog(page)
      .getByRole('checkbox')
      .evaluateAll((boxes) => boxes.map((box) => (box as HTMLInputElement).value));
    expect(scopes).toEqual(['pipelines:read', 'tokens:manage', 'system:read']);
    await page.goto(`${service.url}/manage/users`);
    await page.getByRole('heading', { name: 'You may not do this.' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('a token is shown once, works, and ends', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/tokens`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await signIn(page);
    await page.getByRole('button', { name: 'Make a token' }).first().click();
    await dialog(page).getByRole('textbox', { name: 'Name' }).fill('deploy');
    await page.keyboard.press('Enter');
    await dialog(page).getByText('This cannot be empty.').waitFor();
    await dialog(page)
      .getByLabel(/pipelines:read/)
      .check();
    await dialog(page).getByRole('button', { name: 'Make the token' }).click();

    await dialog(page).getByText('It is shown this once.').waitFor();
    await dialog(page).getByRole('button', { name: 'Copy: Token' }).click();
    const token = await page.evaluate(() => navigator.clipboard.readText());
    expect(token).toMatch(/^pcst_/);
    const read = (): Promise<number> =>
      fetch(`${service.url}/api/v1/pipelines`, { headers: { Authorization: `Bearer ${token}` } }).then((answer) => answer.status);
    expect(await read()).toBe(200);
    await dialog(page).getByRole('button', { name: 'I have kept it' }).click();
    await expect.poll(() => focused(page), SOON).toBe('Make a token');
    expect(await page.content()).not.toContain(token);

    await page.getByRole('button', { name: 'End deploy' }).click();
    await dialog(page).getByRole('button', { name: 'End', exact: true }).click();
    await page.getByText('No tokens').waitFor();
    await expect.poll(read, SOON).toBe(401);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('a second factor is turned on with the picture, asked for, and a recovery code takes its place', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/account`);
    await signIn(page);
    await page.getByRole('button', { name: 'Turn it on' }).click();
    await dialog(page).getByLabel('Password', { exact: true }).fill('not this one');
    await page.keyboard.press('Enter');
    await dialog(page).getByText('This is not your password.').waitFor();
    await dialog(page).getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.keyboard.press('Enter');
    await dialog(page).getByRole('img').waitFor();
    const secret = await dialog(page).locator('pre').innerText();
    await dialog(page).getByLabel('The code that the app shows now').fill(codeNow(secret));
    await page.keyboard.press('Enter');
    await dialog(page).getByText('Each is good once').waitFor();
    const [first] = (await dialog(page).locator('pre').innerText()).split('\n');
    await dialog(page).getByRole('button', { name: 'I have kept them' }).click();
    await page.getByText('10 recovery codes are left.').waitFor();

    await page.getByRole('button', { name: 'Sign out' }).first().click();
    await page.getByLabel('User name').fill(ADMIN.name);
    await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.keyboard.press('Enter');
    await page.getByLabel('Code').waitFor();
    await expect.poll(() => focused(page), SOON).toBe('Code');
    await page.keyboard.type('000000');
    await page.keyboard.press('Enter');
    await page.getByText('This code is wrong or was used already.').waitFor();
    await page.getByLabel('Code').fill(first!);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'My account' }).waitFor();
    await page.getByText('9 recovery codes are left.').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('an admin takes away a factor that somebody has lost', async () => {
    await setUp(service);
    const grace = { name: 'grace', password: 'a sentence for rear admirals' };
    const { id } = await asAdmin<{ id: number }>(service, 'POST', '/users', { ...grace, role: 'viewer' });
    const { password } = grace;
    const { secret } = await asAdmin<{ secret: string }>(service, 'POST', '/me/second-factor', { password }, grace);
    await asAdmin(service, 'POST', '/me/second-factor/confirm', { code: codeNow(secret) }, grace);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/users/${id}`);
    await signIn(page);

    await page.getByRole('button', { name: 'Take the second factor away' }).press('Enter');
    await dialog(page).getByText('see first that it is grace who asks').waitFor();
    await dialog(page).getByRole('button', { name: 'Take the second factor away' }).press('Enter');
    await page.getByRole('status').getByText('The second factor is gone').waitFor();

    await expect.poll(() => page.getByRole('button', { name: 'Take the second factor away' }).count(), SOON).toBe(0);
    const me = await asAdmin<{ has_second_factor: boolean }>(service, 'GET', '/me', undefined, grace);
    expect(me.has_second_factor).toBe(false);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('one sees where one is signed in, and ends it there', async () => {
    await setUp(service);
    const here = await openPage(browser, `${service.url}/manage/account`);
    await signIn(here.page);
    const there = await openPage(browser, `${service.url}/manage/account`);
    await comeIn(there.page);
    await here.page.reload();

    const sessions = here.page.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');
    await expect.poll(() => sessions.count(), SOON).toBe(2);
    await sessions.getByRole('button', { name: 'End', exact: true }).click();

    await expect.poll(() => sessions.count(), SOON).toBe(1);
    await expect
      .poll(async () => {
        await there.page.reload();
        await there.page
          .getByText(/Sign in|Sign out/)
          .first()
          .waitFor();
        return there.page.getByRole('heading', { name: 'Sign in' }).isVisible();
      }, SOON)
      .toBe(true);
    await here.close();
    await there.close();
  });
});
