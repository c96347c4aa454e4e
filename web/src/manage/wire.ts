// What the admin API sends. Knows nothing of how it is shown. Words are open: a newer service may send others.
import type { Instant } from '../wire';

export const ROLES = ['admin', 'maintainer', 'viewer', 'wallboard', 'runner'] as const;
export type Role = (typeof ROLES)[number];

export const PERMISSIONS = [
  'pipelines:read',
  'pipelines:write',
  'deliveries:read',
  'deliveries:replay',
  'sources:manage',
  'projects:manage',
  'members:manage',
  'users:manage',
  'tokens:manage',
  'settings:read',
  'settings:manage',
  'audit:read',
  'system:read',
  'ingest:write',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export interface Granted {
  access_token: string;
  /** Seconds. */
  expires_in: number;
}

export interface Me {
  user_id: number;
  name: string;
  role: Role | null;
  /** What they may somewhere. */
  permissions: Permission[];
  projects: { project_id: number; permissions: Permission[] }[];
  session_id: string | null;
  /** Null for a program. */
  has_second_factor: boolean | null;
  recovery_codes_left: number | null;
}

export interface OpenSession {
  id: string;
  current: boolean;
  created_at: Instant;
  last_seen_at: Instant;
  expires_at: Instant;
  ip: string | null;
  user_agent: string | null;
}

export interface User {
  id: number;
  name: string;
  display_name: string | null;
  email: string | null;
  role: Role | null;
  disabled: boolean;
  has_password: boolean;
  has_second_factor: boolean;
  created_at: Instant;
  deleted_at: Instant | null;
}

export interface Member {
  project_id: number;
  user_id: number;
  user_name: string;
  role: Role;
}

export interface Token {
  id: string;
  prefix: string;
  user_id: number;
  user_name: string;
  name: string;
  scopes: Permission[];
  project_id: number | null;
  created_at: Instant;
  expires_at: Instant;
  last_used_at: Instant | null;
  last_used_ip: string | null;
  rotated_from: string | null;
}

/** A token with its secret, which is told this once. */
export interface IssuedToken extends Token {
  token: string;
}

export interface Delivery {
  id: string;
  host: string;
  source: string;
  event: string | null;
  delivery_key: string | null;
  body_sha256: string | null;
  body_bytes: number | null;
  received_at: Instant;
  recorded_at: Instant;
  /** `verified`, or why it was not believed. */
  verification: string;
  outcome: string;
  detail: string | null;
  attempts: number;
  repeats: number;
  replay_of: string | null;
  duplicate_of: string | null;
  project_id: number | null;
}

export interface DeliveryInFull extends Delivery {
  headers: Record<string, string>;
  changes: { topic: string; seq: number; at: Instant }[];
  replays: Delivery[];
}

export interface DeadLetter {
  id: string;
  lane: string;
  failures: number;
  reason: string;
  buried_at: Instant | null;
  bytes: number;
  delivery: {
    id: string;
    host: string;
    source: string;
    event: string | null;
    received_at: Instant;
    replay_of: string | null;
  } | null;
}

/** With what the host sent; the body is asked for by itself. */
export interface DeadLetterInFull extends DeadLetter {
  headers: Record<string, string>;
  body_bytes: number | null;
}

export interface AuditRow {
  seq: number;
  at: Instant;
  actor: string;
  user_id: number | null;
  token_id: string | null;
  action: string;
  outcome: string;
  project_id: number | null;
  resource_type: string | null;
  resource_id: string | null;
  resource_label: string | null;
  before: unknown;
  after: unknown;
  ip: string | null;
  user_agent: string | null;
  request_id: string | null;
  hash: string;
  /** What the ids are called: the resource as it was then, everything else as it is now. */
  names: Record<'user' | 'token' | 'project' | 'resource', AuditName | null>;
}

export interface AuditName {
  /** Null where nobody knows it any more, or it has none. */
  name: string | null;
  /** Whether it is gone by now. */
  deleted: boolean;
}

export interface Setting {
  key: string;
  /** `duration`, `size`, `number` or `text`. */
  kind: string;
  value: string;
  from: string;
  configured: string;
  least: string | null;
  most: string | null;
  about: string;
  version: number;
  updated_at: Instant | null;
}

export interface SourceSecret {
  id: number;
  kind: string;
  /** Whether whoever sees one delivery can send others. */
  weak: boolean;
  created_at: Instant;
  /** From then on it is not believed. */
  not_after: Instant | null;
  /** Whether it is believed now. */
  live: boolean;
  last_matched_at: Instant | null;
}

export interface Source {
  id: number;
  host: string;
  name: string | null;
  /** Whether it was made here; others stand in the configuration. */
  managed: boolean;
  enabled: boolean;
  /** Where the host delivers to. */
  path: string;
  /** The same with the service's public address, where that is known. */
  url: string | null;
  silent_after_hours: number | null;
  last_delivery_at: Instant | null;
  /** Since when nothing has come, where that is longer than it may be. */
  silent_since: Instant | null;
  /** The newest first. */
  secrets: SourceSecret[];
  /** What an operator should see to. */
  warnings: { code: string; detail: string }[];
  created_at: Instant;
  deleted_at: Instant | null;
}

/** A source with a secret that is told this once. */
export interface SourceWithSecret extends Source {
  secret: string;
}

export interface Project {
  id: number;
  host: string;
  name: string;
  url: string | null;
  visibility: string;
  archived: boolean;
}

export interface Pipeline {
  id: number;
  project_id: number;
  project_name: string;
  host: string;
  /** What it is shown as: yours, or else the host's. */
  name: string;
  given_name: string | null;
  told_name: string;
  /** `project`: as its project; `private`. */
  visibility: string;
  archived: boolean;
}

export const TARGET_KINDS = ['webhook', 'slack', 'email'] as const;

export interface NotificationTarget {
  id: number;
  name: string;
  kind: string;
  /** Null: of all projects. */
  project_id: number | null;
  statuses: string[];
  enabled: boolean;
  /** Of its address the host alone. */
  url_host: string | null;
  /** Who gets mail; null where it is told in another way, or the service cannot read it. */
  recipients: string[] | null;
}

export interface RetentionPolicy {
  project_id: number;
  /** As in `90d`; null: as everywhere. */
  bodies: string | null;
  deliveries: string | null;
}

/** What became of one of many. */
export interface BatchResult {
  id: string | number;
  status: number;
  code: string | null;
  detail: string | null;
}

export interface ImportPlan {
  dry_run: boolean;
  create: number;
  update: number;
  keep: number;
  skip: number;
  steps: {
    line: number;
    thing: string;
    action: string;
    changes: string[];
    needs: string | null;
  }[];
  /** Tokens that were made, with their secrets, which are told this once. */
  made?: { line: number; name: string; token: string }[];
}
