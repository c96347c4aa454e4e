// The colour family of each status. Knows nothing of the colours themselves, which app.css holds for light and dark.
import type { Status } from './status';

export type Tone = 'run' | 'wait' | 'ask' | 'good' | 'bad' | 'odd' | 'calm';

export const TONES: Record<Status, Tone> = {
  running: 'run',
  finalizing: 'run',
  queued: 'wait',
  waiting: 'wait',
  blocked: 'ask',
  failure: 'bad',
  error: 'odd',
  timed_out: 'odd',
  cancelled: 'calm',
  success: 'good',
  neutral: 'calm',
  skipped: 'calm',
  finished: 'calm',
  unknown: 'calm',
};
