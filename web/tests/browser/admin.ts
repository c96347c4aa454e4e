// What an admin does before a test begins: the first account, others, and coming in. Knows nothing of what is tested.
import { createHmac } from 'node:crypto';

import type { Page } from 'playwright-core';
import { vi } from 'vitest';

import type { Service } from './service';

export const ADMIN = { name: 'ada', password: 'a sentence that nobody guesses' };

/** Makes the first admin by the token that the service printed. */
export async function setUp(service: Service): Promise<void> {
  await tokenOf(service);
  const answer = await fetch(`${service.url}/admin/v1/setup`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token: service.setupToken, ...ADMIN }),
  });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
}

/** The token, which is printed about when the service begins to listen. */
export async function tokenOf(service: Service): Promise<string> {
  const printed = (): string => {
    if (!service.setupToken) throw new Error('the service has printed no setup token');
    return service.setupToken;
  };
  return vi.waitFor(printed, { timeout: 10_000 });
}

/** Asks the admin API as the admin, or as somebody else, as a program does. */
export async function asAdmin<T>(
  service: Service,
  method: string,
  path: string,
  body?: unknown,
  who = ADMIN,
  version?: string,
): Promise<T> {
  const json = { 'Content-Type': 'application/json' };
  const entry = await fetch(`${service.url}/admin/v1/sessions`, { method: 'POST', headers: json, body: JSON.stringify(who) });
  const { access_token: access } = (await entry.json()) as { access_token: string };
  const answer = await fetch(`${service.url}/admin/v1${path}`, {
    method,
    headers: { ...json, Authorization: `Bearer ${access}`, ...(version ? { 'If-Match': version } : {}) },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}: ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Fills in the form that asks who one is, which is there already. */
export async function signIn(page: Page, who: { name: string; password: string } = ADMIN): Promise<void> {
  await page.getByLabel('User name').fill(who.name);
  await page.getByLabel('Password', { exact: true }).fill(who.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Administration' }).waitFor();
}

/** Comes in without a form, whatever the page shows and in whichever language. */
export async function comeIn(page: Page, who: { name: string; password: string } = ADMIN): Promise<void> {
  const status = await page.evaluate(async (who) => {
    const headers = { 'Content-Type': 'application/json', 'X-Pipecast': '1' };
    return (await fetch('/admin/v1/sessions', { method: 'POST', headers, body: JSON.stringify(who) })).status;
  }, who);
  if (status !== 201) throw new Error(`cannot come in: ${status}`);
  await page.reload();
  await page.locator('.manage nav').waitFor();
}

/** What an authenticator app shows now (RFC 6238: SHA-1, 30 seconds, six digits). */
export function codeNow(secret: string): string {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret.replace(/[\s=]/g, '')].map((one) => ALPHABET.indexOf(one).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const sum = createHmac('sha1', key).update(time).digest();
  const at = sum.readUInt8(19) & 15;
  return String((sum.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
