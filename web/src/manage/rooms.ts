// The rooms of the managing part, in the order in which they are offered, and who may enter which. Knows nothing of what is done there.
import type { Component } from 'svelte';

import Account from './pages/Account.svelte';
import Audit from './pages/Audit.svelte';
import DeadLetters from './pages/DeadLetters.svelte';
import Deliveries from './pages/Deliveries.svelte';
import Pipelines from './pages/Pipelines.svelte';
import Projects from './pages/Projects.svelte';
import Retention from './pages/Retention.svelte';
import Settings from './pages/Settings.svelte';
import Sources from './pages/Sources.svelte';
import Targets from './pages/Targets.svelte';
import Tokens from './pages/Tokens.svelte';
import Users from './pages/Users.svelte';
import { session } from './session.svelte';
import type { Word } from './words';

interface Room {
  /** In the address. */
  room: string;
  name: Word;
  page: Component<{ id: string | null }>;
  open: () => boolean;
}

export const rooms: Room[] = [
  { room: 'sources', name: 'sources.title', page: Sources, open: () => session.may('sources:manage') },
  { room: 'deliveries', name: 'deliveries.title', page: Deliveries, open: () => session.may('deliveries:read') },
  { room: 'dead-letters', name: 'dead.title', page: DeadLetters, open: () => session.mayEverywhere('deliveries:read') },
  { room: 'projects', name: 'projects.title', page: Projects, open: () => session.may('projects:manage') || session.may('members:manage') },
  { room: 'pipelines', name: 'pipelines.title', page: Pipelines, open: () => session.may('pipelines:write') },
  { room: 'users', name: 'users.title', page: Users, open: () => session.may('users:manage') },
  { room: 'tokens', name: 'tokens.title', page: Tokens, open: () => session.may('tokens:manage') },
  { room: 'audit', name: 'audit.title', page: Audit, open: () => session.may('audit:read') },
  { room: 'targets', name: 'targets.title', page: Targets, open: () => session.may('settings:read') },
  { room: 'retention', name: 'retention.title', page: Retention, open: () => session.may('settings:read') },
  { room: 'settings', name: 'settings.title', page: Settings, open: () => session.may('settings:read') },
  { room: 'account', name: 'account.title', page: Account, open: () => true },
];

export function roomOf(room: string): Room | undefined {
  return rooms.find((one) => one.room === room);
}
