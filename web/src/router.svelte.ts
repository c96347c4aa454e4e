// Which page the address names, and the way to another one. Knows nothing of what the pages show.
import { tick } from 'svelte';

interface Entry {
  /** How many of our own pages lie behind this one. */
  depth: number;
  scroll: number;
}

export type Page =
  | { is: 'pipelines' }
  | { is: 'pipeline'; id: number }
  | { is: 'execution'; id: number }
  /** What needs an account, and the ways to one; which rooms there are, the part that is loaded for it knows. */
  | { is: 'manage'; room: string; id: string | null }
  | { is: 'missing' };

class Here {
  url = $state.raw(new URL(location.href));
  page = $derived(pageOf(this.url.pathname));
}
export const here = new Here();

export function pageOf(path: string): Page {
  if (path === '/' || path === '') return { is: 'pipelines' };
  const match = /^\/(pipelines|executions)\/(\d{1,16})\/?$/.exec(path);
  if (!match) return managed(path) ?? { is: 'missing' };
  return { is: match[1] === 'pipelines' ? 'pipeline' : 'execution', id: Number(match[2]) };
}

function managed(path: string): Page | null {
  const match = /^\/(?:(login|setup)|manage(?:\/([a-z-]{1,40}))?(?:\/([\w.~-]{1,200}))?)\/?$/.exec(path);
  return match && { is: 'manage', room: match[1] ?? match[2] ?? '', id: match[3] ?? null };
}

/** Goes to another page of ours. */
export function go(href: string): void {
  leave();
  history.pushState({ depth: entry().depth + 1, scroll: 0 } satisfies Entry, '', href);
  arrive(0);
  // A reader who does not see the page hears that it is another one.
  document.getElementById('main')?.focus({ preventScroll: true });
}

/** Changes the query of the page that is shown; leaves no trace in the history. */
export function setQuery(query: URLSearchParams): void {
  // A comma separates values and needs no escape; addresses are read by people.
  const text = query.toString().replaceAll('%2C', ',');
  const href = here.url.pathname + (text ? `?${text}` : '') + here.url.hash;
  if (href === here.url.pathname + here.url.search + here.url.hash) return;
  history.replaceState(history.state, '', href);
  here.url = new URL(location.href);
}

/** To where one came from; to the list where that was another site. */
export function back(): void {
  if (entry().depth > 0) history.back();
  else go('/');
}

/** Takes over clicks on links to our own pages; modified clicks and other sites stay the browser's. */
export function startRouter(): void {
  history.scrollRestoration = 'manual';
  addEventListener('popstate', () => arrive(entry().scroll));
  addEventListener('pagehide', leave);
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.origin !== location.origin || pageOf(link.pathname).is === 'missing') return;
    if (link.pathname === location.pathname && link.search === location.search && link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
  });
  void scroll(entry().scroll);
}

function entry(): Entry {
  const state = history.state as Partial<Entry> | null;
  return { depth: state?.depth ?? 0, scroll: state?.scroll ?? 0 };
}

function leave(): void {
  history.replaceState({ ...entry(), scroll: window.scrollY } satisfies Entry, '');
}

function arrive(to: number): void {
  here.url = new URL(location.href);
  void scroll(to);
}

async function scroll(to: number): Promise<void> {
  await tick();
  window.scrollTo({ top: to, behavior: 'instant' });
}
