// What an operator does in a real browser against the real service: connects a Git host, looks into the ledger, replays, reads the audit,
// changes settings.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { ADMIN, asAdmin, setUp, signIn, tokenOf } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { run, runBody, type Run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
const SOON = { timeout: 10_000 };
const rocket: Run = { id: 1001, repository: 'acme/rocket', workflow: 'CI', number: 12, title: 'Fix the flaky retry', began: 20 };

function dialog(page: Page) {
  return page.getByRole('dialog');
}

describe.skipIf(reason)('an operator', () => {
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

  test('sets it up, connects GitHub, sees the first delivery come, finds it in the ledger and replays it', async () => {
    const { page, errors, close } = await openPage(browser, service.url);
    await page.getByRole('link', { name: 'Add a source' }).click();
    await page.getByLabel('Setup token').fill(await tokenOf(service));
    await page.getByLabel('User name').fill(ADMIN.name);
    await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.getByRole('button', { name: 'Make the first admin' }).click();

    await page.getByRole('link', { name: 'Add a source' }).first().click();
    await page.getByRole('radio', { name: 'GitHub' }).check();
    await page.getByLabel('Name').fill('acme on GitHub');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Paste this at GitHub' }).waitFor();
    await page.getByText('Waiting for the first delivery…').waitFor();
    const url = await page.getByRole('group', { name: 'Address' }).innerText();
    const secret = await page.getByRole('group', { name: 'Secret' }).innerText();
    expect(url).toMatch(new RegExp(`^${service.url}/webhooks/github/.{8,}$`));

    await expect(service.github('ping', { zen: 'Keep it' }, { url, secret: 'not this one' })).rejects.toThrow('401');
    await page.getByText('A delivery came and was refused').waitFor();
    await service.github('workflow_run', runBody(rocket, 'in_progress'), { url, secret });
    await page.getByText('Deliveries are received').waitFor();

    await page.reload();
    await page.getByText('Deliveries are received').waitFor();
    expect(await page.content()).not.toContain(secret);
    const seen = await page.context().newPage();
    await seen.goto(service.url);
    await seen.getByText('acme/rocket').first().waitFor();

    await page.getByRole('link', { name: 'All deliveries of this source' }).click();
    const rows = page.getByRole('list', { name: 'Deliveries' }).getByRole('listitem');
    await expect.poll(() => rows.count(), SOON).toBe(2);
    await page.getByLabel('Outcome').selectOption('applied');
    await expect.poll(() => rows.count(), SOON).toBe(1);
    await rows.getByRole('link', { name: 'workflow_run' }).click();
    await page.getByText('verified').waitFor();
    await page.getByRole('link', { name: /^execution:/ }).waitFor();
    await page.getByRole('button', { name: /Show the body/ }).click();
    await page.getByText('"Fix the flaky retry"').waitFor();

    await page.getByRole('button', { name: 'Replay', exact: true }).click();
    await page.getByRole('heading', { name: 'Replays' }).waitFor();
    await page.getByRole('status').getByText('Replayed: applied').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('rotates a secret: the one before is good for a while', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/sources/new`);
    await signIn(page);
    await page.getByLabel('Name').fill('acme');
    await page.getByRole('button', { name: 'Make the source' }).click();
    const url = await page.getByRole('group', { name: 'Address' }).innerText();
    const before = await page.getByRole('group', { name: 'Secret' }).innerText();
    expect(await page.getByLabel('Warn after hours of silence').inputValue(), 'unless one says otherwise').toBe('24');

    await page.getByRole('button', { name: 'Rotate the secret' }).click();
    await dialog(page).getByRole('button', { name: 'Rotate, old one ends in 24 hours' }).click();
    await expect.poll(() => page.getByRole('group', { name: 'Secret' }).innerText(), SOON).not.toBe(before);
    const after = await page.getByRole('group', { name: 'Secret' }).innerText();

    await service.github('workflow_run', runBody(rocket, 'in_progress'), { url, secret: before });
    await service.github('workflow_run', runBody(rocket, 'success'), { url, secret: after });
    await page.getByText('Deliveries are received').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('finds a delivery in the ledger, looks into it and replays it', async () => {
    await setUp(service);
    await service.github('ping', { zen: 'Keep it logically awesome.' });
    await run(service, rocket, 'in_progress');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/deliveries?outcome=applied`);
    await signIn(page);
    const rows = page.getByRole('list', { name: 'Deliveries' }).getByRole('listitem');
    await rows.getByRole('link', { name: 'workflow_run' }).click();
    await page.getByText('verified', { exact: true }).waitFor();
    await page.getByRole('button', { name: /Show the body/ }).click();
    await page.getByText('"Fix the flaky retry"').waitFor();

    await page.getByRole('button', { name: 'Replay', exact: true }).click();
    await page.getByRole('heading', { name: 'Replays' }).waitFor();
    await page.getByRole('status').getByText('Replayed: applied').waitFor();
    await page
      .getByRole('link', { name: /^execution:/ })
      .first()
      .click();
    await page.getByRole('heading', { name: /Fix the flaky retry/ }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'workflow_run' }).waitFor();
    await page.goBack();
    expect(await page.getByLabel('Outcome').inputValue()).toBe('applied');
    await expect.poll(() => rows.count(), SOON).toBe(2);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('finds what one project has sent, and replays no more than that', async () => {
    await setUp(service);
    await run(service, rocket, 'in_progress');
    await run(service, { ...rocket, id: 2_001, repository: 'acme/lander' }, 'success');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/deliveries`);
    await signIn(page);
    const rows = page.getByRole('list', { name: 'Deliveries' }).getByRole('listitem');
    await expect.poll(() => rows.count(), SOON).toBe(2);
    const project = page.getByRole('combobox', { name: 'Project' });
    await project.selectOption('acme/lander');
    await expect.poll(() => rows.count(), SOON).toBe(1);

    await page.reload();
    await expect.poll(() => rows.count(), SOON).toBe(1);
    await expect.poll(() => project.locator('option:checked').innerText(), SOON).toBe('acme/lander');
    await page.getByRole('button', { name: 'Replay these…' }).click();
    await dialog(page).getByText('The filter finds 1 delivery.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await expect.poll(() => rows.count(), SOON).toBe(2);
    expect(await project.locator('option:checked').innerText()).toBe('Any');
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('opens a project to whoever is signed in, and says who may what in it', async () => {
    await setUp(service);
    await asAdmin(service, 'POST', '/users', { name: 'grace', role: null, password: 'a sentence for somebody' });
    await run(service, rocket, 'in_progress');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/projects`);
    await signIn(page);
    await page.getByRole('link', { name: 'acme/rocket' }).click();
    await page.getByRole('radio', { name: /Internal/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').getByText('Saved').waitFor();

    await page.getByLabel('User name').fill('nobody');
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText('There is nobody of this name.').waitFor();
    await page.getByLabel('User name').fill('grace');
    await page.keyboard.press('Enter');
    await page.getByLabel('Role of grace').selectOption('maintainer');
    await page.getByRole('status').getByText('grace is Maintainer now').waitFor();

    const hers = await openPage(browser, `${service.url}/manage`);
    await signIn(hers.page, { name: 'grace', password: 'a sentence for somebody' });
    const offered = await hers.page.getByRole('navigation', { name: 'Administration' }).getByRole('link').allInnerTexts();
    expect(offered).toEqual(['Deliveries', 'Projects', 'Pipelines', 'Tokens', 'My account']);
    await hers.close();

    await page.getByRole('button', { name: 'Remove grace' }).click();
    await dialog(page).getByRole('button', { name: 'Remove' }).click();
    await page.getByText('No members yet').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('replays what a filter finds, counted first', async () => {
    await setUp(service);
    for (const number of [1, 2, 3]) await run(service, { ...rocket, id: 2_000 + number, number }, 'success');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/deliveries`);
    await signIn(page);
    expect(await page.getByRole('button', { name: 'Replay these…' }).isDisabled()).toBe(true);

    await page.getByLabel('Event').fill('workflow_run');
    await page.getByRole('button', { name: 'Replay these…' }).click();
    await dialog(page).getByText('The filter finds 3 deliveries.').waitFor();
    await dialog(page).getByRole('button', { name: 'Replay 3 deliveries' }).click();
    await page.getByRole('status').getByText('3 deliveries are on their way again').waitFor();

    const rows = page.getByRole('list', { name: 'Deliveries' }).getByRole('listitem');
    await expect
      .poll(async () => {
        await page.getByRole('button', { name: 'Reload' }).click();
        return rows.count();
      }, SOON)
      .toBe(6);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('reads in the audit who changed a setting, and that no value was taken that does not fit', async () => {
    await setUp(service);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/settings`);
    await signIn(page);
    const bodies = page.getByLabel('retention.bodies', { exact: true });
    const row = page.getByRole('listitem').filter({ has: bodies });
    await bodies.fill('for ever');
    await row.getByRole('button', { name: 'Save' }).click();
    await expect.poll(() => bodies.getAttribute('aria-invalid'), SOON).toBe('true');
    await bodies.fill('3d');
    await row.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').getByText('retention.bodies is changed').waitFor();
    await row.getByText(/Set here/).waitFor();

    await page.getByRole('link', { name: 'Audit' }).click();
    await page.getByLabel('Action').fill('setting.update');
    const rows = page.getByRole('list', { name: 'Audit' }).getByRole('listitem');
    await expect.poll(() => rows.count(), SOON).toBe(1);
    await rows.locator('summary').click();
    await rows.getByRole('cell', { name: '3d' }).waitFor();
    expect(await rows.locator('summary').innerText()).toMatch(/setting\.update[\s\S]*retention\.bodies[\s\S]*\bada\b/);
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export' }).click()]);
    expect(file.suggestedFilename()).toBe('audit.ndjson');

    await page.getByRole('link', { name: 'Dead letters' }).click();
    await page.getByText('No dead letters').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('reads in the audit who it was by name, also when they are deleted, and finds what they did', async () => {
    await setUp(service);
    const grace = { name: 'grace', password: 'a sentence for rear admirals' };
    const { id } = await asAdmin<{ id: number }>(service, 'POST', '/users', { ...grace, role: 'admin' });
    await asAdmin(service, 'POST', '/sources', { host: 'github', name: 'acme on GitHub' }, grace);
    const { token } = await asAdmin<{ token: string }>(service, 'POST', '/tokens', { name: 'deploy', scopes: ['users:manage'] });
    const version = { 'If-Match': '*', Authorization: `Bearer ${token}` };
    const gone = await fetch(`${service.url}/admin/v1/users/${id}`, { method: 'DELETE', headers: version });
    expect(gone.status).toBe(204);
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/audit`);
    await signIn(page);
    const rows = page.getByRole('list', { name: 'Audit' }).getByRole('listitem');

    await expect.poll(() => rows.filter({ hasText: 'user.delete' }).innerText(), SOON).toMatch(/grace[\s\S]*ada by the token deploy/);
    await page.getByLabel('User, by name or number').fill('Grace');
    await expect.poll(() => rows.filter({ hasText: 'user.delete' }).count(), SOON).toBe(0);
    const made = rows.filter({ hasText: 'source.create' });
    expect(await made.locator('summary').innerText()).toMatch(/acme on GitHub[\s\S]*grace\s*\(deleted\)/);
    await made.locator('summary').press('Enter');
    await made.getByText(`user ${id}`, { exact: true }).waitFor();
    await page.getByLabel('User, by name or number').fill(String(id));
    await expect.poll(() => made.count(), SOON).toBe(1);
    // It is still open.
    await made.getByRole('link', { name: 'acme on GitHub' }).press('Enter');
    await page.getByRole('heading', { name: 'acme on GitHub' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });
});
