// Proving once more who one is, where the service asks for it: one question for however many requests wait. Knows nothing of what they do, nor of how
// it is proved.
import { Refused } from '../api';

class Confirmation {
  /** Whether somebody is to be asked. */
  wanted = $state(false);

  #waiting: Promise<void> | null = null;
  #given: () => void = () => {};
  #refuse: () => void = () => {};

  /** Waits until it is given; throws `refused`, without what it says to programs, where it is not. */
  ask(refused: Refused): Promise<void> {
    this.#waiting ??= new Promise<void>((given, failed) => {
      const { detail: _, ...problem } = refused.problem ?? {};
      this.#given = given;
      this.#refuse = () => failed(new Refused(refused.status, problem.title ?? '', problem));
      this.wanted = true;
    }).finally(() => {
      this.wanted = false;
      this.#waiting = null;
    });
    return this.#waiting;
  }

  give(): void {
    this.#given();
  }

  /** Where somebody would rather not, or is signed out meanwhile. */
  refuse(): void {
    this.#refuse();
  }
}

export const confirmation = new Confirmation();
