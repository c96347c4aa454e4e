// Every page of the managing part in both themes, both languages and both widths: nothing hangs over the edge, every word can be read,
// nothing complains. The pictures are kept for looking at (SCREENSHOTS names the folder).
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ADMIN, asAdmin, comeIn, setUp } from './admin';
import { missing, openBrowser, SCREENSHOTS } from './browser';
import { lookAt } from './looks';
import { run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);

describe.skipIf(reason)('the managing part looks right', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser();
    service = await Service.start({ PIPECAST_FABRIC__QUEUE__MAX_FAILURES: '1', PIPECAST_AUTH__LOGIN_THROTTLE: 'false' });
  });
  afterAll(async () => {
    await browser?.close();
    await service?.remove();
    console.log(`screenshots: ${SCREENSHOTS}`);
  });

  const inEveryLook = (name: string, path: string, ready: (page: Page) => Promise<unknown>): Promise<void> =>
    lookAt(browser, name, service.url + path, async (page) => {
      await comeIn(page);
      await ready(page);
    });

  test('to those who are not in yet', async () => {
    await lookAt(browser, 'setup', `${service.url}/setup`, (page) => page.locator('form').waitFor());
    await setUp(service);
    await lookAt(browser, 'login', `${service.url}/login`, (page) => page.locator('form').waitFor());
    await lookAt(browser, 'setup-done', `${service.url}/setup`, (page) => page.locator('.notice').waitFor());
  }, 120_000);

  test('with accounts', async () => {
    const people = [
      { name: 'grace', display_name: 'Grace Hopper', email: 'grace@example.org', role: 'maintainer', password: 'a sentence for somebody' },
      { name: 'linus.with.a.name.that.goes.on.and.on', display_name: null, email: null, role: 'viewer', password: null },
      { name: '李雷', display_name: '李雷', email: 'lilei@example.cn', role: null, password: 'a sentence for somebody' },
      { name: 'screen-in-the-hall', display_name: null, email: null, role: 'wallboard', password: 'a sentence for somebody' },
    ];
    const made = [];
    for (const person of people) made.push(await asAdmin<{ id: number }>(service, 'POST', '/users', person));
    await asAdmin(service, 'POST', '/tokens', { name: 'deploy', scopes: ['pipelines:read', 'deliveries:read', 'deliveries:replay'] });
    await asAdmin(service, 'POST', '/tokens', { name: 'a wallboard in the hall', scopes: ['pipelines:read'], expires_in_days: 1 });

    await inEveryLook('users', '/manage/users', (page) => page.locator('.rows li').nth(3).waitFor());
    await inEveryLook('users-new', '/manage/users', async (page) => {
      await page.locator('.rows li').first().waitFor();
      await page.locator('.page header button.main').click();
      await page.locator('dialog[open] form').waitFor();
    });
    await inEveryLook('user', `/manage/users/${made[0]!.id}`, (page) => page.locator('form').nth(1).waitFor());
    await inEveryLook('tokens', '/manage/tokens', (page) => page.locator('.rows li').nth(1).waitFor());
    await inEveryLook('tokens-new', '/manage/tokens', async (page) => {
      await page.locator('.page header button.main').click();
      await page.locator('dialog[open] form').waitFor();
    });
    await inEveryLook('account', '/manage/account', (page) => page.locator('.rows li').first().waitFor());
    await inEveryLook('missing', '/manage/nowhere', (page) => page.locator('.notice').waitFor());
    expect(made).toHaveLength(people.length);
  }, 300_000);

  test('with a ledger', async () => {
    await service.github('ping', { zen: 'Keep it logically awesome.' });
    for (const number of [1, 2, 3]) {
      await run(
        service,
        { id: 900 + number, repository: 'acme/rocket', workflow: 'CI', number, title: '修复上传重试的竞态条件', began: 90 },
        'success',
      );
    }
    await service.github('star', { action: 'created' });
    const other = { url: `${service.url}/webhooks/github`, secret: 'not this one' };
    await service.github('workflow_run', {}, other).catch(() => undefined);
    const { items } = await asAdmin<{ items: { id: string; event: string }[] }>(service, 'GET', '/deliveries?outcome=applied');
    await asAdmin(service, 'POST', `/deliveries/${items[0]!.id}/replay`);

    await inEveryLook('deliveries', '/manage/deliveries', (page) => page.locator('.rows li').nth(5).waitFor());
    await inEveryLook('delivery', `/manage/deliveries/${items[0]!.id}`, async (page) => {
      await page.locator('#replays').waitFor();
      await page.locator('.body button').click();
      await page.locator('.body pre').waitFor();
    });
    await inEveryLook('replay', '/manage/deliveries?event=workflow_run', async (page) => {
      await page.locator('.rows li').first().waitFor();
      await page.locator('.page header button').last().click();
      await page.locator('dialog[open] button.main').waitFor();
    });
    await inEveryLook('dead-letters', '/manage/dead-letters', (page) => page.locator('.notice').waitFor());
    await inEveryLook('audit', '/manage/audit', async (page) => {
      await page.locator('.rows li').first().waitFor();
      await page.locator('summary').first().click();
    });
    await asAdmin(service, 'POST', '/retention-policies', { project_id: 1, bodies: '90d' });
    const target = {
      name: 'a team with a name that goes on and on and does not end for a while',
      statuses: ['failure', 'error', 'timed_out'],
    };
    const recipients = ['ada.lovelace.with.a.long.name@mail.example.org', 'bob@example.org', 'cy@example.org', 'di@example.org'];
    await asAdmin(service, 'POST', '/notification-targets', { ...target, kind: 'email', project_id: 1, recipients });
    await asAdmin(service, 'POST', '/notification-targets', {
      ...target,
      kind: 'slack',
      url: 'https://hooks.example.org/x',
      enabled: false,
    });
    await inEveryLook('targets', '/manage/targets', (page) => page.locator('.rows li').nth(1).waitFor());
    await inEveryLook('targets-change', '/manage/targets', async (page) => {
      await page.locator('.rows li').first().locator('button').first().click();
      await page.locator('dialog[open] textarea').waitFor();
    });
    await inEveryLook('retention', '/manage/retention', (page) => page.locator('.rows li').first().waitFor());
    await inEveryLook('pipelines', '/manage/pipelines', (page) => page.locator('.rows li').first().waitFor());
    await inEveryLook('settings', '/manage/settings', (page) => page.locator('.rows li').first().waitFor());
  }, 300_000);

  test('with sources', async () => {
    await inEveryLook('sources-none', '/manage/sources', (page) => page.locator('.page .notice, .page .rows').first().waitFor());
    const make = (body: object): Promise<Made> => asAdmin<Made>(service, 'POST', '/sources', body);
    const github = await make({ host: 'github', name: 'acme on GitHub' });
    await make({ host: 'gitlab', name: '星辰 on GitLab, by a name that goes on and on', silent_after_hours: 24 });
    await make({ host: 'github', name: 'not believed for now', enabled: false });
    const to = { url: service.url + github.path, secret: github.secret };
    await service.github('ping', { zen: 'Keep it logically awesome.' }, to);

    await inEveryLook('sources', '/manage/sources', (page) => page.locator('.rows li').nth(3).waitFor());
    await inEveryLook('sources-new', '/manage/sources/new', (page) => page.locator('.page form').waitFor());
    await inEveryLook('source', `/manage/sources/${github.id}`, (page) => page.locator('[data-is="received"]').waitFor());
    await inEveryLook('projects', '/manage/projects', (page) => page.locator('.rows li').first().waitFor());
    const { items } = await asAdmin<{ items: { id: number }[] }>(service, 'GET', '/projects');
    await asAdmin(service, 'POST', `/projects/${items[0]!.id}/members`, { user_name: 'grace', role: 'maintainer' });
    await inEveryLook('project', `/manage/projects/${items[0]!.id}`, (page) => page.locator('.rows li').first().waitFor());
    await inEveryLook('source-waiting', '/manage/sources/new', async (page) => {
      await page.locator('.page form input:not([type=number])').last().fill('acme on GitHub');
      await page.keyboard.press('Enter');
      await page.locator('[data-is="waiting"] .more').filter({ hasText: /\S/ }).waitFor();
    });
  }, 300_000);

  test('with pipelines', async () => {
    const told = { id: 991, repository: 'acme/rocket', workflow: 'Nightly measurements of everything that flies', number: 1, began: 90 };
    await run(service, told, 'success');
    const listed = (): Promise<{ items: { id: number }[] }> => asAdmin(service, 'GET', '/pipelines?q=Nightly');
    await expect.poll(async () => (await listed()).items.length, { timeout: 10_000 }).toBe(1);
    await asAdmin(service, 'PATCH', `/pipelines/${(await listed()).items[0]!.id}`, { visibility: 'private' }, ADMIN, '"v1"');

    await inEveryLook('pipelines', '/manage/pipelines', (page) => page.locator('.rows .tag').first().waitFor());
    await inEveryLook('pipelines-change', '/manage/pipelines', async (page) => {
      await page.locator('.rows li').first().waitFor();
      await page.locator('.rows li button').first().click();
      await page.locator('dialog[open] input[type=radio]').first().waitFor();
    });
  }, 300_000);

  test('with many at a time', async () => {
    const tick = async (page: Page): Promise<void> => {
      await page.locator('.rows li').first().waitFor();
      await page.locator('.page .bar input').check();
      await page.locator('.page .bar button').first().waitFor();
    };

    for (const room of ['sources', 'users', 'tokens', 'projects']) await inEveryLook(`${room}-chosen`, `/manage/${room}`, tick);
    await inEveryLook('batch-ask', '/manage/users', async (page) => {
      await tick(page);
      await page.locator('.page .bar button').last().click();
      await page.locator('dialog[open] form').waitFor();
    });
  }, 600_000);

  test('with what was given up', async () => {
    service.alter("CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.event = 'ping' BEGIN SELECT RAISE(ABORT, 'not now'); END");
    for (const zen of ['one', 'two']) await service.github('ping', { zen });
    await inEveryLook('dead-letters-some', '/manage/dead-letters', async (page) => {
      await expect
        .poll(
          async () => {
            await page.reload();
            await page.locator('.page .notice, .page .rows').first().waitFor();
            return page.locator('.rows li').count();
          },
          { timeout: 20_000 },
        )
        .toBe(2);
      await page.locator('.rows input').first().check();
    });
    const { items } = await asAdmin<{ items: { id: string }[] }>(service, 'GET', '/dead-letters');
    await inEveryLook('dead-letter', `/manage/dead-letters/${items[0]!.id}`, (page) => page.locator('.body').waitFor());
  }, 180_000);
});

interface Made {
  id: number;
  path: string;
  secret: string;
}
