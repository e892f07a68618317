//! The layers below and beside TCP, in virtual time: stacks on perfect wires, and crafted frames.

mod addresses;
mod advertise;
mod autoconf;
mod bridge;
mod cut;
mod ethernet;
mod flow;
mod forward;
mod groups;
mod hostile;
mod hostile_ethernet;
mod icmp;
mod lan;
mod neighbor;
mod oracle;
mod ping;
mod raw;
mod reassembly;
mod sources;
mod strong_host;
mod support;
mod udp;
mod uso;
