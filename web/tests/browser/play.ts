// What the hosts tell in the tests: repositories, runs, jobs and steps, as the bodies of their webhooks. Knows nothing of how they are sent.
import { createHash } from 'node:crypto';

import type { Service } from './service';

export type Verdict = 'success' | 'failure' | 'cancelled' | 'timed_out' | 'skipped';

type Stand = 'queued' | 'in_progress' | 'waiting' | Verdict;

export interface Run {
  id: number;
  repository: string;
  workflow: string;
  number: number;
  attempt?: number;
  title?: string;
  branch?: string;
  actor?: string;
  event?: string;
  /** How long ago it began, in seconds. */
  began?: number;
}

function instant(secondsAgo: number): string {
  return new Date(Date.now() - secondsAgo * 1_000).toISOString().replace(/\.\d+Z$/, 'Z');
}

function hash(text: string): number {
  return [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)!) % 1_000_003, 7);
}

function sha(id: number): string {
  return createHash('sha1').update(String(id)).digest('hex');
}

function repository(name: string): object {
  return {
    id: hash(name),
    full_name: name,
    html_url: `https://github.example/${name}`,
    default_branch: 'main',
    updated_at: instant(86_400),
  };
}

/** A workflow run of GitHub that is queued or at work, or has ended as `verdict` after `took` seconds. */
export async function run(service: Service, run: Run, status: Stand, took = 60): Promise<void> {
  await service.github('workflow_run', runBody(run, status, took));
}

/** What GitHub tells of it. */
export function runBody(run: Run, status: Stand, took = 60): object {
  const ended = !['queued', 'in_progress', 'waiting'].includes(status);
  const began = run.began ?? 0;
  const workflow = hash(run.repository + run.workflow);
  return {
    action: ended ? 'completed' : status === 'in_progress' ? 'in_progress' : 'requested',
    workflow_run: {
      id: run.id,
      name: run.workflow,
      display_title: run.title ?? 'Make it so',
      run_number: run.number,
      run_attempt: run.attempt ?? 1,
      workflow_id: workflow,
      status: ended ? 'completed' : status,
      conclusion: ended ? status : null,
      event: run.event ?? 'push',
      head_branch: run.branch ?? 'main',
      head_sha: sha(run.id),
      html_url: `https://github.example/${run.repository}/actions/runs/${run.id}`,
      actor: { login: run.actor ?? 'mira' },
      triggering_actor: { login: run.actor ?? 'mira' },
      created_at: instant(began + 3),
      run_started_at: instant(began),
      updated_at: instant(ended ? began - took : began),
    },
    workflow: { id: workflow, name: run.workflow, path: '.github/workflows/x.yml' },
    repository: repository(run.repository),
    sender: { login: run.actor ?? 'mira' },
  };
}

export interface StepTold {
  name: string;
  status: 'queued' | 'in_progress' | Verdict;
  /** Seconds after the begin of the run. */
  from?: number;
  to?: number;
}

/** A job of that run, with its steps; its own status and times follow from theirs. */
export async function job(service: Service, run: Run, id: number, name: string, steps: StepTold[]): Promise<void> {
  const open = steps.some((step) => step.status === 'queued' || step.status === 'in_progress');
  const failed = steps.some((step) => step.status === 'failure');
  const began = run.began ?? 0;
  const at = (seconds: number | undefined): string | null => (seconds === undefined ? null : instant(began - seconds));
  await service.github('workflow_job', {
    action: open ? 'in_progress' : 'completed',
    workflow_job: {
      id,
      run_id: run.id,
      run_attempt: run.attempt ?? 1,
      workflow_name: run.workflow,
      name,
      status: open ? 'in_progress' : 'completed',
      conclusion: open ? null : failed ? 'failure' : 'success',
      head_branch: run.branch ?? 'main',
      head_sha: sha(run.id),
      html_url: `https://github.example/${run.repository}/actions/runs/${run.id}/job/${id}`,
      runner_name: 'ubuntu-24.04-arm',
      created_at: instant(began + 2),
      started_at: at(steps[0]?.from),
      completed_at: open ? null : at(Math.max(...steps.map((step) => step.to ?? 0))),
      steps: steps.map((step, index) => {
        const over = step.status !== 'queued' && step.status !== 'in_progress';
        return {
          number: index + 1,
          name: step.name,
          status: over ? 'completed' : step.status,
          conclusion: over ? step.status : null,
          started_at: at(step.from),
          completed_at: over ? at(step.to) : null,
        };
      }),
    },
    repository: repository(run.repository),
    sender: { login: run.actor ?? 'mira' },
  });
}

/** A pipeline of GitLab with jobs in stages. */
export async function gitlabPipeline(
  service: Service,
  project: string,
  id: number,
  status: string,
  builds: { id: number; stage: string; name: string; status: string; from?: number; to?: number; optional?: boolean }[],
  began = 120,
): Promise<void> {
  const at = (seconds: number | undefined): string | null =>
    seconds === undefined
      ? null
      : `${instant(began - seconds)
          .replace('T', ' ')
          .replace('Z', '')} UTC`;
  const over = ['success', 'failed', 'canceled'].includes(status);
  const last = Math.max(0, ...builds.map((build) => build.to ?? 0));
  await service.gitlab('Pipeline Hook', {
    object_kind: 'pipeline',
    object_attributes: {
      id,
      iid: id % 1_000,
      name: null,
      ref: 'main',
      tag: false,
      sha: sha(id),
      source: 'merge_request_event',
      status,
      detailed_status: status,
      stages: [...new Set(builds.map((build) => build.stage))],
      created_at: at(-2),
      finished_at: over ? at(last) : null,
      duration: over ? last : null,
      queued_duration: 2,
      url: `https://gitlab.example/${project}/-/pipelines/${id}`,
    },
    user: { username: '李雷' },
    project: {
      id: hash(project),
      path_with_namespace: project,
      web_url: `https://gitlab.example/${project}`,
      default_branch: 'main',
    },
    commit: { id: sha(id), title: '重构流水线状态机，支持人工审批', message: '重构流水线状态机，支持人工审批' },
    builds: builds.map((build) => ({
      id: build.id,
      stage: build.stage,
      name: build.name,
      status: build.status,
      created_at: at(-2),
      started_at: at(build.from),
      finished_at: at(build.to),
      allow_failure: build.optional ?? false,
      manual: build.status === 'manual',
      runner: { description: '共享执行器' },
    })),
  });
}
