// Many things at a time in a real browser against the real service: chosen and changed, brought over by a plan, and what is given up.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { ADMIN, asAdmin, setUp, signIn } from './admin';
import { missing, openBrowser, openPage, own } from './browser';
import { run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
const SOON = { timeout: 10_000 };

function dialog(page: Page) {
  return page.getByRole('dialog');
}

function rows(page: Page, list: string) {
  return page.getByRole('list', { name: list }).getByRole('listitem');
}

/** The name of what has the focus. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const at = document.activeElement as HTMLInputElement | null;
    return at?.labels?.[0]?.textContent?.trim() || at?.getAttribute('aria-label') || at?.textContent?.trim() || at?.tagName || '';
  });
}

/** Makes the database refuse one kind of delivery, until the trigger is gone. */
const REFUSING = "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.event = 'ping' BEGIN SELECT RAISE(ABORT, 'not now'); END";

describe.skipIf(reason)('many at a time', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
  });
  beforeEach(async () => {
    service = await Service.start({ PIPECAST_FABRIC__QUEUE__MAX_FAILURES: '1', PIPECAST_AUTH__LOGIN_THROTTLE: 'false' });
    await setUp(service);
  });
  afterEach(async () => {
    await service?.remove();
  });

  test('sources are chosen, disabled, deleted and restored by keyboard alone', async () => {
    for (const name of ['one', 'two', 'three']) await asAdmin(service, 'POST', '/sources', { host: 'github', name });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/sources`);
    await signIn(page);
    await rows(page, 'Sources').nth(2).waitFor();

    for (const name of ['one', 'two']) {
      await page.getByRole('checkbox', { name: `Choose ${name}` }).focus();
      await page.keyboard.press('Space');
    }
    await page.getByRole('status').getByText('2 chosen').waitFor();
    await page.getByRole('button', { name: 'Disable' }).focus();
    await page.keyboard.press('Enter');
    await dialog(page).getByText('one, two').waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByRole('status').getByText('2 chosen').isVisible()).toBe(true);
    await expect.poll(() => focused(page), SOON).toBe('Choose all that are shown');
    await page.getByRole('button', { name: 'Disable' }).click();
    await dialog(page).getByRole('button', { name: 'Disable' }).press('Enter');
    await page.getByRole('status').getByText('Done to 2').waitFor();
    await expect.poll(() => page.getByText('disabled', { exact: true }).count(), SOON).toBe(2);
    await expect.poll(() => focused(page), SOON).toBe('Choose all that are shown');

    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog(page).getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Done to 3').waitFor();
    await page.getByLabel('Deleted ones').check();
    await rows(page, 'Sources').nth(2).waitFor();
    await page.getByLabel('Choose all that are shown').check();
    await page.getByRole('group', { name: 'Do the same to several' }).getByRole('button', { name: 'Restore' }).click();
    await dialog(page).getByRole('button', { name: 'Restore' }).click();
    await page.getByText('Nothing matches').waitFor();
    await page.getByLabel('Deleted ones').uncheck();
    await expect.poll(() => rows(page, 'Sources').count(), SOON).toBe(3);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('what cannot be done to one of many is said of that one, and the others are done', async () => {
    await asAdmin(service, 'POST', '/users', { name: 'grace', role: 'viewer' });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    await rows(page, 'Users').nth(1).waitFor();
    await page.getByLabel('Choose all that are shown').check();
    await page.getByRole('button', { name: 'Disable' }).click();
    await dialog(page).getByRole('button', { name: 'Disable' }).click();

    const alert = page.getByRole('alert').filter({ hasText: '1 could not be changed' });
    await alert.getByText(/ada: .*last admin/).waitFor();
    await expect.poll(() => page.getByText('disabled', { exact: true }).count(), SOON).toBe(1);
    const { items } = await asAdmin<{ items: { name: string }[] }>(service, 'GET', '/users?disabled=true&fields=name');
    expect(items).toEqual([{ name: 'grace' }]);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('two of one name that cannot be changed are both told, and the question stays what it was', async () => {
    const twins: { id: number }[] = [];
    for (let one = 0; one < 2; one++) twins.push(await asAdmin(service, 'POST', '/sources', { host: 'github', name: 'twin' }));
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/sources`);
    await signIn(page);
    await rows(page, 'Sources').nth(1).waitFor();
    await page.getByLabel('Choose all that are shown').check();
    await asAdmin(service, 'POST', '/sources/batch', { operations: twins.map(({ id }) => ({ op: 'delete', id, if_match: '*' })) });
    await page.getByRole('button', { name: 'Disable' }).click();
    const asked = page.evaluate(() => {
      const heading = document.querySelector('dialog[open] h2')!;
      return new Promise<string[]>((resolve) => {
        const said = [heading.textContent!];
        new MutationObserver(() => said.push(heading.textContent!)).observe(heading, {
          characterData: true,
          subtree: true,
          childList: true,
        });
        new MutationObserver(() => heading.isConnected || resolve(said)).observe(document.body, { childList: true, subtree: true });
      });
    });
    await dialog(page).getByRole('button', { name: 'Disable' }).click();

    const alert = page.getByRole('alert').filter({ hasText: '2 could not be changed' });
    await expect.poll(() => alert.getByRole('listitem').allInnerTexts(), SOON).toHaveLength(2);
    expect(new Set(await alert.getByRole('listitem').allInnerTexts()).size).toBe(1);
    expect(await asked).toEqual(['Disable: 2 chosen']);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('accounts are taken out and brought in, and what that would do is shown before', async () => {
    await asAdmin(service, 'POST', '/users', { name: 'grace', role: 'viewer' });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/users`);
    await signIn(page);
    const downloading = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    const download = await downloading;
    expect(download.suggestedFilename()).toBe('pipecast-users.ndjson');
    await page.getByRole('status').getByText('2 lines are exported').waitFor();

    await page.getByRole('button', { name: 'Import…' }).click();
    const lines = dialog(page).getByLabel('Or the lines themselves');
    await lines.fill('{"name":"ada","role":"admin"}\n{"name":"x","email":"nowhere"}\n{"nam":"y"}');
    await dialog(page).getByRole('button', { name: 'Show the plan' }).click();
    await dialog(page).getByText('line 3 nam there is no such field').waitFor();
    expect(await lines.getAttribute('aria-invalid')).toBe('true');
    await lines.fill('{"name":"ada","role":"admin"}\n{"name":"x","email":"nowhere"}');
    await dialog(page).getByRole('button', { name: 'Show the plan' }).click();
    await dialog(page).getByText('line 2 email This is no mail address.').waitFor();

    const file = { name: 'users.ndjson', mimeType: 'application/x-ndjson' };
    const text = '{"name":"ada","role":"admin"}\n{"name":"grace","role":"maintainer"}\n{"name":"linus","role":"viewer"}\n';
    await dialog(page)
      .getByLabel('File')
      .setInputFiles({ ...file, buffer: Buffer.from(text) });
    await expect.poll(() => lines.inputValue(), SOON).toBe(text);
    await dialog(page).getByRole('button', { name: 'Show the plan' }).click();
    const steps = dialog(page).getByRole('region', { name: 'Each line' }).getByRole('listitem');
    await expect.poll(() => steps.allInnerTexts(), SOON).toHaveLength(3);
    await expect.poll(() => focused(page), SOON).toBe('What it would change');
    expect((await steps.allInnerTexts()).map((step) => step.replace(/\s+/g, ' '))).toEqual([
      'as it is ada line 1',
      'changed grace line 2 becomes different: role needs a password',
      'new linus line 3 needs a password',
    ]);
    const count = async (): Promise<number> => (await asAdmin<{ items: unknown[] }>(service, 'GET', '/users')).items.length;
    expect(await count()).toBe(2);

    await dialog(page).getByRole('button', { name: 'Back' }).click();
    expect(await lines.inputValue()).toBe(text);
    await dialog(page).getByRole('button', { name: 'Show the plan' }).click();
    await dialog(page).getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('status').getByText('1 is made. 1 is changed.').waitFor();
    await page.getByRole('link', { name: 'linus' }).waitFor();
    expect(await count()).toBe(3);
    await expect.poll(() => focused(page), SOON).toBe('Import…');
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('sources and projects are brought in, and a token is shown once', async () => {
    await run(service, { id: 901, repository: 'acme/rocket', workflow: 'CI', number: 1, title: 'One', began: 90 }, 'success');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/sources`);
    await signIn(page);
    const bring = async (lines: string): Promise<void> => {
      await page.getByRole('button', { name: 'Import…' }).click();
      await dialog(page).getByLabel('Or the lines themselves').fill(lines);
      await dialog(page).getByRole('button', { name: 'Show the plan' }).click();
    };
    await bring('{"host":"gitlab","key":"moved","name":"moved here"}');
    await dialog(page).getByText('needs a secret').waitFor();
    await dialog(page).getByRole('button', { name: 'Apply' }).click();
    await rows(page, 'Sources').getByText('moved here').waitFor();

    await page.goto(`${service.url}/manage/projects`);
    const place = '{"host":"github","source":"default","external_id":"nowhere"}';
    await bring(`{"place":${place},"name":"acme/none","visibility":"internal"}`);
    await dialog(page).getByText('passed over', { exact: true }).waitFor();
    await dialog(page).getByRole('button', { name: 'Close' }).last().click();

    await page.goto(`${service.url}/manage/tokens`);
    await bring(`{"user_name":"${ADMIN.name}","name":"deploy","scopes":["pipelines:read"],"expires_at":"2099-01-01T00:00:00Z"}`);
    await dialog(page).getByRole('button', { name: 'Apply' }).click();
    await dialog(page).getByText('It is shown this once.').waitFor();
    const token = await dialog(page).locator('pre').innerText();
    await page.keyboard.press('Escape');
    expect(await dialog(page).isVisible()).toBe(true);
    const read = (): Promise<number> =>
      fetch(`${service.url}/api/v1/pipelines`, { headers: { Authorization: `Bearer ${token}` } }).then((answer) => answer.status);
    expect(await read()).toBe(200);
    await dialog(page).getByRole('button', { name: 'I have kept them' }).click();
    expect(await page.content()).not.toContain(token);

    await page.getByRole('checkbox', { name: 'Choose deploy' }).check();
    await page.getByRole('group', { name: 'Do the same to several' }).getByRole('button', { name: 'End' }).click();
    await dialog(page).getByRole('button', { name: 'End' }).click();
    await page.getByText('No tokens').waitFor();
    await expect.poll(read, SOON).toBe(401);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('projects are archived together, and a pipeline gets a name of its own', async () => {
    await run(service, { id: 901, repository: 'acme/rocket', workflow: 'CI', number: 1, title: 'One', began: 90 }, 'success');
    await run(service, { id: 902, repository: 'acme/lander', workflow: 'CI', number: 1, title: 'One', began: 90 }, 'success');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/projects`);
    await signIn(page);
    await rows(page, 'Projects').nth(1).waitFor();
    await page.getByLabel('Choose all that are shown').check();
    await page.getByRole('button', { name: 'Archive', exact: true }).click();
    await dialog(page).getByRole('button', { name: 'Archive' }).click();
    await expect.poll(() => page.getByText('archived', { exact: true }).count(), SOON).toBe(2);
    await page.getByRole('combobox', { name: 'Archived' }).selectOption('true');
    await page.getByRole('checkbox', { name: 'Choose acme/rocket' }).check();
    await page.getByRole('button', { name: 'Bring back' }).click();
    await dialog(page).getByRole('button', { name: 'Bring back' }).click();
    await expect.poll(() => rows(page, 'Projects').allInnerTexts(), SOON).toHaveLength(1);

    await page.getByRole('link', { name: 'Pipelines', exact: true }).last().click();
    await rows(page, 'Pipelines').nth(1).waitFor();
    await rows(page, 'Pipelines').filter({ hasText: 'acme/rocket' }).getByRole('button', { name: 'Change CI' }).press('Enter');
    expect(await focused(page)).toBe('Name here');
    await page.keyboard.type('Nightly');
    await page.keyboard.press('Enter');
    await rows(page, 'Pipelines').getByText('at the host: CI').waitFor();
    await page.getByRole('button', { name: 'Archive Nightly' }).click();
    await page.getByRole('button', { name: 'Bring Nightly back' }).waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('a pipeline is hidden from whoever is no member, by keyboard alone, and keeps that when it gets a name', async () => {
    await run(service, { id: 901, repository: 'acme/rocket', workflow: 'CI', number: 1, title: 'One', began: 90 }, 'success');
    await run(service, { id: 902, repository: 'acme/rocket', workflow: 'Nightly', number: 1, title: 'One', began: 90 }, 'success');
    const listed = async <T>(path: string): Promise<T[]> => (await asAdmin<{ items: T[] }>(service, 'GET', path)).items;
    await expect.poll(() => listed('/pipelines'), SOON).toHaveLength(2);
    await asAdmin(service, 'POST', '/projects/batch', {
      operations: [{ op: 'update', id: 1, if_match: '"v1"', body: { visibility: 'internal' } }],
    });
    const outsider = { name: 'olga', password: 'a sentence for somebody outside' };
    await asAdmin(service, 'POST', '/users', outsider);
    const seen = async (): Promise<string[]> => {
      const { items } = await asAdmin<{ items: { name: string }[] }>(service, 'GET', '/pipelines?sort=name', undefined, outsider);
      return items.map((one) => one.name);
    };
    await expect.poll(seen, SOON).toEqual(['CI', 'Nightly']);

    const { page, errors, close } = await openPage(browser, `${service.url}/manage/pipelines`);
    await signIn(page);
    const nightly = rows(page, 'Pipelines').filter({ hasText: 'Nightly' });
    await nightly.getByRole('button', { name: 'Change Nightly' }).press('Enter');
    const sight = dialog(page).getByRole('group', { name: 'Who sees it' });
    await sight.getByRole('radio', { name: /^As its project/ }).focus();
    await page.keyboard.press('ArrowDown');
    expect(await sight.getByRole('radio', { name: /^Private/ }).isChecked()).toBe(true);
    await sight.getByText('even where the project is internal').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('Saved').waitFor();
    await nightly.getByText('Private', { exact: true }).waitFor();
    expect(await rows(page, 'Pipelines').getByText('Private', { exact: true }).count()).toBe(1);
    await expect.poll(seen, SOON).toEqual(['CI']);

    await page.getByRole('combobox', { name: 'Visibility' }).selectOption('private');
    await expect.poll(() => rows(page, 'Pipelines').count(), SOON).toBe(1);
    await nightly.getByRole('button', { name: 'Change Nightly' }).click();
    await dialog(page).getByRole('textbox', { name: 'Name here' }).fill('Moon');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await rows(page, 'Pipelines').getByText('at the host: Nightly').waitFor();
    expect(await seen()).toEqual(['CI']);

    await page.getByRole('button', { name: 'Change Moon' }).click();
    await dialog(page)
      .getByRole('radio', { name: /^As its project/ })
      .check();
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await page.getByText('Nothing matches').waitFor();
    await expect.poll(seen, SOON).toEqual(['CI', 'Moon']);
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('targets and policies are made, changed and taken away', async () => {
    await run(service, { id: 901, repository: 'acme/rocket', workflow: 'CI', number: 1, title: 'One', began: 90 }, 'success');
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/targets`);
    await signIn(page);
    await page.getByRole('button', { name: 'Add a target' }).click();
    expect(await focused(page)).toBe('Name');
    await page.keyboard.type('crew');
    for (const status of ['Failed', 'Error', 'Timed out']) await dialog(page).getByLabel(status).uncheck();
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await dialog(page).getByText('This cannot be empty.').waitFor();
    await dialog(page).getByLabel('Failed').check();
    await dialog(page).getByRole('combobox', { name: 'Project' }).selectOption('acme/rocket');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await rows(page, 'Notifications').getByText('acme/rocket').waitFor();
    await page.getByRole('button', { name: 'Change crew' }).click();
    await dialog(page).getByLabel('It is told').uncheck();
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await rows(page, 'Notifications').getByText('disabled').waitFor();
    await page.getByRole('button', { name: 'Delete crew' }).click();
    await dialog(page).getByRole('button', { name: 'Delete' }).click();
    await page.getByText('No targets yet').waitFor();

    await page.goto(`${service.url}/manage/retention`);
    await page.getByRole('button', { name: 'Add a policy' }).click();
    await dialog(page).getByRole('combobox', { name: 'Project' }).selectOption('acme/rocket');
    await dialog(page).getByLabel('Bodies of deliveries').fill('ninety days');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await dialog(page)
      .getByText(/write a duration/)
      .waitFor();
    expect(await focused(page)).toBe('Bodies of deliveries');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('90d');
    await page.keyboard.press('Enter');
    await rows(page, 'Retention').getByText('Bodies of deliveries: 90d').waitFor();
    await page.getByRole('button', { name: 'Remove the policy of acme/rocket' }).click();
    await dialog(page).getByRole('button', { name: 'Remove' }).click();
    await page.getByText('No policies').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('who gets mail is written a line each, checked by its line, shown, and taken away', async () => {
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/targets`);
    await signIn(page);
    await page.getByRole('button', { name: 'Add a target' }).click();
    await page.keyboard.type('crew');
    await dialog(page).getByRole('combobox', { name: 'Way' }).selectOption('email');
    const mail = dialog(page).getByRole('textbox', { name: 'Addresses' });
    await mail.fill('ada@example.org\nnobody\n');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await dialog(page).getByText('Entry 2: This is no mail address.').waitFor();
    expect(await focused(page)).toBe('Addresses');
    await mail.fill('ada@example.org, bob@example.org\ncy@example.org\ndi@example.org');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await rows(page, 'Notifications').getByText('ada@example.org, bob@example.org, cy@example.org, +1').waitFor();

    await page.getByRole('button', { name: 'Change crew' }).click();
    expect((await mail.inputValue()).split('\n')).toEqual(['ada', 'bob', 'cy', 'di'].map((name) => `${name}@example.org`));
    await mail.fill('');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await rows(page, 'Notifications').getByText('no address yet').waitFor();
    expect(own(errors)).toEqual([]);
    await close();
  });

  test('deliveries that were given up are looked at, one is tried again and one is dropped', async () => {
    service.alter(REFUSING);
    await service.github('ping', { zen: 'Keep it logically awesome.' });
    await service.github('ping', { zen: 'Anything added dilutes everything else.' });
    const { page, errors, close } = await openPage(browser, `${service.url}/manage/dead-letters`);
    await signIn(page);
    const letters = rows(page, 'Dead letters');
    await expect
      .poll(async () => {
        await page.reload();
        await page.getByRole('heading', { name: 'Dead letters' }).waitFor();
        await page.getByText(/No dead letters|Choose all that are shown/).waitFor();
        return letters.count();
      }, SOON)
      .toBe(2);
    expect(await letters.first().innerText()).toMatch(/ping[\s\S]*not now[\s\S]*failed 1 time/);

    // What was sent is nowhere else, so it is looked into before anything is done about it.
    await letters.first().getByRole('link', { name: 'ping' }).press('Enter');
    await page.getByText('x-github-event').waitFor();
    await page.getByRole('button', { name: /Show the body/ }).press('Enter');
    await page.getByText(/"zen": "(Keep it logically awesome|Anything added dilutes everything else)\."/).waitFor();
    await page.goBack();
    await letters.nth(1).waitFor();

    // Not healed yet: it comes back.
    await letters.first().getByRole('checkbox').focus();
    await page.keyboard.press('Space');
    const middle = (text: string): Promise<number> =>
      page.getByText(text, { exact: true }).evaluate((element) => {
        const { top, height } = element.getBoundingClientRect();
        return top + height / 2;
      });
    expect(Math.abs((await middle('1 chosen')) - (await middle('Choose all that are shown')))).toBeLessThan(2);
    await page.getByRole('button', { name: 'Retry' }).press('Enter');
    await dialog(page).getByRole('button', { name: 'Retry' }).press('Enter');
    await page.getByRole('status').getByText('1 is tried again').waitFor();
    const buried = async (): Promise<number> => (await asAdmin<{ items: unknown[] }>(service, 'GET', '/dead-letters')).items.length;
    await expect.poll(buried, SOON).toBe(2);

    service.alter('DROP TRIGGER refuses');
    await page.reload();
    await letters.nth(1).waitFor();
    await letters.first().getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Retry' }).click();
    await dialog(page).getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('status').getByText('1 is tried again').waitFor();
    const ledger = async (): Promise<string[]> =>
      (await asAdmin<{ items: { outcome: string }[] }>(service, 'GET', '/deliveries?event=ping')).items.map((one) => one.outcome);
    await expect.poll(ledger, SOON).toEqual(['ping']);

    await expect.poll(() => letters.count(), SOON).toBe(1);
    await letters.first().getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Drop' }).click();
    await dialog(page).getByText('gone for ever').waitFor();
    await dialog(page).getByRole('button', { name: 'Drop' }).click();
    await page.getByText('No dead letters').waitFor();
    expect(await buried()).toBe(0);
    expect(await ledger()).toEqual(['ping']);
    expect(own(errors)).toEqual([]);
    await close();
  });
});
