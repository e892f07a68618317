// Network namespaces for the demo and the tests: whether this machine lets us make one with a TUN in it, and how.
// Everything that sends packets to a kernel happens in a namespace made here, never on the machine's own interfaces.

const { spawnSync } = require('node:child_process');
const { accessSync, constants, existsSync } = require('node:fs');
const process = require('node:process');

/** The arguments of unshare(1) for a new network namespace: root needs nothing else, others need a user namespace too. */
function unshareArgs() {
  return process.getuid() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net'];
}

/** The arguments of nsenter(1) that lead into the namespace of process `pid`, made with `unshareArgs()`. */
function nsenterArgs(pid) {
  const into = ['--target', String(pid), '--net'];
  return process.getuid() === 0 ? into : [...into, '--user', '--preserve-credentials'];
}

/** What is missing to open a TUN in a namespace, and how to grant it; null when it works. */
function whyNoTun() {
  if (process.platform !== 'linux') {
    return {
      missing: `TUN in a network namespace is Linux's, and this is ${process.platform}`,
      remedy: 'run it on Linux',
    };
  }
  const root = process.getuid() === 0;
  const unshare = spawnSync('unshare', [...unshareArgs(), 'true'], { encoding: 'utf8' });
  if (unshare.error) {
    return { missing: 'the program unshare is not installed', remedy: 'sudo apt-get install util-linux' };
  }
  if (unshare.status !== 0) {
    return {
      missing: `a network namespace may not be made here (${unshare.stderr.trim()})`,
      remedy: root
        ? 'give the container CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun)'
        : 'run it with sudo, or allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1 ' +
          'kernel.apparmor_restrict_unprivileged_userns=0 (whichever of the two this kernel has)',
    };
  }
  if (!existsSync('/dev/net/tun')) {
    return {
      missing: '/dev/net/tun does not exist',
      remedy:
        'sudo modprobe tun; in a container: docker run --device /dev/net/tun, ' +
        'or mkdir -p /dev/net && mknod /dev/net/tun c 10 200',
    };
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return {
      missing: '/dev/net/tun may not be opened by this user (no read and write permission)',
      remedy: 'sudo chmod 666 /dev/net/tun, or run it with sudo',
    };
  }
  const probe = spawnSync('unshare', [...unshareArgs(), 'ip', 'tuntap', 'add', 'dev', 'un0', 'mode', 'tun'], {
    encoding: 'utf8',
  });
  if (probe.status === 127) {
    return { missing: 'the program ip is not installed', remedy: 'sudo apt-get install iproute2' };
  }
  if (probe.status !== 0) {
    return {
      missing: `a TUN interface may not be created (${probe.stderr.trim()})`,
      remedy: 'CAP_NET_ADMIN is needed: run it with sudo, or docker run --cap-add NET_ADMIN --device /dev/net/tun',
    };
  }
  return null;
}

module.exports = { unshareArgs, nsenterArgs, whyNoTun };
