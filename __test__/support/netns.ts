// A network namespace with a process of ours in it (a "peer" script, see peer.ts) and the kernel's clients beside it.

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { nsenterArgs, unshareArgs, whyNoTun } from '../../scripts/netns.cjs';

const missing = whyNoTun();

/** `describe` where a TUN in a namespace is permitted; skipped, with the reason in its name, elsewhere. CI fails on skips. */
export const describeTun: (name: string, body: () => void) => void =
  missing === null
    ? describe
    : (name, body) => describe.skip(`${name} (needs a TUN: ${missing.missing}; ${missing.remedy})`, body);

/** How a program ended, and what it printed. */
export interface Finished {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A program that runs in the namespace. */
export interface Running {
  process: ChildProcess;
  finished: Promise<Finished>;
}

interface Reply {
  id: number;
  result?: unknown;
  error?: string;
}

/** A namespace that lives as long as its peer process. */
export class Namespace {
  readonly #peer: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  readonly #programs = new Set<ChildProcess>();
  #stderr = '';
  #nextId = 1;
  #gone: string | null = null;

  private constructor(script: string) {
    const root = path.resolve(__dirname, '../..');
    // unshare(1) executes Node in its own place, so the IPC descriptor goes straight through.
    this.#peer = fork(script, [], {
      execPath: 'unshare',
      execArgv: [...unshareArgs(), process.execPath, '--expose-gc', '--import', 'tsx'],
      cwd: root,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#peer.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-20_000);
    });
    this.#peer.on('message', (message: Reply) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error === undefined) waiting?.resolve(message.result as never);
      else waiting?.reject(new Error(`in the peer: ${message.error}`));
    });
    this.#peer.once('exit', (code, signal) => {
      this.#gone = `the peer process ended with ${signal ?? code}\n${this.#stderr}`;
      for (const { reject } of this.#waiting.values()) reject(new Error(this.#gone));
      this.#waiting.clear();
    });
  }

  /** Makes a namespace and runs `script` (a file of this folder) in it; `options` go to its `start`. */
  static async start(script = 'peer.ts', options: object = {}): Promise<Namespace> {
    const namespace = new Namespace(path.join(__dirname, script));
    try {
      await namespace.call('start', options);
    } catch (error) {
      await namespace.stop();
      throw error;
    }
    return namespace;
  }

  /** Calls a function of the peer script. */
  call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#gone !== null) return Promise.reject(new Error(this.#gone));
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#peer.send({ id, method, args }, (error) => {
        if (error === null) return;
        this.#waiting.delete(id);
        reject(error);
      });
    });
  }

  /** Starts a program in the namespace: the kernel's side. `input` is written to its standard input, which then ends. */
  spawn(program: string, args: string[], options: { input?: string | Buffer; keepStdin?: boolean } = {}): Running {
    const child = spawn('nsenter', [...nsenterArgs(this.#peer.pid as number), program, ...args], {
      stdio: 'pipe',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#programs.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // A program that ends without reading all of its input is no error here.
    child.stdin.on('error', () => {});
    if (options.keepStdin !== true) child.stdin.end(options.input ?? '');
    const finished = new Promise<Finished>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#programs.delete(child);
        resolve({ code, signal, stdout, stderr });
      });
    });
    return { process: child, finished };
  }

  /** Runs a program in the namespace to its end. */
  exec(program: string, args: string[], options: { input?: string | Buffer } = {}): Promise<Finished> {
    return this.spawn(program, args, options).finished;
  }

  /** Ends the peer and every program that still runs in the namespace. Returns the peer's exit code. */
  async stop(): Promise<number | null> {
    for (const child of this.#programs) child.kill('SIGKILL');
    if (this.#gone !== null) return this.#peer.exitCode;
    const exit = once(this.#peer, 'exit');
    // The channel keeps the peer alive; without it, and with its stack closed, it ends by itself. If not, it hangs: 10 s.
    if (this.#peer.connected) this.#peer.disconnect();
    const timer = setTimeout(() => this.#peer.kill('SIGKILL'), 10_000);
    const [code] = (await exit) as [number | null];
    clearTimeout(timer);
    return code;
  }
}
