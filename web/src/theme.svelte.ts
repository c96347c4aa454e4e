// Light, dark, or as the system says; kept in this browser. Knows nothing of colours.

export const THEMES = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'pipecast.theme';

class Chosen {
  value = $state<Theme>(stored());
}
const chosen = new Chosen();

export function theme(): Theme {
  return chosen.value;
}

export function setTheme(next: Theme): void {
  chosen.value = next;
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  remember(KEY, next === 'auto' ? null : next);
}

export function nextTheme(): void {
  setTheme(THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length] ?? 'auto');
}

function stored(): Theme {
  const value = recall(KEY);
  return value === 'light' || value === 'dark' ? value : 'auto';
}

/** Reads a setting of this browser; null where there is none or where storage is forbidden. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a setting in this browser, where it lets us; null forgets it. */
export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}
