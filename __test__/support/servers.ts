// Real servers in a test's namespace, on the kernel's sockets: PostgreSQL, Redis, MariaDB, each with its own data, as a
// plain user.

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findProgram } from '../../scripts/programs.cjs';
import type { Certificate } from './certificate';
import type { Finished, Running } from './netns';

/** Where the servers listen: the kernel's addresses on the TUN. */
const ADDRESSES = ['198.18.0.1', 'fd00::1'];
/** nobody: PostgreSQL and MariaDB refuse to be root. */
const NOBODY = 65534;
const LIMIT = 60_000; // ms until a server is ready, on a slow machine too

const isRoot = process.getuid?.() === 0;

/** What has to be put before a program in the namespace so that it does not run as root. */
function asPlainUser(): string[] {
  const id = String(NOBODY);
  if (isRoot) return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
  // In the namespace of a plain user that user is root; once more into another one.
  return ['unshare', '--user', '--map-user=1000', '--map-group=1000'];
}

function program(name: string, debian: string): string {
  const found = findProgram(name);
  if (found === null) throw new Error(`${name} is not installed: apt-get install ${debian}`);
  return found;
}

/** Runs a program that sets something up; `input` is its standard input. */
function setUp(file: string, args: string[], input = ''): void {
  const [command, ...rest] = [...(isRoot ? asPlainUser() : []), file, ...args] as [string, ...string[]];
  const { status, stderr, error } = spawnSync(command, rest, { input, encoding: 'utf8', cwd: tmpdir() });
  if (status !== 0) throw new Error(`${path.basename(file)} failed: ${error ?? stderr.slice(-2000)}`);
}

/** Resolves once the server says that it is ready; rejects, with what it said, when it ends before. */
function ready(name: string, running: Running, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`${name} is not ready after ${LIMIT} ms: ${said}`)), LIMIT);
    const look = (text: string): void => {
      said = (said + text).slice(-4000);
      if (!said.includes(words)) return;
      clearTimeout(timer);
      resolve();
    };
    running.process.stdout?.on('data', look);
    running.process.stderr?.on('data', look);
    running.finished.then(
      () => {
        clearTimeout(timer);
        reject(new Error(`${name} ended: ${said}`));
      },
      (error: Error) => reject(error),
    );
  });
}

/** What starts them: a namespace, or this process. */
export interface Starter {
  spawn(program: string, args: string[]): Running;
}

/** Starts programs as this process sees the network: for servers that only Unix sockets lead to. */
export const here: Starter = {
  spawn(program, args) {
    const child = spawn(program, args, { stdio: 'pipe', env: { ...process.env, NODE_OPTIONS: '' } });
    child.stdout.setEncoding('latin1');
    child.stderr.setEncoding('utf8');
    const finished = new Promise<Finished>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal, stdout: '', stderr: '' }));
    });
    return { process: child, finished };
  },
};

/** The servers of one namespace, and their folder. */
export class Servers {
  readonly #starter: Starter;
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'usernet-servers-'));
  readonly #running: Array<{ running: Running; signal: NodeJS.Signals }> = [];

  constructor(starter: Starter) {
    this.#starter = starter;
    chmodSync(this.#folder, 0o711);
  }

  /** PostgreSQL on port 5432, with TLS where it is asked for: user and database `test`, no password. */
  async postgres({ key, cert }: Certificate): Promise<void> {
    const data = this.#initdb();
    writeFileSync(path.join(data, 'pg_hba.conf'), 'host all all all trust\n');
    this.#own('postgres/server.crt', cert);
    this.#own('postgres/server.key', key);
    await this.#startPostgres(data, ['ssl=on', 'unix_socket_directories=', `listen_addresses=${ADDRESSES.join(',')}`]);
  }

  /** PostgreSQL on a Unix socket alone, whose path it resolves with: user and database `test`, no password. */
  async postgresOnSocket(): Promise<string> {
    const data = this.#initdb();
    await this.#startPostgres(data, [`unix_socket_directories=${data}`, 'listen_addresses=']);
    return path.join(data, '.s.PGSQL.5432');
  }

  #initdb(): string {
    const data = this.#own('postgres');
    setUp(program('initdb', 'postgresql'), [
      ...['-D', data, '-U', 'test', '--no-sync', '--no-locale', '-E', 'UTF8', '--auth=trust'],
    ]);
    return data;
  }

  async #startPostgres(data: string, more: string[]): Promise<void> {
    const settings = ['fsync=off', ...more];
    await this.#start(
      'PostgreSQL',
      [program('postgres', 'postgresql'), '-D', data, ...settings.flatMap((setting) => ['-c', setting])],
      'ready to accept connections',
      'SIGINT', // without waiting for its clients
    );
  }

  /** Redis on port 6379, nothing kept. */
  async redis(): Promise<void> {
    const args = ['--port', '6379', '--save', '', '--appendonly', 'no', '--protected-mode', 'no'];
    await this.#start(
      'Redis',
      [program('redis-server', 'redis-server'), ...args, '--bind', ...ADDRESSES, '--dir', this.#own('redis')],
      'Ready to accept connections',
    );
  }

  /** MariaDB on port 3306: user `test`, password `secret`. */
  async mariadb(): Promise<void> {
    const mariadbd = program('mariadbd', 'mariadb-server-core');
    const data = this.#own('mariadb');
    const common = ['--no-defaults', `--datadir=${data}`, '--innodb-log-file-size=4M', `--tmpdir=${data}`];
    setUp(mariadbd, [...common, '--bootstrap'], `create database mysql;\nuse mysql;\n${mariadbTables()}`);
    const init = path.join(data, 'init.sql');
    writeFileSync(init, "CREATE USER test@'%' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO test@'%';\n");
    const place = [`--socket=${path.join(data, 's')}`, `--pid-file=${path.join(data, 'pid')}`, '--bind-address=*'];
    await this.#start(
      'MariaDB',
      [mariadbd, ...common, ...place, '--port=3306', '--skip-name-resolve', `--init-file=${init}`],
      'ready for connections',
    );
  }

  /** Ends the servers and removes what they kept. The namespace's own `stop` would leave the folder. */
  async stop(): Promise<void> {
    for (const { running, signal } of this.#running) running.process.kill(signal);
    await Promise.all(this.#running.map(({ running }) => running.finished));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(name: string, command: string[], words: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const [first, ...rest] = [...asPlainUser(), ...command] as [string, ...string[]];
    const running = this.#starter.spawn(first, rest);
    this.#running.push({ running, signal });
    await ready(name, running, words);
  }

  /** A folder, or a file with these contents, that belongs to the servers' user alone. */
  #own(name: string, contents?: Buffer): string {
    const file = path.join(this.#folder, name);
    if (contents === undefined) mkdirSync(file, { mode: 0o700 });
    else writeFileSync(file, contents, { mode: 0o600 });
    if (isRoot) chownSync(file, NOBODY, NOBODY);
    return file;
  }
}

/** The statements that make MariaDB's own tables; their files moved with version 10.11. */
function mariadbTables(): string {
  for (const prefix of ['/usr/share/mariadb/mariadb', '/usr/share/mysql/mariadb', '/usr/share/mysql/mysql']) {
    const files = ['tables', 'tables_data'].map((part) => `${prefix}_system_${part}.sql`);
    if (files.every((file) => existsSync(file))) return files.map((file) => readFileSync(file, 'utf8')).join('\n');
  }
  throw new Error('mariadb-server-core has no mysql_system_tables.sql where it was');
}
