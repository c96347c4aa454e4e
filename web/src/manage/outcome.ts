// What became of a delivery, in tones. Knows nothing of words.

export const OUTCOMES = ['applied', 'ping', 'ignored', 'duplicate', 'refused', 'unprocessable'] as const;

const TONES: Record<string, string> = {
  applied: 'good',
  ping: 'run',
  ignored: 'calm',
  duplicate: 'calm',
  refused: 'bad',
  unprocessable: 'odd',
};

export function toneOf(outcome: string): string {
  return TONES[outcome] ?? 'calm';
}
