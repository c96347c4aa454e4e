// What projects are called whose numbers are known: asked for once each. Knows nothing of who wants to know.
import { SvelteMap } from 'svelte/reactivity';

import { find } from './ask';
import type { Project } from './wire';

export class ProjectNames {
  readonly #names = new SvelteMap<number, string>();

  /** Asks for those that are not known yet; one that cannot be read keeps its number. */
  async learn(ids: (number | null)[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id): id is number => id !== null && !this.#names.has(id));
    for (const id of unknown) this.#names.set(id, `#${id}`);
    await Promise.allSettled(
      unknown.map(async (id) => {
        const { it } = await find<Project>(`/projects/${id}`);
        this.#names.set(id, it.name);
      }),
    );
  }

  of(id: number): string {
    return this.#names.get(id) ?? `#${id}`;
  }
}
