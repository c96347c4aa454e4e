// Every page in both themes, both languages and both widths: nothing hangs over the edge, every word can be read, nothing complains.
// The pictures are kept for looking at (SCREENSHOTS names the folder).
import { join } from 'node:path';

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { missing, openBrowser, openPage, own, SCREENSHOTS } from './browser';
import { gitlabPipeline, job, run, type Run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);

const LOOKS = [
  { look: 'wide-light-en', viewport: { width: 1280, height: 860 }, colorScheme: 'light', locale: 'en-US' },
  { look: 'wide-dark-zh', viewport: { width: 1280, height: 860 }, colorScheme: 'dark', locale: 'zh-CN' },
  { look: 'narrow-light-zh', viewport: { width: 360, height: 740 }, colorScheme: 'light', locale: 'zh-CN' },
  { look: 'narrow-dark-en', viewport: { width: 390, height: 800 }, colorScheme: 'dark', locale: 'en-US' },
] as const;

describe.skipIf(reason)('the page looks right', () => {
  let browser: Browser;
  let service: Service;

  beforeAll(async () => {
    browser = await openBrowser();
    service = await Service.start();
  });
  afterAll(async () => {
    await browser?.close();
    await service?.remove();
    console.log(`screenshots: ${SCREENSHOTS}`);
  });

  async function inEveryLook(name: string, path: string, ready: (page: Page) => Promise<unknown>): Promise<void> {
    for (const { look, ...options } of LOOKS) {
      const { page, errors, close } = await openPage(browser, service.url + path, options);
      await ready(page);
      await page.locator('header [data-phase="live"]').waitFor();
      // Colours glide for a moment after the connection is live.
      await page.waitForFunction(() => document.getAnimations().every((one) => !(one instanceof CSSTransition)));
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${look}.png`) });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(over, `${name} ${look} hangs over the edge by pixels`).toBeLessThanOrEqual(0);
      // What glides is in between for a moment; what is hard to read for good stays so.
      await expect.poll(() => hardToRead(page), { timeout: 5_000, message: `${name} ${look}` }).toEqual([]);
      expect(own(errors), `${name} ${look}`).toEqual([]);
      await close();
    }
  }

  test('while nothing has come', async () => {
    await inEveryLook('empty', '/', (page) => page.locator('pre').first().waitFor());
  }, 120_000);

  test('with a busy day', async () => {
    const github = await play(service);
    await inEveryLook('list', '/', (page) => page.locator('.row').nth(5).waitFor());
    await inEveryLook('grouped', '/?group=project', (page) => page.locator('.heading').nth(1).waitFor());
    await inEveryLook('filtered', '/?status=failure,running', (page) => page.locator('[aria-pressed="true"]').nth(1).waitFor());
    await inEveryLook('pipeline', `/pipelines/${github.pipeline}`, (page) => page.locator('li[data-status]').nth(5).waitFor());
    await inEveryLook('execution-github', `/executions/${github.execution}`, (page) => page.locator('.step').first().waitFor());
    await inEveryLook('execution-gitlab', `/executions/${await gitlabExecution(service)}`, (page) =>
      page.locator('.rail a').first().waitFor(),
    );
    await inEveryLook('unknown', '/executions/999999', (page) => page.locator('h1').waitFor());
    await inEveryLook('help', '/', async (page) => {
      await page.locator('.row').first().waitFor();
      await page.keyboard.press('?');
      await page.locator('dialog[open]').waitFor();
    });
  }, 300_000);
});

/** Texts whose contrast to their background is below 4.5 to 1. Composes half-transparent backgrounds; skips what is not seen. */
function hardToRead(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
    const pixel = (color: string): [number, number, number, number] => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r!, g!, b!, a! / 255];
    };
    const over = (top: number[], below: number[]): number[] => [0, 1, 2].map((i) => top[i]! * top[3]! + below[i]! * (1 - top[3]!));
    const light = (rgb: number[]): number => {
      const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const background = (element: Element): number[] => {
      const own = pixel(getComputedStyle(element).backgroundColor);
      if (own[3] === 1 || !element.parentElement) return own;
      return over(own, background(element.parentElement));
    };
    const found = new Set<string>();
    for (const element of document.querySelectorAll('body *')) {
      const text = [...element.childNodes]
        .filter((node) => node.nodeType === Node.TEXT_NODE)
        .map((node) => node.textContent?.trim())
        .join('');
      const box = element.getBoundingClientRect();
      if (!text || box.width < 2 || box.height < 2 || element.closest('.said, .skip')) continue;
      if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      const behind = background(element);
      const ink = over(pixel(getComputedStyle(element).color), behind);
      const [a, b] = [light(ink), light(behind)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.add(`${element.className || element.tagName}: ${text.slice(0, 30)} ${contrast.toFixed(2)}`);
    }
    return [...found];
  });
}

const PEOPLE = ['mira', '李雷', 'ana-souza', 'dependabot[bot]', '韩梅梅', 'jonas'];
const TITLES = [
  'Fix the flaky retry in the upload path',
  '修复上传重试的竞态条件',
  'Bump serde from 1.0.228 to 1.0.229',
  'feat(api): keyset pages for executions',
  "Merge branch 'main' into feature/a-branch-with-a-name-that-goes-on",
  '重构流水线状态机，支持人工审批',
];

/** A few teams' day. Returns the pipeline with the longest history and its newest execution. */
async function play(service: Service): Promise<{ pipeline: number; execution: number }> {
  const ended = ['success', 'success', 'success', 'failure', 'success', 'cancelled', 'success', 'timed_out', 'success', 'skipped'] as const;
  const places = ['acme/rocket', 'acme/landing-page', 'platform/billing', 'infra/terraform-modules', '星辰/支付网关', 'mobile/android'];
  let id = 5_000;
  const make = (repository: string, workflow: string, number: number, began: number): Run => ({
    id: ++id,
    repository,
    workflow,
    number,
    began,
    title: TITLES[id % TITLES.length]!,
    branch: ['main', 'main', 'feature/live-list', '修复/上传'][id % 4]!,
    actor: PEOPLE[id % PEOPLE.length]!,
    event: ['push', 'pull_request', 'schedule', 'workflow_dispatch'][id % 4]!,
  });
  for (let number = 1; number <= 30; number++) {
    const one = make('acme/rocket', 'CI', number, (31 - number) * 4_000);
    await run(service, one, number % 7 === 3 ? 'failure' : 'success', 140 + ((number * 37) % 90));
  }
  for (const [index, repository] of places.entries()) {
    for (const [which, workflow] of ['Release', 'Nightly', 'e2e', 'Deploy to production'].entries()) {
      const at = index * 4 + which;
      await run(service, make(repository, workflow, 40 + at * 7, 400 + at * at * 90), ended[at % ended.length]!, 30 + at * 11);
    }
  }
  await run(service, make('mobile/android', 'CI', 88, 5), 'queued');
  await run(service, make('platform/billing', 'CI', 301, 65), 'in_progress');
  const rerun = { ...make('acme/landing-page', 'CI', 77, 42), attempt: 2 };
  await run(service, { ...rerun, attempt: 1, began: 900 }, 'failure', 30);
  await run(service, rerun, 'in_progress');
  const newest = make('acme/rocket', 'CI', 31, 95);
  await run(service, newest, 'in_progress');
  await job(service, newest, 71, 'check (fmt, clippy)', [
    { name: 'Set up job', status: 'success', from: 1, to: 3 },
    { name: 'cargo clippy --all-targets', status: 'success', from: 3, to: 31 },
  ]);
  await job(service, newest, 72, 'test (ubuntu-latest, stable)', [
    { name: 'Set up job', status: 'success', from: 2, to: 4 },
    { name: 'Install the toolchain', status: 'success', from: 4, to: 22 },
    { name: 'cargo test --workspace', status: 'in_progress', from: 22 },
    { name: 'Upload coverage', status: 'queued' },
  ]);
  await job(service, newest, 73, 'test (windows-latest, stable)', [
    { name: 'Set up job', status: 'success', from: 5, to: 9 },
    { name: 'cargo test --workspace', status: 'failure', from: 9, to: 61 },
    { name: 'Upload coverage', status: 'skipped' },
  ]);
  await gitlabPipeline(service, '星辰/结算', 4_711, 'running', [
    { id: 1, stage: 'build', name: 'compile', status: 'success', from: 1, to: 26 },
    { id: 2, stage: 'build', name: 'lint', status: 'failed', from: 1, to: 14, optional: true },
    { id: 3, stage: 'test', name: 'unit 1/2', status: 'success', from: 28, to: 80 },
    { id: 4, stage: 'test', name: 'unit 2/2', status: 'running', from: 28 },
    { id: 5, stage: 'test', name: '安全扫描', status: 'success', from: 29, to: 51 },
    { id: 6, stage: 'deploy', name: 'staging', status: 'created' },
    { id: 7, stage: 'deploy', name: 'production', status: 'manual' },
  ]);
  return find(service, (one) => one.project.name === 'acme/rocket' && one.name === 'CI' && one.last_execution?.number === 31);
}

interface Told {
  id: number;
  name: string;
  status: string;
  project: { name: string };
  last_execution: { id: number; number: number } | null;
}

/** Waits until there is a pipeline as it should be. */
async function find(service: Service, right: (pipeline: Told) => boolean): Promise<{ pipeline: number; execution: number }> {
  const look = async (): Promise<Told | undefined> => {
    const page = (await (await fetch(`${service.url}/api/v1/pipelines?limit=100`)).json()) as { items: Told[] };
    return page.items.find(right);
  };
  await expect.poll(look, { timeout: 20_000 }).toBeTruthy();
  const pipeline = (await look())!;
  return { pipeline: pipeline.id, execution: pipeline.last_execution!.id };
}

async function gitlabExecution(service: Service): Promise<number> {
  return (await find(service, (one) => one.project.name === '星辰/结算')).execution;
}
