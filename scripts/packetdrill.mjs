// Runs packetdrill scripts against the stack (crates/packetdrill) and compares with docs/packetdrill.json.
// Usage: node scripts/packetdrill.mjs --packetdrill <binary> [--google <checkout>] [--freebsd <checkout>] [options]
//   --only <text>     scripts whose name contains it, with packetdrill's own words for each failure
//   --jobs <n>        scripts at a time (default 2)
//   --timeout <s>     for one script (default 20)
//   --update          writes what came out to docs/packetdrill.json, keeping the reasons
//   --so <file>       the shared object (default: built by cargo, unoptimised)
// What it needs and what the numbers mean: docs/packetdrill.md.
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const expectationsFile = join(root, 'docs', 'packetdrill.json');

const { values: options } = parseArgs({
  options: {
    packetdrill: { type: 'string' },
    google: { type: 'string' },
    freebsd: { type: 'string' },
    only: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    timeout: { type: 'string', default: '20' },
    update: { type: 'boolean', default: false },
    so: { type: 'string' },
  },
});

if (!options.packetdrill || !(options.google || options.freebsd)) {
  console.error(
    'usage: node scripts/packetdrill.mjs --packetdrill <binary> [--google <checkout>] [--freebsd <checkout>]',
  );
  process.exit(2);
}

/** The suites: where their scripts lie, which flags make the stack comparable, and what packetdrill is told. */
const suites = [
  {
    name: 'google',
    checkout: options.google,
    scripts: (checkout) => walk(join(checkout, 'gtests/net/tcp')),
    base: (checkout) => join(checkout, 'gtests/net/tcp'),
    topic: (name) => (name.startsWith('fastopen/') ? name.split('/').slice(0, 2).join('/') : name.split('/')[0]),
    group: (name) => (name.startsWith('fastopen/') ? 'Fast Open' : 'without Fast Open'),
    flags: 'local=192.168.0.1+192.168.0.2+192.168.0.3,mtu=1500,flavour=linux',
    // The command line overrides what a script says of its addresses, so only what it does not say is said there.
    args: (script) => [
      '--send_omit_free',
      '--ip_version=ipv4',
      ...[
        '--local_ip=192.168.0.1',
        '--gateway_ip=192.168.0.1',
        '--netmask_ip=255.255.0.0',
        '--remote_ip=192.0.2.1',
      ].filter((flag) => !readFileSync(script, 'utf8').includes(`\n${flag.split('=')[0]}=`)),
      '-D',
      'TFO_COOKIE=3021b9d889017eeb',
      '-D',
      'CODE=host_unreachable',
      '-D',
      'CMSG_LEVEL_IP=SOL_IP',
      '-D',
      'CMSG_TYPE_RECVERR=IP_RECVERR',
    ],
  },
  {
    name: 'freebsd',
    checkout: options.freebsd,
    scripts: walk,
    base: (checkout) => checkout,
    topic: (name) => dirname(name),
    group: () => 'all',
    flags: 'local=192.168.0.1+fd3d:fa7b:d17d::1,mtu=1500,flavour=freebsd',
    // The address packetdrill would choose is a random one.
    args: (script) => [
      '--send_omit_free',
      readFileSync(script, 'utf8').includes('--ip_version=ipv6')
        ? '--local_ip=fd3d:fa7b:d17d::1'
        : '--local_ip=192.168.0.1',
    ],
  },
];

/** Every .pkt file below a directory. */
function walk(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? walk(path) : path.endsWith('.pkt') ? [path] : [];
    })
    .sort();
}

/**
 * Stand-ins for the commands that scripts call: sysctl(8) and Google's set_sysctls.py tell the adapter, and nothing
 * reaches this machine's settings.
 */
