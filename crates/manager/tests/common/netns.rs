//! Running a test in a network namespace of its own, with whatever permission there is.

use std::process::Command;

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "USERNET_TEST_INSIDE_NETNS";

/// Runs the named test of this binary again inside a new network namespace; whether this is the inside.
pub(crate) fn inside_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace: &[&str] = &["unshare", "--user", "--map-root-user", "--net"];
    let may_unshare = |args: &[&str]| {
        // Opening for writing what only someone who may make a TUN can open.
        let check = "exec 3<>/dev/net/tun && ip tuntap add mode tun name probe";
        Command::new(args[0])
            .args(&args[1..])
            .args(["sh", "-c", check])
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let root: &[&str] = &["unshare", "--net"];
    let Some(unshare) = [root, namespace].into_iter().find(|args| may_unshare(args)) else {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make a TUN in a namespace");
        eprintln!(
            "SKIPPED {test}: no permission to make a TUN interface in a network namespace; run as root, or allow user \
             namespaces and writing /dev/net/tun, and install iproute2"
        );
        return false;
    };
    let status = Command::new(unshare[0])
        .args(&unshare[1..])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "inside the namespace: {status}");
    false
}
