//! Scenario tests of TCP, in virtual time: each reads like a packet trace and is named by what it shows.

mod buffers;
mod close;
mod coalesce;
mod ecn;
mod edges;
mod fastopen;
mod handshake;
mod hostile;
mod matrix;
mod options;
mod path_mtu;
mod random;
mod receive;
mod recovery;
mod requirements;
mod reset;
mod retransmit;
mod send;
mod support;
mod syn_cookies;
mod tester;
mod time_wait;
mod timeouts;
