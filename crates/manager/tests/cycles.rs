//! Opening and closing many times leaves nothing behind. Alone in its binary: it counts the process's threads and
//! descriptors.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // threads are what is tested

mod common;

use std::io::{Read, Write};

use common::pair;

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

#[test]
fn a_thousand_interfaces_leave_no_thread_and_no_descriptor() {
    let before = (entries("/proc/self/task"), entries("/proc/self/fd"));
    for i in 0..500 {
        // Two interfaces a turn; in every second one a connection lives when they are closed.
        let (_wire, a, b) = pair();
        if i % 2 == 0 {
            let listener = b.bind(80).unwrap();
            let mut ours = a.connect("198.18.0.2:80".parse().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            ours.write_all(b"x").unwrap();
            theirs.read_exact(&mut [0]).unwrap();
            if i % 4 == 0 {
                drop(b);
                drop(theirs);
            }
        }
    }
    assert_eq!((entries("/proc/self/task"), entries("/proc/self/fd")), before);
}
