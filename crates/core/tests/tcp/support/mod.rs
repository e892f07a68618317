//! A packet-script tester in virtual time: a script plays the peer and the application against one `Stack`.
//!
//! ```text
//! listen 80
//! < S 0:0(0) win 65535 <mss 1460>        # the peer sends; sequence numbers are relative
//! > S. 0:0(0) ack 1                      # the stack's next packet must be this one
//! < . 1:1(0) ack 1 win 512
//! accept
//! < P. 1:11(10) ack 1 win 512
//! +40ms > . 1:1(0) ack 11                # 40 ms later, and nothing before (1 ms either way)
//! read 10                                # contents are checked too
//! +10..20s > ...                         # within that time
//! +1m                                    # a minute in which nothing is sent
//! ```
//!
//! Every packet must be expected, in order, before anything else happens; at the end none may be left. What a `>` line
//! does not name (acknowledgement, window, options) may be anything, and so may PSH where it is not written. Options in
//! `<>` must match in order and padding. A `>*` line stands for the full segments that carry a range; `*` for a range is any.
//!
//! Steps: `< SEGMENT`, `< icmp KIND SEQ`, `> SEGMENT`, `>* RANGE`, `[2] ..` for a second connection, `repeat N { .. }`,
//! `@server [<options>]` and `@client [<options>]` for a handshake, and calls:
//! `listen PORT [ERROR]`, `unlisten`, `accept [none]`, `connect [ERROR]`, `read N|eof|none|ERROR`, `peek N`, `write N [= taken|more|ERROR]`,
//! `shutdown read|write|both`, `close`, `abort`, `set OPTION VALUE`, `state NAME`, `error NAME|none`, `event NAME`,
//! `no-event NAME`, `info FIELD = VALUE`, `stat FIELD = VALUE`, `flushed yes|no`, `stale`, `queued N`, `nothing`,
//! `discard` (what was sent), `rebase N` (new incarnation: N becomes the peer's initial sequence number), and before all
//! else `option NAME VALUE`, `config NAME VALUE`, `mtu N`.
//!
//! `{a|b}` in a line is `a` over IPv4 and `b` over IPv6.
//!
//! With every packet out, always checked: addresses, checksum, length, contents, that it lies in the window the peer
//! offered, and that the window it offers does not shrink.

mod calls;
mod hostile;
mod language;
mod options;
mod pair;
mod segment;
mod tester;

pub(crate) use language::Segment;
pub(crate) use pair::{LinkConfig, Pair, PairConfig};
pub(crate) use segment::{Family, bytes_at};
pub(crate) use tester::{Isn, Tester};

/// Turns a script into tests: over IPv4, over IPv6 with a peer whose sequence numbers cross 2^31, and over IPv4 with
/// both initial sequence numbers just below 2^32.
macro_rules! script {
    ($(#[$meta:meta])* $name:ident, $text:expr $(,)?) => {
        $(#[$meta])*
        mod $name {
            use $crate::support::{Family, Isn, Tester};
            #[test]
            fn v4() {
                Tester::play(Family::V4, Isn::Natural, $text);
            }
            #[test]
            fn v6() {
                Tester::play(Family::V6, Isn::BelowSign, $text);
            }
            #[test]
            fn isns_wrap() {
                Tester::play(Family::V4, Isn::BelowWrap, $text);
            }
        }
    };
}
pub(crate) use script;