function makeTools(directory) {
  const tools = join(directory, 'bin');
  mkdirSync(tools);
  const tool = (name, body) => {
    writeFileSync(join(tools, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(tools, name), 0o755);
  };
  const record = 'case "$a" in *=*) printf "%s\\n" "$a" >> "$USERNET_PACKETDRILL_SYSCTL";; esac';
  tool('sysctl', `for a in "$@"; do ${record}; done`);
  tool(
    'python3',
    `case "$1" in
  *set_sysctls.py)
    shift
    for a in "$@"; do a=$(printf %s "$a" | sed 's|^/proc/sys/||'); ${record}; done
    printf '#!/bin/sh\\n' > "/tmp/sysctl_restore_$PACKETDRILL_PID.sh"
    chmod +x "/tmp/sysctl_restore_$PACKETDRILL_PID.sh";;
  *) exec ${execFileSync('which', ['python3'], { encoding: 'utf8' }).trim()} "$@";;
esac`,
  );
  tool('sockstat', 'cat "$USERNET_PACKETDRILL_SYSCTL.sockets" 2>/dev/null');
  for (const name of ['ip', 'tc', 'ifconfig', 'kldload', 'nstat', 'ethtool', 'iptables', 'route']) tool(name, 'exit 0');
  return tools;
}

/** The library, built by cargo when none was named. */
function sharedObject() {
  if (options.so) return resolve(options.so);
  execFileSync('cargo', ['build', '-p', 'usernet-packetdrill'], { cwd: root, stdio: 'inherit' });
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
  return join(target, 'debug', 'libusernet_packetdrill.so');
}

/** A network namespace of its own for each script, where that is possible: a seat belt, nothing needs it. */
function namespaced() {
  try {
    execFileSync('unshare', ['-n', 'true'], { stdio: 'ignore' });
    return ['unshare', '-n'];
  } catch {
    return [];
  }
}

/** Runs one script. Resolves to null when it passed, otherwise to what packetdrill said first. */
function run(suite, script, context) {
  const sysctl = join(context.directory, `sysctl-${context.next++}`);
  writeFileSync(sysctl, '');
  const command = [
    ...context.prefix,
    'env',
    `LD_PRELOAD=${context.so}`,
    resolve(options.packetdrill),
    `--so_filename=${context.so}`,
    `--so_flags=${suite.flags}`,
    ...suite.args(script),
    basename(script),
  ];
  return new Promise((settle) => {
    const child = spawn(command[0], command.slice(1), {
      cwd: dirname(script),
      env: { ...process.env, PATH: `${context.tools}:${process.env.PATH}`, USERNET_PACKETDRILL_SYSCTL: sysctl },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const gather = (chunk) => {
      if (output.length < 100_000) output += chunk;
    };
    child.stdout.on('data', gather);
    child.stderr.on('data', gather);
    const timer = setTimeout(() => {
      output = 'timed out';
      child.kill('SIGKILL');
    }, Number(options.timeout) * 1000);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      rmSync(sysctl, { force: true });
      rmSync(`${sysctl}.sockets`, { force: true });
      rmSync(`/tmp/sysctl_restore_${child.pid}.sh`, { force: true });
      settle(code === 0 ? null : output.trim() || `ended by ${signal ?? code}`);
    });
  });
}

/** The first words of a failure that say what is wrong, without paths and numbers of this run. */
function summary(output) {
  if (output === null) return null;
  const lines = output.split('\n');
  const line = lines.find((l) => /\.pkt:\d+: |error|Error|assert|timed out/.test(l)) ?? lines[0];
  return line
    .replace(/^.*\.pkt:/, 'line ')
    .trim()
    .slice(0, 200);
}

const directory = mkdtempSync(join(tmpdir(), 'usernet-packetdrill-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const context = { directory, tools: makeTools(directory), so: sharedObject(), prefix: namespaced(), next: 0 };

const expectations = existsSync(expectationsFile) ? JSON.parse(readFileSync(expectationsFile, 'utf8')) : {};
let unexpected = 0;

for (const suite of suites.filter((s) => s.checkout)) {
  const base = suite.base(suite.checkout);
  const scripts = suite
    .scripts(suite.checkout)
    .map((path) => ({ path, name: relative(base, path).replace(/\.pkt$/, '') }))
    .filter((s) => !options.only || s.name.includes(options.only));
  const results = new Map();
  const queue = [...scripts];
  const worker = async () => {
    for (let script = queue.shift(); script; script = queue.shift()) {
      results.set(script.name, await run(suite, resolve(script.path), context));
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));

  const known = expectations[suite.name]?.failures ?? {};
  const topics = new Map();
  const groups = new Map();
  const failures = {};
  for (const { name } of scripts) {
    const output = results.get(name);
    const passed = output === null;
    for (const [map, key] of [
      [topics, suite.topic(name)],
      [groups, suite.group(name)],
    ]) {
      const count = map.get(key) ?? { passed: 0, of: 0 };
      count.of += 1;
      count.passed += passed ? 1 : 0;
      map.set(key, count);
    }
    if (!passed) {
      failures[name] = { reason: known[name]?.reason ?? '', said: summary(output) };
      if (options.only) console.log(`--- ${suite.name}/${name}\n${output}\n`);
    }
    if (!options.update && passed === name in known) {
      unexpected += 1;
      console.log(passed ? `passes now: ${suite.name}/${name}` : `fails: ${suite.name}/${name}: ${summary(output)}`);
    }
  }

  console.log(`\n${suite.name}`);
  for (const [topic, count] of topics) console.log(`  ${String(count.passed).padStart(4)} of ${count.of}  ${topic}`);
  for (const [group, count] of groups) console.log(`  = ${group}: ${count.passed} of ${count.of} pass`);
  expectations[suite.name] = {
    passed: Object.fromEntries([...groups].map(([group, count]) => [group, `${count.passed} of ${count.of}`])),
    topics: Object.fromEntries([...topics].map(([topic, count]) => [topic, `${count.passed} of ${count.of}`])),
    failures,
  };
}

if (options.update && !options.only) {
  writeFileSync(expectationsFile, `${JSON.stringify(expectations, null, 2)}\n`);
  console.log(`wrote ${relative(root, expectationsFile)}`);
} else if (unexpected > 0) {
  console.log(`\n${unexpected} differences from docs/packetdrill.json`);
  process.exitCode = 1;
}
