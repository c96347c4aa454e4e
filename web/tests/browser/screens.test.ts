// Every page in both themes, both languages and both widths: nothing hangs over the edge, every word can be read, nothing complains.
// The pictures are kept for looking at (SCREENSHOTS names the folder).
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { missing, openBrowser, SCREENSHOTS } from './browser';
import { lookAt } from './looks';
import { gitlabPipeline, job, run, type Run } from './play';
import { BINARY, Service } from './service';

const reason = missing(BINARY);

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

  const inEveryLook = (name: string, path: string, ready: (page: Page) => Promise<unknown>): Promise<void> =>
    lookAt(browser, name, service.url + path, async (page) => {
      await ready(page);
      await page.locator('header [data-phase="live"]').waitFor();
    });

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
