// Which bare key was pressed. Knows nothing of what keys do.

/** The key, unless a modifier is held or someone is writing text. */
export function bareKey(event: KeyboardEvent): string | null {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return null;
  const target = event.target;
  if (target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))) return null;
  return event.key;
}

/** -1 up, 1 down, 0 for any other key. */
export function direction(key: string | null): -1 | 0 | 1 {
  if (key === 'j' || key === 'ArrowDown') return 1;
  if (key === 'k' || key === 'ArrowUp') return -1;
  return 0;
}
