// How a source is entered at its host: addresses, and where to paste what. Knows nothing of secrets.
import type { Source } from './wire';
import type { Word } from './words';

interface Hook {
  where: Word;
  url: Word;
  /** The field for the secret, by its kind. */
  secret: Record<string, Word>;
  then: Word[];
  /** Kinds of secrets among which one may choose. */
  kinds: string[];
}

/** Hosts for which sources can be made here. */
export const HOOKS: Record<string, Hook> = {
  github: {
    where: 'paste.github.where',
    url: 'paste.github.url',
    secret: { hmac: 'paste.github.secret' },
    then: ['paste.github.type', 'paste.github.events'],
    kinds: [],
  },
  gitlab: {
    where: 'paste.gitlab.where',
    url: 'paste.gitlab.url',
    secret: { token: 'paste.gitlab.secret', signing_token: 'paste.gitlab.signing' },
    then: ['paste.gitlab.events'],
    kinds: ['token', 'signing_token'],
  },
};

/** The end of its path, by which the ledger knows it. */
export function keyOf(source: Source): string {
  return source.path.split('/').at(-1) ?? '';
}

/** What it is called, or else where it is. */
export function nameOf(source: Source): string {
  return source.name ?? source.path;
}

/** The address that the host has to be given. */
export function urlOf(source: Source): string {
  return source.url ?? location.origin + source.path;
}

/** Its deliveries in the ledger. */
export function deliveriesOf(source: Source): string {
  return `/manage/deliveries?${new URLSearchParams({ host: source.host, source: keyOf(source) })}`;
}
