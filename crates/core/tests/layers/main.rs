//! The layers below and beside TCP, in virtual time: stacks on perfect wires, and crafted frames.

mod flow;
mod forward;
mod hostile;
mod ping;
mod raw;
mod reassembly;
mod support;
mod udp;
