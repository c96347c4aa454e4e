// Whoever signed in a while ago and touches keys, roles or secrets, in a real browser against the real service: asked once more who they are, and what
// they wanted is done then by itself.
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { ADMIN, asAdmin, codeNow, comeIn, setUp, signIn } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { lookAt } from './looks';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
const SOON = { timeout: 10_000 };

/** As if whoever has a session had proved eleven minutes earlier who they are. */
const LATER = 'UPDATE sessions SET created_at = created_at - 660000000, proved_at = proved_at - 660000000';

interface Made {
  id: number;
}

function question(page: Page): Locator {
  return page.getByRole('dialog', { name: 'Confirm that it is you' });
}

/** What the page knows of when it was proved is in its memory, so it is loaded anew. */
async function grownOld(service: Service, page: Page): Promise<void> {
  service.alter(LATER);
  await page.reload();
}

describe.skipIf(reason)('whoever signed in a while ago', () => {
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

  const openSource = async (): Promise<{ page: Page; errors: string[]; close: () => Promise<void> }> => {
    const { id } = await asAdmin<Made>(service, 'POST', '/sources', { host: 'github', name: 'acme' });
    const opened = await openPage(browser, `${service.url}/manage/sources/${id}`);
    await signIn(opened.page);
    await grownOld(service, opened.page);
    await opened.page.getByRole('button', { name: 'Rotate the secret' }).click();
    return opened;
  };

  test('is asked for the password before a secret is rotated, and sees the new one when it is right', async () => {
    const { page, errors, close } = await openSource();
    const rotate = page.getByRole('button', { name: 'Rotate, old one ends in 24 hours' });
    await rotate.click();
    const password = question(page).getByLabel('Password', { exact: true });
    await password.waitFor();
    await expect.poll(() => password.evaluate((it) => it === document.activeElement), SOON).toBe(true);

    await password.fill('not this one');
    await page.keyboard.press('Enter');
    await question(page).getByText('This is not your password.').waitFor();
    await expect.poll(() => password.evaluate((it) => it === document.activeElement), SOON).toBe(true);
    await password.fill(ADMIN.password);
    await page.keyboard.press('Enter');

    const secret = page.getByRole('group', { name: 'Secret' });
    await expect.poll(() => secret.innerText(), SOON).toMatch(/\S{24}/);
    expect(await page.getByRole('dialog').count()).toBe(0);
    // For some minutes nothing more is asked, also after the page was loaded anew.
    await page.reload();
    await page.getByRole('link', { name: 'Tokens' }).click();
    await page.getByRole('button', { name: 'Make a token' }).first().click();
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).fill('deploy');
    await page.getByRole('dialog').getByRole('checkbox').first().check();
    await page.keyboard.press('Enter');
    await page.getByText(/^pcst_/).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('goes by keys alone, and leaves with Escape where they would rather not', async () => {
    const { page, errors, close } = await openSource();
    await page.getByRole('button', { name: 'Rotate, old one ends in 24 hours' }).press('Enter');
    await question(page).getByLabel('Password', { exact: true }).waitFor();
    const isInside = (): Promise<boolean> =>
      question(page).evaluate((it) => it.contains(document.activeElement) || document.activeElement === document.body);
    for (let presses = 0; presses < 8; presses += 1) {
      await page.keyboard.press(presses < 6 ? 'Tab' : 'Shift+Tab');
      expect(await isInside(), `after ${presses + 1} presses`).toBe(true);
    }

    await page.keyboard.press('Escape');
    await question(page).waitFor({ state: 'detached' });
    await page.getByText('Nothing was done: this needs your password again.').waitFor();
    const below = page.getByRole('dialog');
    expect(await below.count(), 'what was asked before is still there').toBe(1);
    await expect.poll(() => below.evaluate((it) => it.contains(document.activeElement)), SOON).toBe(true);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('is asked for a code too where the account has a second factor', async () => {
    const { secret } = await asAdmin<{ secret: string }>(service, 'POST', '/me/second-factor', { password: ADMIN.password });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    const on = await asAdmin<{ recovery_codes: string[] }>(service, 'POST', '/me/second-factor/confirm', { code: codeNow(secret) });
    await grownOld(service, page);
    await page.getByRole('button', { name: 'Add a user' }).first().click();
    await page.getByRole('dialog').getByLabel('User name').fill('grace');
    await page.keyboard.press('Enter');

    await question(page).getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await question(page).getByLabel('Code').fill('000000');
    await page.keyboard.press('Enter');
    await question(page).getByText('This code is wrong or was used already.').waitFor();
    await question(page).getByLabel('Code').fill(on.recovery_codes[0]!);
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('grace has an account').waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('sees the question in every look', async () => {
    await lookAt(browser, 'confirmation', `${service.url}/manage/sources/new`, async (page) => {
      await comeIn(page);
      await grownOld(service, page);
      await page.locator('.page form input:not([type=number])').last().fill('acme on GitHub');
      await page.keyboard.press('Enter');
      await page.locator('dialog[open] input[type=password]').waitFor();
    });
  }, 120_000);
});
