// What the page makes of frames and close codes, without a socket.
import { expect, test } from 'vitest';

import { Board } from '../src/live/board';
import { cursorOf, replaces } from '../src/live/cursor';
import { afterClose } from '../src/live/retry';
import type { Frame, Pipeline, State } from '../src/wire';

function pipeline(id: number, status: string, seq: number): Pipeline {
  const project = { id: 1, name: 'acme/rocket', host: 'github', url: null, default_branch: 'main' };
  return { id, name: 'CI', project, url: null, status, last_execution: null, seq };
}

function state(id: number, status: string, seq: number, epoch = 'aaaaaaaa'): State<Pipeline> {
  return { id: `${epoch}-${seq}`, seq, topic: `pipeline:${id}`, status, data: pipeline(id, status, seq) };
}

function snapshot(states: State<Pipeline>[], complete: boolean): Frame {
  return { type: 'snapshot', topic: 'monitor', status: 'live', complete, data: { pipelines: states } };
}

function change(told: State<Pipeline>): Frame {
  return { type: 'status_change', ...told };
}

function shown(board: Board): string[] {
  return [...board.pipelines.values()].map((one) => `${one.id} ${one.status} ${one.seq}`);
}

test('a snapshot replaces everything once its last page has come', () => {
  const board = new Board();
  board.take(snapshot([state(1, 'running', 1), state(2, 'success', 4)], false));
  expect(board.complete).toBe(false);
  board.take(snapshot([state(3, 'queued', 1)], true));
  expect(board.complete).toBe(true);

  board.reopen();
  board.take(snapshot([state(1, 'success', 2)], false));
  expect(shown(board)).toEqual(['1 success 2', '2 success 4', '3 queued 1']);
  board.take(snapshot([state(3, 'running', 2)], true));

  expect(shown(board)).toEqual(['1 success 2', '3 running 2']);
});

test('a snapshot that was cut off takes nothing away', () => {
  const board = new Board();
  board.take(snapshot([state(1, 'running', 1), state(2, 'success', 4)], true));
  board.take(snapshot([state(1, 'running', 1)], false));
  board.reopen();
  board.take(snapshot([state(1, 'running', 1), state(2, 'success', 4)], true));

  expect(shown(board)).toEqual(['1 running 1', '2 success 4']);
});

test('what appears while a snapshot is told stays', () => {
  const board = new Board();
  board.take(snapshot([state(1, 'running', 1)], false));
  board.take(change(state(9, 'queued', 1)));
  board.take(snapshot([], true));

  expect(shown(board)).toEqual(['1 running 1', '9 queued 1']);
});

test('time never runs backwards, unless the database is another one', () => {
  const board = new Board();
  board.take(snapshot([state(1, 'success', 7)], true));

  expect(board.take(change(state(1, 'running', 6)))).toBe(false);
  expect(board.take(change(state(1, 'running', 7)))).toBe(false);
  expect(shown(board)).toEqual(['1 success 7']);
  board.take(change(state(1, 'queued', 1, 'bbbbbbbb')));
  expect(shown(board)).toEqual(['1 queued 1']);
});

test("a foreign writer's word lies over ours until our next, and until a snapshot", () => {
  const board = new Board();
  board.take(snapshot([state(1, 'running', 3)], true));

  board.take({ type: 'status_change', topic: 'pipeline:1', status: 'failed' });
  expect(shown(board)).toEqual(['1 failed 3']);
  board.take(snapshot([state(1, 'running', 3)], true));
  expect(shown(board)).toEqual(['1 running 3']);
});

test('unknown frames change nothing', () => {
  const board = new Board();
  expect(board.take({ type: 'weather', topic: 'monitor' } as unknown as Frame)).toBe(false);
});

test('a cursor is told apart at its last dash', () => {
  expect(cursorOf({ id: 'kQ-z-12', seq: 12 })).toEqual({ epoch: 'kQ-z', seq: 12, id: 'kQ-z-12' });
  expect(cursorOf({ seq: 12 })).toBeNull();
  const at = { epoch: 'a', seq: 2, id: 'a-2' };
  expect(replaces(at, at, true)).toBe(true);
  expect(replaces(at, at, false)).toBe(false);
});

test.each([
  [1000, 'done'],
  [1009, 'too_big'],
  [4500, 'bad_request'],
  [4501, 'unauthorized'],
  [4505, 'connection_limit;retry_ms=5'],
  [4999, ''],
])('%i %s stops', (code, reason) => {
  expect(afterClose(code, reason, 0, 0.5)).toEqual({ stop: true });
});

test('the server says when to come back', () => {
  expect(afterClose(1012, 'restart;retry_ms=3127', 9, 0.5)).toEqual({ stop: false, wait: 3127 });
  expect(afterClose(4429, 'rate_limited;retry_ms=700', 0, 0.5)).toEqual({ stop: false, wait: 700 });
  expect(afterClose(1013, 'overloaded;retry_ms=10', 0, 0.5)).toEqual({ stop: false, wait: 5000 });
  expect(afterClose(1012, 'restart;retry_ms=99999999', 0, 0.5)).toEqual({ stop: false, wait: 300_000 });
});

test('otherwise the back-off is full jitter with a cap', () => {
  expect(afterClose(1006, '', 0, 0.5)).toEqual({ stop: false, wait: 250 });
  expect(afterClose(1006, '', 3, 0.5)).toEqual({ stop: false, wait: 2000 });
  expect(afterClose(4408, 'slow', 50, 1)).toEqual({ stop: false, wait: 20_000 });
  expect(afterClose(1001, 'lifetime', 9, 0.5)).toEqual({ stop: false, wait: 500 });
  expect(afterClose(1013, 'overloaded', 0, 0.1)).toEqual({ stop: false, wait: 5000 });
});
