// What has just been done, said once: shown for some seconds, and read out. Knows nothing of what it is about.

class Announced {
  text = $state('');
}
export const announced = new Announced();

/** Milliseconds that it is shown. */
const SHOWN = 6_000;
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(text: string): void {
  clearTimeout(timer);
  announced.text = text;
  timer = setTimeout(() => (announced.text = ''), SHOWN);
}
