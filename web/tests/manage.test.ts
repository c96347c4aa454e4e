// The managing part without a browser: which addresses it has, and where what the service finds wrong is shown.
import { describe, expect, test } from 'vitest';

import { Refused } from '../src/api';
import type { Fault } from '../src/wire';

// What the tested modules ask of a browser when they are loaded.
globalThis.location ??= new URL('http://localhost/') as unknown as Location;
globalThis.navigator ??= { languages: ['en'] } as unknown as Navigator;

const { pageOf } = await import('../src/router.svelte');
const { Form } = await import('../src/manage/form.svelte');
const { told } = await import('../src/manage/words');
const shownOnce = await import('../src/manage/shown-once');

function refused(status: number, code: string, errors: Fault[] = []): Refused {
  return new Refused(status, 'as the service says it', { status, code, title: 'A title', errors });
}

describe('addresses', () => {
  test('the managing part has its rooms, and things in them', () => {
    expect(pageOf('/manage')).toEqual({ is: 'manage', room: '', id: null });
    expect(pageOf('/manage/sources/')).toEqual({ is: 'manage', room: 'sources', id: null });
    expect(pageOf('/manage/deliveries/0198f2c4-7d1c-7000-8000-000000000001')).toMatchObject({ room: 'deliveries' });
    expect(pageOf('/login')).toMatchObject({ is: 'manage', room: 'login' });
    expect(pageOf('/setup')).toMatchObject({ is: 'manage', room: 'setup' });
  });

  test('what belongs to programs is no page', () => {
    for (const path of ['/admin/v1/sources', '/admin', '/manage/a/b/c', '/manages', '/login/x'])
      expect(pageOf(path)).toEqual({ is: 'missing' });
  });
});

describe('a form', () => {
  const send = (form: InstanceType<typeof Form>, error: unknown): Promise<boolean> => form.send(null, () => Promise.reject(error as Error));

  test('shows what is wrong at its field', async () => {
    const form = new Form();
    form.shows('/name');
    form.shows('/scopes');
    const errors = [
      { pointer: '#/name', code: 'taken', detail: 'another account has this name' },
      { pointer: '#/scopes/2', code: 'made_up', detail: 'no such scope' },
    ];

    expect(await send(form, refused(422, 'invalid', errors))).toBe(false);

    expect(form.fault('/name')).toBe('Somebody has this already.');
    expect(form.fault('/scopes')).toBe('no such scope');
    expect(form.wrong).toBeNull();
  });

  test('shows what belongs to no field above its buttons', async () => {
    const form = new Form();
    form.shows('/name');

    await send(form, refused(422, 'invalid', [{ pointer: '#/names', code: 'empty', detail: '' }]));

    expect(form.fault('/name')).toBeNull();
    expect(form.wrong).toBe('This cannot be empty.');
  });

  test('is sent once at a time, and is clean again once it was taken', async () => {
    const form = new Form();
    await send(form, refused(409, 'conflict'));
    expect(form.wrong).toBe('It contradicts what is there.');
    let sent = 0;
    let done = (): void => undefined;
    const slow = (): Promise<void> => new Promise((resolve) => ((sent += 1), (done = resolve)));

    const first = form.send(null, slow);
    const second = await form.send(null, slow);
    done();

    expect([await first, second, sent]).toEqual([true, false, 1]);
    expect(form.wrong).toBeNull();
  });

  test('lets through what is a defect of the page', async () => {
    await expect(send(new Form(), new TypeError('a defect'))).rejects.toThrow('a defect');
  });
});

test('a refusal is told in words, with the id under which the log has it', () => {
  expect(told(new Refused(0, ''))).toContain('does not answer');
  expect(told(refused(403, 'no_word_of_ours'))).toBe('A title');
  expect(told(new Refused(500, '', { code: 'internal', request_id: 'r-1' }))).toContain('[r-1]');
});

test('a secret is handed over once', () => {
  shownOnce.keep('source 1', 'hush');

  expect([shownOnce.take('source 1'), shownOnce.take('source 1')]).toEqual(['hush', null]);
});
