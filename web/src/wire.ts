// The shapes that the service sends, field for field as in its API. Knows nothing of how they are shown.
// Unknown fields and unknown frame types are ignored; unknown values are null, not absent.

/** A status as it is written: one of ours, or a foreign writer's word. */
export type Word = string;
/** RFC 3339 in UTC. */
export type Instant = string;

export interface Project {
  id: number;
  name: string;
  host: string;
  url: string | null;
  default_branch: string | null;
}

export interface Pipeline {
  id: number;
  name: string;
  project: Project;
  url: string | null;
  status: Word;
  last_execution: Execution | null;
  seq: number;
}

export interface Execution {
  id: number;
  pipeline_id: number;
  external_id: string;
  attempt: number;
  number: number | null;
  title: string | null;
  status: Word;
  state: string;
  outcome: string | null;
  raw_status: string | null;
  raw_conclusion: string | null;
  branch: string | null;
  commit_sha: string | null;
  event: string | null;
  actor: string | null;
  url: string | null;
  queued_at: Instant | null;
  started_at: Instant | null;
  finished_at: Instant | null;
  duration_ms: number | null;
  queue_ms: number | null;
  stale: boolean;
  seq: number;
  updated_at: Instant;
}

export interface Step {
  number: number;
  name: string;
  status: Word;
  started_at: Instant | null;
  finished_at: Instant | null;
}

export interface Job {
  id: number;
  execution_id: number;
  external_id: string;
  name: string | null;
  stage: string | null;
  status: Word;
  raw_status: string | null;
  raw_conclusion: string | null;
  allow_failure: boolean;
  runner: string | null;
  url: string | null;
  steps: Step[];
  queued_at: Instant | null;
  started_at: Instant | null;
  finished_at: Instant | null;
}

export type ExecutionWithJobs = Execution & { jobs?: Job[] };

/** A keyset page of a list. */
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** RFC 9457. */
export interface Problem {
  title?: string;
  detail?: string;
  status?: number;
  /** The stable word of its kind. */
  code?: string;
  /** Under which the service's log speaks of it. */
  request_id?: string;
  errors?: Fault[];
}

/** One thing that is wrong with a body. */
export interface Fault {
  /** Where: a JSON pointer in a fragment. */
  pointer: string;
  code: string;
  detail: string;
}

/** One topic's state: the whole of a frame, or one entry of a snapshot of `monitor`. */
export interface State<T> {
  topic: string;
  status: Word;
  timestamp?: Instant;
  /** `<epoch>-<seq>`; absent where a foreign writer spoke. */
  id?: string;
  seq?: number;
  data?: T | null;
}

export interface Hello {
  type: 'hello';
  ping_ms: number;
  server_time?: Instant;
}

export interface Ping {
  type: 'ping';
  server_time?: Instant;
}

export interface Reconnect {
  type: 'reconnect';
  after_ms: number;
  reason?: string;
}

export interface Snapshot extends State<unknown> {
  type: 'snapshot';
  /** Only on `monitor`: false while more pages follow. */
  complete?: boolean;
}

export interface StatusChange extends State<unknown> {
  type: 'status_change';
  previous_status?: Word;
  terminal?: boolean;
}

export type Frame = Hello | Ping | Reconnect | Snapshot | StatusChange;

/** `data` of a snapshot page of `monitor`. */
export interface MonitorPage {
  pipelines: State<Pipeline>[];
}
