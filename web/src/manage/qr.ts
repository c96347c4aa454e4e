// A text as the picture that authenticator apps scan. Knows nothing of the text.
import { encode } from 'uqr';

/** The edge of the picture in dots, and a path with a square for each dark one. */
export function drawn(text: string): { size: number; path: string } {
  const { size, data } = encode(text, { ecc: 'M', border: 4 });
  const path = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : []))).join('');
  return { size, path };
}
