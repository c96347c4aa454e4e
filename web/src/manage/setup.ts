// Whether the first admin has been made. Knows nothing of how that is done.
import { Refused } from '../api';
import { fromPage } from './session.svelte';

/** Once there is one there is always one. Where it cannot be told, there is. */
export async function isSetUp(): Promise<boolean> {
  try {
    await fromPage('/setup');
    return false;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return true;
  }
}
