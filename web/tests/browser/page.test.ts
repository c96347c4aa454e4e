// The page in a real browser against the real service: what a delivery, a crash, a key and a choice do to it.
import { execFileSync } from 'node:child_process';

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { missing, openBrowser, openPage, own } from './browser';
import { gitlabPipeline, job, run, type Run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);
if (reason) console.warn(`browser tests are left out: ${reason}`);

const rocket: Run = { id: 1001, repository: 'acme/rocket', workflow: 'CI', number: 12, title: 'Fix the flaky retry', began: 20 };

/** Both languages and both themes, each with its words. */
const LOOKS = [
  {
    options: { locale: 'en-US', colorScheme: 'light' },
    words: { running: 'Running', failed: 'Failed', passed: 'Passed', first: 'Waiting for the first webhook', s15: '15s', retry: 'Try now' },
    said: { reconnecting: 'Reconnecting', stale: 'Stale', silent: 'silent for long', lost: 'Its end may have been lost' },
  },
  {
    options: { locale: 'zh-CN', colorScheme: 'dark' },
    words: { running: '运行中', failed: '失败', passed: '通过', first: '等待第一个 Webhook', s15: '15秒', retry: '立即重试' },
    said: { reconnecting: '正在重连', stale: '数据可能已过时', silent: '久无消息', lost: '结束通知可能已丢失' },
  },
] as const;

/** The row of a pipeline in the list. */
function row(page: Page, name: string) {
  return page.locator('.row', { hasText: name });
}

async function live(page: Page): Promise<void> {
  await page.locator('header [data-phase="live"]').waitFor();
}

function phase(page: Page, is: string, timeout = 30_000): Promise<void> {
  return page.locator(`header [data-phase="${is}"]`).waitFor({ timeout });
}

/** Of this one nothing more is heard while the other tests run; what is stale is looked for once a minute. */
let silent: Service;

beforeAll(async () => {
  if (reason) return;
  silent = await Service.start({ PIPECAST_RETENTION__STALE_AFTER: '1s' });
  await run(silent, rocket, 'in_progress');
});
afterAll(async () => {
  await silent?.remove();
});

