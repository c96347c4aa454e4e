// The real service under test: started with data and a port of its own, stopped, killed and started again. Knows nothing of browsers.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The binary; without it the browser tests are left out. */
export const BINARY = process.env.PIPECAST_BIN;

const GITHUB_SECRET = 'pl4nted: a secret of GitHub';
const GITLAB_SECRET = 'pl4nted: a token of GitLab';
/** How long it may take to start, in milliseconds. */
const PATIENCE = 30_000;

export class Service {
  url = '';
  /** What makes the first admin; empty until it is printed, and where there has been one. */
  setupToken = '';
  readonly #data = mkdtempSync(join(tmpdir(), 'pipecast-web-'));
  readonly #settings: Record<string, string>;
  #process: ChildProcess | null = null;
  #blocked: Promise<void> = Promise.resolve();

  private constructor(settings: Record<string, string>) {
    this.#settings = settings;
  }

  static async start(settings: Record<string, string> = {}): Promise<Service> {
    const service = new Service(settings);
    await service.again();
    return service;
  }

  /** Starts it once more, on the port that it had and on its data. */
  async again(): Promise<void> {
    const child = spawn(BINARY!, ['serve'], {
      cwd: this.#data,
      env: {
        PATH: process.env.PATH,
        PIPECAST_SERVER__LISTEN: this.url ? new URL(this.url).host : '127.0.0.1:0',
        PIPECAST_DATA_DIR: join(this.#data, 'data'),
        PIPECAST_WEBHOOKS__GITHUB__SECRET: GITHUB_SECRET,
        PIPECAST_WEBHOOKS__GITLAB__SECRET: GITLAB_SECRET,
        PIPECAST_LOG__FORMAT: 'json',
        ...this.#settings,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    const trace = traceOf(child.pid);
    this.url = await new Promise<string>((found, failed) => {
      let log = '';
      const late = setTimeout(() => failed(new Error(`the service did not start:\n${log}`)), PATIENCE);
      const read = (chunk: Buffer): void => {
        trace(chunk);
        log = (log + chunk.toString()).slice(-20_000);
        this.setupToken = /\bpcsu_\w{43}\b/.exec(log)?.[0] ?? this.setupToken;
        const url = /serves (http:\/\/[\d.:]+)/.exec(log)?.[1];
        if (!url) return;
        clearTimeout(late);
        found(url);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => failed(new Error(`the service ended with ${code}:\n${log}`)));
    });
  }

  /** Changes its database behind its back, as what goes wrong there would. */
  alter(sql: string): void {
    const program = 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=10); db.executescript(sys.argv[2]); db.close()';
    execFileSync('python3', ['-c', program, join(this.#data, 'data', 'pipecast.db'), sql]);
  }

  /** Keeps everybody else from writing into its database for some seconds, as a backup by a stranger would. Resolves when that is over. */
  async block(seconds: number): Promise<void> {
    const program =
      'import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)\n' +
      'db.execute("BEGIN IMMEDIATE"); print("held", flush=True); time.sleep(float(sys.argv[2])); db.execute("ROLLBACK")';
    const child = spawn('python3', ['-c', program, join(this.#data, 'data', 'pipecast.db'), String(seconds)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const over = new Promise<void>((done) => child.once('exit', () => done()));
    await new Promise((held) => child.stdout.once('data', held));
    this.#blocked = over;
  }

  /** Until nobody blocks it any more. */
  async unblocked(): Promise<void> {
    await this.#blocked;
  }

  /** As a crash would end it. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Stops the clock of the process: its sockets stay open and say nothing. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Ends it and takes its data away. */
  async remove(): Promise<void> {
    this.thaw();
    await this.#end('SIGKILL');
    rmSync(this.#data, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await gone;
  }

  /** Delivers an event as GitHub would, to the configured source where no other is named. Fails where it is refused. */
  async github(
    event: string,
    body: unknown,
    to: { url: string; secret: string } = { url: `${this.url}/webhooks/github`, secret: GITHUB_SECRET },
  ): Promise<void> {
    const text = JSON.stringify(body);
    await deliver(to.url, text, {
      'X-GitHub-Event': event,
      'X-GitHub-Delivery': randomUUID(),
      'X-Hub-Signature-256': `sha256=${createHmac('sha256', to.secret).update(text).digest('hex')}`,
    });
  }

  /** Delivers an event as GitLab would. */
  async gitlab(event: string, body: unknown): Promise<void> {
    await deliver(`${this.url}/webhooks/gitlab`, JSON.stringify(body), {
      'X-Gitlab-Event': event,
      'X-Gitlab-Event-UUID': randomUUID(),
      'X-Gitlab-Webhook-UUID': randomUUID(),
      'X-Gitlab-Token': GITLAB_SECRET,
    });
  }
}

/** Keeps what a process says for whoever looks for leaks, where PIPECAST_TEST_TRACES names a folder. */
function traceOf(id: number | undefined): (chunk: Buffer) => void {
  const folder = process.env.PIPECAST_TEST_TRACES;
  if (!folder) return () => {};
  const logs = join(folder, 'logs');
  mkdirSync(logs, { recursive: true });
  return (chunk) => appendFileSync(join(logs, `page-${id}.txt`), chunk);
}

async function deliver(url: string, body: string, headers: Record<string, string>): Promise<void> {
  const answer = await fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...headers } });
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
}
