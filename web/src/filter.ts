// Which pipelines a reader wants to see, as the address says it, and in which order they stand. Pure.
import { statusOf, STATUSES, type Status } from './status';
import type { Pipeline } from './wire';

export interface Filter {
  /** Empty is all. */
  statuses: Status[];
  /** Empty is all. */
  hosts: string[];
  /** Words that must all be found. */
  text: string;
  group: boolean;
}

export function filterOf(query: URLSearchParams): Filter {
  const words = new Set(listed(query.get('status')).map(statusOf));
  return {
    statuses: STATUSES.filter((status) => words.has(status)),
    hosts: listed(query.get('host')),
    text: query.get('q') ?? '',
    group: query.get('group') === 'project',
  };
}

export function queryOf(filter: Filter): URLSearchParams {
  const query = new URLSearchParams();
  if (filter.statuses.length) query.set('status', filter.statuses.join(','));
  if (filter.hosts.length) query.set('host', filter.hosts.join(','));
  if (filter.text.trim()) query.set('q', filter.text);
  if (filter.group) query.set('group', 'project');
  return query;
}

function listed(value: string | null): string[] {
  return value ? [...new Set(value.split(',').filter(Boolean))] : [];
}

/** Without the value where it was in, with it where it was not. */
export function toggled<T>(values: T[], value: T): T[] {
  return values.includes(value) ? values.filter((other) => other !== value) : [...values, value];
}

/** What the search looks at, prepared once for each state of a pipeline. */
const haystacks = new WeakMap<Pipeline, string>();

function haystack(pipeline: Pipeline): string {
  let text = haystacks.get(pipeline);
  if (text === undefined) {
    const last = pipeline.last_execution;
    const parts = [
      pipeline.project.name,
      pipeline.name,
      pipeline.project.host,
      pipeline.status,
      last?.branch,
      last?.commit_sha,
      last?.title,
      last?.actor,
      last?.event,
    ];
    if (last?.number != null) parts.push(`#${last.number}`);
    text = parts.filter(Boolean).join('\n').toLowerCase();
    haystacks.set(pipeline, text);
  }
  return text;
}

/** A test for the search alone; counts per status are taken before the status filter, so that they show what a click would bring. */
export function textMatcher(text: string): (pipeline: Pipeline) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length ? (pipeline) => words.every((word) => haystack(pipeline).includes(word)) : () => true;
}

/** When the newest execution began to exist. It does not move while the execution runs and ends, so neither does its row. */
export function activity(pipeline: Pipeline): number {
  let at = activities.get(pipeline);
  if (at === undefined) {
    const last = pipeline.last_execution;
    at = last ? Date.parse(last.queued_at ?? last.started_at ?? last.updated_at) || 0 : 0;
    activities.set(pipeline, at);
  }
  return at;
}

/** Reading an instant is slow, and sorting asks for it often. */
const activities = new WeakMap<Pipeline, number>();

/** The newest activity first; of two that are equal, the younger pipeline. */
export function byActivity(a: Pipeline, b: Pipeline): number {
  return activity(b) - activity(a) || b.id - a.id;
}

export type Line =
  { kind: 'pipeline'; pipeline: Pipeline } | { kind: 'project'; name: string; host: string; id: number; pipelines: Pipeline[] };

/** Ordered pipelines under the heading of their project; a project stands where its first pipeline does. */
export function grouped(ordered: Pipeline[]): Line[] {
  const projects = new Map<number, Pipeline[]>();
  for (const pipeline of ordered) {
    const known = projects.get(pipeline.project.id);
    if (known) known.push(pipeline);
    else projects.set(pipeline.project.id, [pipeline]);
  }
  const lines: Line[] = [];
  for (const [id, pipelines] of projects) {
    const { name, host } = pipelines[0]!.project;
    lines.push({ kind: 'project', name, host, id, pipelines });
    for (const pipeline of pipelines) lines.push({ kind: 'pipeline', pipeline });
  }
  return lines;
}
