// A form that is sent: whether it is under way, and what was wrong with it, field by field. Knows nothing of its fields.
import { tick } from 'svelte';

import { Refused } from '../api';
import type { Fault } from '../wire';
import { said, told } from './words';

export class Form {
  busy = $state(false);
  /** What is wrong with the whole of it. */
  wrong = $state<string | null>(null);
  /** What the service answered last, where it refused. */
  refused = $state.raw<Refused | null>(null);

  #faults = $state.raw<Fault[]>([]);
  readonly #fields = new Set<string>();
  #element: HTMLElement | null = null;

  /** Tells that a field shows the faults of this pointer, and of what lies below it. */
  shows(pointer: string): void {
    this.#fields.add(pointer);
  }

  /** What is wrong with a field, in words. */
  fault(pointer: string): string | null {
    const mine = this.#faults.filter((fault) => under(fault.pointer, pointer));
    return mine.length ? mine.map(said).join(' ') : null;
  }

  /** Says of a field what the service said of the whole. */
  object(pointer: string, code: string, detail = ''): void {
    this.clear();
    this.#faults = [{ pointer: `#${pointer}`, code, detail }];
    void this.#focus();
  }

  clear(): void {
    this.wrong = null;
    this.refused = null;
    this.#faults = [];
  }

  /** Sends it, once at a time; returns whether it was taken. What was wrong is shown, and the first such field has the focus. */
  async send(event: Event | null, how: () => Promise<void>): Promise<boolean> {
    event?.preventDefault();
    if (this.busy) return false;
    this.#element = event ? (event.currentTarget as HTMLElement) : null;
    this.clear();
    this.busy = true;
    try {
      await how();
      return this.#faults.length === 0;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refused = error;
      this.#faults = error.problem?.errors ?? [];
      const strays = this.#faults.filter((fault) => ![...this.#fields].some((field) => under(fault.pointer, field)));
      const known = this.#faults.length > strays.length;
      this.wrong = strays.length ? strays.map(said).join(' ') : known ? null : told(error);
      return false;
    } finally {
      this.busy = false;
      await this.#focus();
    }
  }

  async #focus(): Promise<void> {
    await tick();
    this.#element?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }
}

function under(pointer: string, field: string): boolean {
  const path = pointer.replace(/^#/, '');
  return path === field || path.startsWith(`${field}/`);
}