describe.skipIf(reason)('the page', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
  });
  beforeEach(async () => {
    service = await Service.start({ PIPECAST_LIVE__PING: '1s' });
  });
  afterEach(async () => {
    await service?.remove();
  });

  test.each(LOOKS)('a posted delivery changes it within a moment ($options.locale, $options.colorScheme)', async ({ options, words }) => {
    const { page, errors, close } = await openPage(browser, service.url, options);
    await page.getByRole('heading', { name: words.first }).waitFor();

    await run(service, rocket, 'in_progress');
    await row(page, 'acme/rocket').locator('.state', { hasText: words.running }).waitFor();
    const first = await row(page, 'acme/rocket').locator('.length').innerText();
    await expect.poll(() => row(page, 'acme/rocket').locator('.length').innerText(), { timeout: 5_000 }).not.toBe(first);

    await run(service, rocket, 'failure', 15);
    await row(page, 'acme/rocket').locator('.state', { hasText: words.failed }).waitFor();
    expect(await row(page, 'acme/rocket').locator('.length').innerText()).toBe(words.s15);
    expect(await row(page, 'acme/rocket').innerText()).toMatch(/#12\s+Fix the flaky retry/);
    expect(errors).toEqual([]);
    await close();
  });

  test('the command that an empty page shows sends the first webhook', async () => {
    const { page, close } = await openPage(browser, service.url);
    const command = await page.locator('pre', { hasText: 'openssl' }).innerText();

    execFileSync('sh', ['-ec', command.replace('your-webhook-secret', "'pl4nted: a secret of GitHub'").replace('curl ', 'curl -fsS ')]);

    await row(page, 'acme/rocket').locator('.state', { hasText: 'Running' }).waitFor();
    await close();
  });

  test.each(LOOKS)(
    'a killed service shows as reconnecting, and the page resumes with what it missed ($options.locale)',
    async ({ options, words, said }) => {
      await run(service, rocket, 'in_progress');
      const list = await openPage(browser, service.url, options);
      const one = await openPage(browser, `${service.url}/executions/1`, options);
      await live(list.page);
      await one.page.getByRole('heading', { name: 'Fix the flaky retry' }).waitFor();

      await service.kill();
      await Promise.all([phase(list.page, 'reconnecting'), phase(one.page, 'reconnecting')]);
      await list.page.getByRole('button', { name: words.retry }).waitFor();
      expect(await list.page.locator('header [role="status"]').innerText()).toBe(said.reconnecting);

      await service.again();
      await run(service, rocket, 'success', 10);
      await Promise.all([live(list.page), live(one.page)]);
      await row(list.page, 'acme/rocket').locator('.state', { hasText: words.passed }).waitFor();
      await one.page.locator('header .state', { hasText: words.passed }).waitFor();
      expect(own([...list.errors, ...one.errors])).toEqual([]);
      await list.close();
      await one.close();
    },
  );

  test.each(LOOKS)(
    'a silent connection is called stale, and is live again once it speaks ($options.locale)',
    async ({ options, words, said }) => {
      await run(service, rocket, 'in_progress');
      const { page, close } = await openPage(browser, service.url, options);
      await live(page);

      service.freeze();
      await phase(page, 'stale');
      expect(await page.locator('header [data-phase]').innerText()).toContain(said.stale);

      service.thaw();
      await live(page);
      await run(service, rocket, 'success', 10);
      await row(page, 'acme/rocket').locator('.state', { hasText: words.passed }).waitFor();
      await close();
    },
  );

  test('no network is called offline', async () => {
    const { page, close } = await openPage(browser, service.url);
    await live(page);

    await page.context().setOffline(true);
    await phase(page, 'offline');
    await page.context().setOffline(false);
    await live(page);
    await close();
  });

  test('an execution shows its jobs and steps while they run', async () => {
    await run(service, rocket, 'in_progress');
    await job(service, rocket, 5, 'test (stable)', [
      { name: 'Set up job', status: 'success', from: 1, to: 3 },
      { name: 'cargo test', status: 'in_progress', from: 3 },
    ]);
    await job(service, rocket, 6, 'docs', [{ name: 'cargo doc', status: 'success', from: 1, to: 4 }]);
    const { page, errors, close } = await openPage(browser, `${service.url}/executions/1`);

    // What runs is open by itself, what has passed is closed.
    await page.locator('.step[data-status="running"]', { hasText: 'cargo test' }).waitFor();
    expect(await page.getByText('cargo doc').count()).toBe(0);
    await page.getByRole('button', { name: 'docs' }).click();
    await page.getByText('cargo doc').waitFor();

    await job(service, rocket, 5, 'test (stable)', [
      { name: 'Set up job', status: 'success', from: 1, to: 3 },
      { name: 'cargo test', status: 'failure', from: 3, to: 12 },
    ]);
    await run(service, rocket, 'failure', 14);
    await page.locator('.step[data-status="failure"]', { hasText: 'cargo test' }).waitFor();
    await page.locator('header .state', { hasText: 'Failed' }).waitFor();
    expect(errors).toEqual([]);
    await close();
  });

  test('a second attempt is reached from the first, and the pipeline lists both', async () => {
    await run(service, rocket, 'failure', 10);
    const { page, errors, close } = await openPage(browser, `${service.url}/executions/1`);
    await page.getByRole('heading', { name: 'Fix the flaky retry' }).waitFor();

    await run(service, { ...rocket, attempt: 2, began: 5 }, 'in_progress');
    await page.goto(`${service.url}/pipelines/1`);
    await page.locator('li[data-status="running"]', { hasText: 'Attempt 2' }).waitFor();
    await page.locator('li[data-status="failure"]', { hasText: 'Fix the flaky retry' }).getByRole('link').click();
    await page.getByRole('navigation', { name: 'Attempts' }).getByRole('link', { name: 'Attempt 2' }).click();
    await page.locator('header .state', { hasText: 'Running' }).waitFor();

    // A third one joins a pipeline's list without a reload.
    await page.goto(`${service.url}/pipelines/1`);
    await page.locator('li[data-status="running"]').waitFor();
    await run(service, { ...rocket, id: 1002, number: 13, title: 'Next please', began: 0 }, 'queued');
    await page.locator('li[data-status="queued"]', { hasText: 'Next please' }).waitFor();
    expect(errors).toEqual([]);
    await close();
  });

  test('a pipeline that nobody has heard of appears once somebody has', async () => {
    const { page, close } = await openPage(browser, `${service.url}/pipelines/1`);
    await page.getByRole('heading', { name: 'Nothing is known of this pipeline' }).waitFor();

    await run(service, rocket, 'in_progress');
    await page.getByRole('heading', { name: 'CI' }).waitFor();
    await close();
  });

  test('the keyboard reaches everything', async () => {
    await run(service, { ...rocket, id: 1, repository: 'acme/first', began: 300 }, 'success');
    await run(service, { ...rocket, id: 2, repository: 'acme/second', began: 200 }, 'failure');
    await run(service, { ...rocket, id: 3, repository: 'acme/third', began: 100 }, 'in_progress');
    const { page, errors, close } = await openPage(browser, service.url);
    await row(page, 'acme/third').waitFor();
    const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.textContent?.replace(/\s+/g, ' ').trim() ?? '');

    await page.keyboard.press('j');
    expect(await focused()).toContain('acme/third');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('j');
    expect(await focused()).toContain('acme/first');
    await page.keyboard.press('k');
    expect(await focused()).toContain('acme/second');

    await page.keyboard.press('Enter');
    await page.locator('header .state', { hasText: 'Failed' }).waitFor();
    await page.keyboard.press('Escape');
    await row(page, 'acme/second').waitFor();
    await expect.poll(focused).toContain('acme/second');
    await page.keyboard.press('p');
    await page.getByRole('heading', { name: 'CI' }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/pipelines/2');
    await page.keyboard.press('Escape');
    await row(page, 'acme/second').waitFor();

    await page.keyboard.press('/');
    await page.keyboard.type('third');
    await expect.poll(() => page.locator('.row').count()).toBe(1);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.locator('.row').count()).toBe(3);
    await page.keyboard.press('Escape');

    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(errors).toEqual([]);
    await close();
  });

  test('filters live in the address and survive a reload', async () => {
    await run(service, { ...rocket, id: 1, repository: 'acme/first', began: 300 }, 'success');
    await run(service, { ...rocket, id: 2, repository: 'acme/second', began: 200 }, 'failure');
    await gitlabPipeline(service, '星辰/支付网关', 88, 'failed', [
      { id: 1, stage: 'build', name: 'compile', status: 'failed', from: 0, to: 20 },
    ]);
    const { page, errors, close } = await openPage(browser, service.url);

    await page.getByRole('button', { name: /^Failed/ }).click();
    await expect.poll(() => page.locator('.row').count()).toBe(2);
    await page.getByRole('button', { name: 'GitLab' }).click();
    await page.getByRole('textbox').fill('支付');
    await expect.poll(() => page.locator('.row').count()).toBe(1);
    expect(decodeURIComponent(new URL(page.url()).search)).toBe('?status=failure&host=gitlab&q=支付');

    await page.reload();
    await row(page, '支付网关').waitFor();
    expect(await page.locator('.row').count()).toBe(1);
    expect(await page.getByRole('button', { name: /^Failed/ }).getAttribute('aria-pressed')).toBe('true');
    expect(await page.getByRole('textbox').inputValue()).toBe('支付');

    await page.getByRole('textbox').fill('no such thing');
    await page.getByRole('heading', { name: 'No pipeline matches' }).waitFor();
    await page.getByRole('main').getByRole('button', { name: 'Clear filters' }).last().click();
    await expect.poll(() => page.locator('.row').count()).toBe(3);
    expect(errors).toEqual([]);
    await close();
  });

  test('the list holds still under the pointer and says what is newer', async () => {
    await run(service, { ...rocket, id: 1, repository: 'acme/first', began: 300 }, 'in_progress');
    await run(service, { ...rocket, id: 2, repository: 'acme/second', began: 200 }, 'in_progress');
    const { page, close } = await openPage(browser, service.url);
    await row(page, 'acme/second').waitFor();
    const order = async (): Promise<string[]> => {
      const rows = await page.locator('.list > li').all();
      const told = await Promise.all(
        rows.map(async (one) => ({ top: (await one.boundingBox())!.y, text: await one.locator('.project').innerText() })),
      );
      return told.sort((a, b) => a.top - b.top).map((one) => one.text);
    };
    expect(await order()).toEqual(['acme/second', 'acme/first']);

    await row(page, 'acme/second').hover();
    await run(service, { ...rocket, id: 3, repository: 'acme/third', began: 1 }, 'in_progress');
    await run(service, { ...rocket, id: 1, repository: 'acme/first', began: 300 }, 'success');
    await page.getByRole('button', { name: '1 newer' }).waitFor();
    // What is shown stays true, where it stands.
    await row(page, 'acme/first').locator('.state', { hasText: 'Passed' }).waitFor();
    expect(await order()).toEqual(['acme/second', 'acme/first']);

    await page.getByRole('button', { name: '1 newer' }).click();
    await expect.poll(order).toEqual(['acme/third', 'acme/second', 'acme/first']);
    await close();
  });

  test('language and theme follow the browser until someone chooses, and the choice is kept', async () => {
    await run(service, rocket, 'in_progress');
    const { page, errors, close } = await openPage(browser, service.url, { locale: 'zh-CN', colorScheme: 'dark' });
    const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await row(page, 'acme/rocket').locator('.state', { hasText: '运行中' }).waitFor();
    expect(await page.getAttribute('html', 'lang')).toBe('zh-CN');
    const dark = await ground();

    await page.getByRole('button', { name: 'English' }).click();
    await row(page, 'acme/rocket').locator('.state', { hasText: 'Running' }).waitFor();
    await page.getByRole('button', { name: 'Theme: as the system' }).click();
    const light = await ground();
    expect(light).not.toBe(dark);

    await page.reload();
    await row(page, 'acme/rocket').locator('.state', { hasText: 'Running' }).waitFor();
    expect(await ground()).toBe(light);
    expect(await page.getAttribute('html', 'lang')).toBe('en');
    expect(errors).toEqual([]);
    await close();
  });

  test('with a thousand pipelines only those in sight exist in the page', async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => index + 1);
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      for (const id of many.filter((id) => id % 8 === lane)) {
        await run(service, { ...rocket, id, repository: `acme/p${id}`, began: id * 10 }, id % 5 ? 'success' : 'failure', 5);
      }
    });
    await Promise.all(lanes);
    const { page, errors, close } = await openPage(browser, service.url);
    await page.getByText('1,000 pipelines').waitFor({ timeout: 60_000 });

    expect(await page.locator('.row').count()).toBeLessThan(60);
    await page.getByRole('button', { name: /^Failed/ }).click();
    await page.getByText('200 of 1,000 pipelines').waitFor();
    await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    await row(page, 'acme/p1000').waitFor();
    expect(await page.locator('.row').count()).toBeLessThan(60);
    expect(errors).toEqual([]);
    await close();
  }, 180_000);
});

describe.skipIf(reason)('an execution of which nothing has been heard for long', () => {
  test('is marked, and its time stands still', async () => {
    const browser = await openBrowser();
    try {
      for (const { options, said } of LOOKS) {
        const { page, close } = await openPage(browser, silent.url, options);
        await row(page, 'acme/rocket').locator('.length', { hasText: said.silent }).waitFor({ timeout: 100_000 });
        await page.goto(`${silent.url}/executions/1`);
        await page.getByRole('note').getByText(said.lost).waitFor();
        await close();
      }
    } finally {
      await browser.close();
    }
  }, 150_000);
});
