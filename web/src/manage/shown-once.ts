// Secrets that the service tells once, on their way from the form that made them to the page that shows them. In memory alone, and gone
// after one reading. Knows nothing of what they open.

const secrets = new Map<string, string>();

export function keep(of: string, secret: string): void {
  secrets.set(of, secret);
}

export function take(of: string): string | null {
  const secret = secrets.get(of) ?? null;
  secrets.delete(of);
  return secret;
}
