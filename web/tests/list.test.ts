// Filters, order, stages and bars, without a page.
import { expect, test } from 'vitest';

import { byActivity, filterOf, grouped, queryOf, textMatcher, toggled } from '../src/filter';
import { barOf, spanOf, stagesOf } from '../src/stages';
import { statusOf, worst } from '../src/status';
import type { Execution, Job, Pipeline } from '../src/wire';

function execution(part: Partial<Execution> = {}): Execution {
  return {
    id: 1,
    pipeline_id: 1,
    external_id: '1',
    attempt: 1,
    number: 12,
    title: 'Fix the flaky retry',
    status: 'running',
    state: 'running',
    outcome: null,
    raw_status: null,
    raw_conclusion: null,
    branch: 'main',
    commit_sha: 'abc1234def',
    event: 'push',
    actor: 'mira',
    url: null,
    queued_at: '2026-11-21T10:00:00Z',
    started_at: '2026-11-21T10:00:05Z',
    finished_at: null,
    duration_ms: null,
    queue_ms: 5000,
    stale: false,
    seq: 1,
    updated_at: '2026-11-21T10:00:05Z',
    ...part,
  };
}

function pipeline(id: number, project: number, last: Partial<Execution> | null): Pipeline {
  const where = { id: project, name: `acme/p${project}`, host: 'github', url: null, default_branch: 'main' };
  return { id, name: 'CI', project: where, url: null, status: last?.status ?? 'unknown', last_execution: last && execution(last), seq: 1 };
}

function job(id: number, stage: string | null, part: Partial<Job> = {}): Job {
  return {
    id,
    execution_id: 1,
    external_id: String(id),
    name: `job ${id}`,
    stage,
    status: 'success',
    raw_status: null,
    raw_conclusion: null,
    allow_failure: false,
    runner: null,
    url: null,
    steps: [],
    queued_at: null,
    started_at: null,
    finished_at: null,
    ...part,
  };
}

test('a filter survives the way through the address', () => {
  const filter = { statuses: ['running' as const, 'failure' as const], hosts: ['gitlab', 'github'], text: '重构 main', group: true };
  expect(filterOf(queryOf(filter))).toEqual(filter);
  expect(queryOf({ statuses: [], hosts: [], text: ' ', group: false }).toString()).toBe('');
});

test('an address written by hand is understood as far as it goes', () => {
  expect(filterOf(new URLSearchParams('status=failed,success,,success&host=github&q=x&group=nothing'))).toEqual({
    statuses: ['failure', 'success'],
    hosts: ['github'],
    text: 'x',
    group: false,
  });
});

test('every word of the search must be found somewhere', () => {
  const one = pipeline(1, 1, {});
  for (const text of ['acme', 'CI mira', 'fix MAIN', '#12', 'abc1234', 'github push', '  '])
    expect(textMatcher(text)(one), text).toBe(true);
  for (const text of ['acme nobody', '#13']) expect(textMatcher(text)(one), text).toBe(false);
});

test('a row keeps its place while its execution runs and ends', () => {
  const older = pipeline(1, 1, { queued_at: '2026-11-21T10:00:00Z', status: 'running' });
  const newer = pipeline(2, 1, { queued_at: '2026-11-21T10:05:00Z', status: 'running' });
  const ended = pipeline(1, 1, { ...older.last_execution, status: 'success', updated_at: '2026-11-21T10:30:00Z' });

  expect([older, newer].sort(byActivity)).toEqual([newer, older]);
  expect([ended, newer].sort(byActivity)).toEqual([newer, ended]);
  expect([pipeline(3, 1, null), older].sort(byActivity)[0]).toBe(older);
});

test('a project stands where its first pipeline does', () => {
  const lines = grouped([pipeline(3, 2, {}), pipeline(2, 1, {}), pipeline(1, 2, {})]);
  expect(lines.map((line) => (line.kind === 'project' ? line.name : line.pipeline.id))).toEqual(['acme/p2', 3, 1, 'acme/p1', 2]);
});

test('a value is in or out', () => {
  expect(toggled(['a', 'b'], 'a')).toEqual(['b']);
  expect(toggled(['b'], 'a')).toEqual(['b', 'a']);
});

test('foreign words are known by their synonyms', () => {
  expect(['failed', 'canceled', 'pending', 'timeout', 'running', 'paused', '', null].map(statusOf)).toEqual([
    'failure',
    'cancelled',
    'queued',
    'timed_out',
    'running',
    'unknown',
    'unknown',
    'unknown',
  ]);
});

test('of several statuses the one that most needs a look stands for all', () => {
  expect(worst(['success', 'failure', 'skipped'])).toBe('failure');
  expect(worst(['success', 'failed', 'running'])).toBe('running');
  expect(worst(['success', 'skipped'])).toBe('success');
  expect(worst([])).toBe('unknown');
});

test('stages stand in the order in which they began, and what may fail does not count', () => {
  const stages = stagesOf([
    job(3, 'release', { status: 'queued', external_id: '9' }),
    job(5, 'deploy', { status: 'blocked' }),
    job(4, 'test', { started_at: '2026-11-21T10:01:00Z', status: 'running' }),
    job(1, 'build', { started_at: '2026-11-21T10:00:00Z' }),
    job(2, 'build', { started_at: '2026-11-21T10:00:00Z', status: 'failure', allow_failure: true }),
  ]);
  expect(stages.map((stage) => `${stage.name} ${stage.status} ${stage.jobs.map((one) => one.id).join()}`)).toEqual([
    'build success 1,2',
    'test running 4',
    'deploy blocked 5',
    'release queued 3',
  ]);
});

test('bars lie inside the span, and only what is at work grows', () => {
  const now = Date.parse('2026-11-21T10:01:45Z');
  const work = execution();
  const span = spanOf(work, [job(1, null, { started_at: '2026-11-21T10:00:05Z', finished_at: '2026-11-21T10:00:55Z' })], now)!;

  expect(span.to - span.from).toBe(100_000);
  expect(barOf('2026-11-21T10:00:05Z', '2026-11-21T10:00:55Z', false, span, now)).toEqual({ left: 0, width: 50 });
  expect(barOf('2026-11-21T10:00:55Z', null, true, span, now)).toEqual({ left: 50, width: 50 });
  expect(barOf(null, null, false, span, now)).toBeNull();
  expect(spanOf(execution({ started_at: null }), [], now)).toBeNull();
  expect(spanOf(execution({ stale: true }), [], now)!.to - span.from).toBe(1_000);
});
