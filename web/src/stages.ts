// The jobs of an execution by stage, and the span of time that they fill. Pure.
import { isActive, statusOf, worst, type Status } from './status';
import type { Execution, Job } from './wire';

export interface Stage {
  /** Empty where the host has no stages. */
  name: string;
  status: Status;
  jobs: Job[];
}

/** In the order in which the stages first begin, then in the host's; a job that failed and may do so does not count. */
export function stagesOf(jobs: Job[]): Stage[] {
  const byName = new Map<string, Job[]>();
  for (const job of [...jobs].sort(byHost)) {
    const name = job.stage ?? '';
    const known = byName.get(name);
    if (known) known.push(job);
    else byName.set(name, [job]);
  }
  const stages = [...byName].map(([name, jobs]) => ({
    name,
    jobs,
    status: worst(jobs.filter((job) => !job.allow_failure || isActive(statusOf(job.status))).map((job) => job.status)),
  }));
  return stages.sort((a, b) => beginOf(a.jobs) - beginOf(b.jobs));
}

/** Hosts count their jobs up as they make them, stage by stage; ours are counted as they were told. */
function byHost(a: Job, b: Job): number {
  return Number(a.external_id) - Number(b.external_id) || a.id - b.id;
}

/** When the first of them began; null where none has. */
export function firstBegin(jobs: Job[]): string | null {
  return jobs.reduce<string | null>(
    (first, { started_at: at }) => (at && (!first || Date.parse(at) < Date.parse(first)) ? at : first),
    null,
  );
}

function beginOf(jobs: Job[]): number {
  const begun = jobs.flatMap((job) => (job.started_at ? Date.parse(job.started_at) : []));
  // Not begun yet: after all that have, in the order of the host, which the stable sort keeps.
  return begun.length ? Math.min(...begun) : Number.MAX_SAFE_INTEGER;
}

export interface Span {
  from: number;
  to: number;
}

/** From the first sign of work to the last, or to `now` while it goes on; null where nobody has told a time. */
export function spanOf(execution: Execution, jobs: Job[], now: number): Span | null {
  const begins = jobs.flatMap((job) => (job.started_at ? Date.parse(job.started_at) : []));
  if (execution.started_at) begins.push(Date.parse(execution.started_at));
  if (begins.length === 0) return null;
  const ends = [...jobs, execution].flatMap((one) => (one.finished_at ? Date.parse(one.finished_at) : []));
  const from = Math.min(...begins);
  const running = !execution.stale && [...jobs, execution].some((one) => isActive(statusOf(one.status)));
  const to = Math.max(from, running ? now : from, ...ends);
  return { from, to: Math.max(to, from + 1_000) };
}

export interface Bar {
  /** In percent of the span. */
  left: number;
  width: number;
}

export function barOf(started: string | null, finished: string | null, active: boolean, span: Span, now: number): Bar | null {
  if (!started) return null;
  const begin = Date.parse(started);
  const end = finished ? Date.parse(finished) : active ? now : begin;
  const length = span.to - span.from;
  const left = clamp(((begin - span.from) / length) * 100);
  return { left, width: Math.max(0.6, clamp(((end - span.from) / length) * 100) - left) };
}

function clamp(percent: number): number {
  return Math.min(100, Math.max(0, percent));
}

export interface Mark {
  /** In percent of the span. */
  left: number;
  /** "0:30", "1:05:00". */
  text: string;
}

/** Lengths between marks that people count in, in seconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800];

/** At most six marks at round distances. */
export function marksOf(span: Span): Mark[] {
  const length = (span.to - span.from) / 1_000;
  const step = STEPS.find((one) => length / one <= 5) ?? length;
  const marks: Mark[] = [];
  for (let at = 0; at <= length; at += step) marks.push({ left: (at / length) * 100, text: clockLength(at) });
  return marks;
}

function clockLength(seconds: number): string {
  if (seconds === 0) return '0';
  const pad = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}
