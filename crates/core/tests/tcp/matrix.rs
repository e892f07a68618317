//! RFC 9293 §3.10.7 as one table: every state x segment x place in the window x acknowledgement, with the answer and the
//! state that follows. Where the RFC leaves a choice or RFC 5961 and RFC 1337 amend it, the table says what Linux does.

use std::fmt::Write as _;

use crate::support::{Family, Isn, Tester};

/// Cells: `.` nothing is sent; `A` an acknowledgement that nothing was taken; `A+` one of all that the segment carries
/// (at once or delayed); `R` a RST with the acknowledgement number; `R.` one with sequence number 0 that acknowledges the
/// segment; `S` a SYN-ACK; `~` nothing or an acknowledgement, as the RFC leaves it; `x` the connection ends without an answer; `>STATE` what follows; `?` anything that does no
/// harm; ` ` the row does not occur. Without `>` the state stays.
///
/// Places: `at` RCV.NXT, `in` the window, `below` it, `fin` where the peer's FIN was, `above` the window.
/// Acknowledgements: `old`, `una` SND.UNA, `nxt` SND.NXT, `new` what was never sent, `-` none.
const TABLE: &str = "
segment  place  ack | CLOSED | LISTEN | SYN-SENT | SYN-RECEIVED  | ESTABLISHED    | FIN-WAIT-1     | FIN-WAIT-2     | CLOSE-WAIT | CLOSING     | LAST-ACK | TIME-WAIT
S        at     -   | R.     | S>SR   | S>SR     | ?             | A              | A              | A              | A          | A           | A        | ?
S        in     -   | R.     | S>SR   | S>SR     | ?             | A              | A              | A              | A          | A           | A        | S>SR
S        below  -   | R.     | S>SR   | S>SR     | ?             | A              | A              | A              | A          | A           | A        | A
S        above  -   | R.     | S>SR   | S>SR     | A             | A              | A              | A              | A          | A           | A        | S>SR
S.       at     nxt | R      | R      | A+>ESTAB | ?             | A              | A              | A              | A          | A           | A        | A
S.       at     una | R      | R      | R        | ?             | A              | A              | A              | A          | A           | A        | A
S.       at     new | R      | R      | R        | ?             | A              | A              | A              | A          | A           | A        | A
S.       below  nxt | R      | R      | A+>ESTAB | ?             | A              | A              | A              | A          | A           | A        | A
S.       above  nxt | R      | R      | A+>ESTAB | A             | A              | A              | A              | A          | A           | A        | A
.        at     old | R      | R      | R        | R             | .              | .              | .              | .          | .           | .        | .
.        at     una | R      | R      | R        | R             | .              | .              | .              | .          | .           | .        | .
.        at     nxt | R      | R      | .        | .>ESTAB       | .              | .>FW2          | .              | .          | .>TW        | .>CLOSED | .
.        at     new | R      | R      | R        | R             | A              | A              | A              | A          | A           | A        | ?
.        in     nxt | R      | R      | .        | .>ESTAB       | .              | .>FW2          | .              | .          | .>TW        | .>CLOSED | ?
.        below  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
.        above  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
P.       at     old | R      | R      | R        | R             | A+             | A+             | A+             | ~          | ~           | ~        | ~
P.       at     una | R      | R      | R        | R             | A+             | A+             | A+             | ~          | ~           | ~        | ~
P.       at     nxt | R      | R      | .        | A+>ESTAB      | A+             | A+>FW2         | A+             | ~          | ~>TW        | .>CLOSED | ~
P.       at     new | R      | R      | R        | R             | A              | A              | A              | A          | A           | A        | ~
P.       in     nxt | R      | R      | .        | A>ESTAB       | A              | A>FW2          | A              | ?          | ?           | ?        | ?
P.       below  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
P.       above  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
P        at     -   | R.     | .      | .        | .             | .              | .              | .              | ~          | ~           | ~        | ~
F.       at     una | R      | R      | R        | R             | A+>CW          | A+>CLOSING     | A+>TW          | ~          | ~           | ~        | ~
F.       at     nxt | R      | R      | .        | A+>CW         | A+>CW          | A+>TW          | A+>TW          | ~          | ~>TW        | .>CLOSED | ~
F.       at     new | R      | R      | R        | R             | A              | A              | A              | A          | A           | A        | ~
F.       in     nxt | R      | R      | .        | A>ESTAB       | A              | A>FW2          | A              | ?          | ?           | ?        | ?
F.       fin    una | R      | R      | R        | A             | A              | A              | A              | A          | A           | A        | A
F.       below  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
F.       above  nxt | R      | R      | .        | A             | A              | A              | A              | A          | A           | A        | A
F        at     -   | R.     | .      | .        | .             | .              | .              | .              | ~          | ~           | ~        | ~
PF.      at     nxt | R      | R      | .        | A+>CW         | A+>CW          | A+>TW          | A+>TW          | ~          | ~>TW        | .>CLOSED | ~
R        at     -   | .      | .      | .        | x             | x              | x              | x              | x          | x           | x        | .
R        in     -   | .      | .      | .        | A             | A              | A              | A              | A          | A           | A        | ?
R        below  -   | .      | .      | .        | .             | .              | .              | .              | .          | .           | .        | .
R        above  -   | .      | .      | .        | .             | .              | .              | .              | .          | .           | .        | .
R.       at     nxt | .      | .      | x        | x             | x              | x              | x              | x          | x           | x        | .
R.       at     una | .      | .      | .        | x             | x              | x              | x              | x          | x           | x        | .
R.       at     new | .      | .      | .        | x             | x              | x              | x              | x          | x           | x        | .
R.       in     nxt | .      | .      | x        | A             | A              | A              | A              | A          | A           | A        | ?
R.       below  nxt | .      | .      | x        | .             | .              | .              | .              | .          | .           | .        | .
R.       above  nxt | .      | .      | x        | .             | .              | .              | .              | .          | .           | .        | .
-        at     -   | R.     | .      | .        | .             | .              | .              | .              | .          | .           | .        | .
";

/// A state: how to get there, and its numbers.
struct Start {
    name: &'static str,
    script: &'static str,
    active: bool,
    rcv_nxt: i64,
    snd_una: i64,
    snd_nxt: i64,
}

const OPEN: &str = "@server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
";
const CLOSED_BY_US: &str = "shutdown write
    > F. 101:101(0) ack 1
";
const CLOSED_BY_PEER: &str = "< F. 1:1(0) ack 101
    > . 101:101(0) ack 2
";

/// Brings a tester to a state.
fn start(name: &str) -> (Start, String) {
    let state = |name, script, active, rcv_nxt, snd_una, snd_nxt| Start {
        name,
        script,
        active,
        rcv_nxt,
        snd_una,
        snd_nxt,
    };
    let start = match name {
        "CLOSED" => state("CLOSED", "", false, 1, 0, 1),
        "LISTEN" => state("CLOSED", "listen 80", false, 1, 0, 1),
        "SYN-SENT" => state("SYN-SENT", "connect\n> S 0:0(0)", true, 1, 0, 1),
        "SYN-RECEIVED" => {
            let script = "listen 80\n< S 0:0(0) <mss 1460>\n> S. 0:0(0) ack 1";
            state("SYN-RECEIVED", script, false, 1, 0, 1)
        }
        "ESTABLISHED" => state("ESTABLISHED", "", false, 1, 101, 101),
        "FIN-WAIT-1" => state("FIN-WAIT-1", CLOSED_BY_US, false, 1, 101, 102),
        "FIN-WAIT-2" => {
            let script = "shutdown write\n> F. 101:101(0) ack 1\n< . 1:1(0) ack 102";
            state("FIN-WAIT-2", script, false, 1, 102, 102)
        }
        "CLOSE-WAIT" => state("CLOSE-WAIT", CLOSED_BY_PEER, false, 2, 101, 101),
        "CLOSING" => {
            let script = "shutdown write\n> F. 101:101(0) ack 1\n< F. 1:1(0) ack 101\n\
                          > . 102:102(0) ack 2";
            state("CLOSING", script, false, 2, 101, 102)
        }
        "LAST-ACK" => {
            let script = "< F. 1:1(0) ack 101\n> . 101:101(0) ack 2\nshutdown write\n\
                          > F. 101:101(0) ack 2";
            state("LAST-ACK", script, false, 2, 101, 102)
        }
        "TIME-WAIT" => {
            let script = "shutdown write\n> F. 101:101(0) ack 1\n< F. 1:1(0) ack 102\n\
                          > . 102:102(0) ack 2";
            state("TIME-WAIT", script, false, 2, 102, 102)
        }
        _ => panic!("no such state: {name}"),
    };
    let opened = matches!(name, "CLOSED" | "LISTEN" | "SYN-SENT" | "SYN-RECEIVED");
    let before = if opened { "" } else { OPEN };
    let script = format!("{before}{}\nstate {}\n", start.script, start.name);
    (start, script)
}

fn full_name(short: &str) -> &str {
    match short {
        "SR" => "SYN-RECEIVED",
        "ESTAB" => "ESTABLISHED",
        "FW2" => "FIN-WAIT-2",
        "CW" => "CLOSE-WAIT",
        "TW" => "TIME-WAIT",
        name => name,
    }
}

/// The script of one cell.
fn cell_script(row: &[&str], start: &Start, cell: &str) -> Option<String> {
    let (flags, place, ack) = (row[0], row[1], row[2]);
    let seq = start.rcv_nxt
        + match place {
            "at" => 0,
            "in" => 100,
            "below" => -50,
            "fin" => -1,
            "above" => 5_000_000,
            _ => panic!("no such place: {place}"),
        };
    let acked = match ack {
        "-" => None,
        "old" => Some(start.snd_una - 50),
        "una" => Some(start.snd_una),
        "nxt" => Some(start.snd_nxt),
        "new" => Some(start.snd_nxt + 100),
        _ => panic!("no such acknowledgement: {ack}"),
    };
    let len = if flags.contains('P') { 10 } else { 0 };
    let control = i64::from(flags.contains('S')) + i64::from(flags.contains('F'));
    let end = seq + len + control;
    let mut script = format!("< {flags} {seq}:{}({len})", seq + len);
    if let Some(acked) = acked {
        let _ = write!(script, " ack {acked}");
    }
    script.push_str(" win 65535\n");
    let (answer, next) = cell.split_once('>').unwrap_or((cell, start.name));
    let next = full_name(if answer == "x" { "CLOSED" } else { next });
    let nxt = start.snd_nxt;
    match answer {
        "?" => return None,
        "~" => script.push_str("discard\n+45ms\ndiscard\n"),
        "." | "x" => script.push_str("+45ms\n"),
        "A" => {
            let _ = writeln!(script, "> . {nxt}:{nxt}(0) ack {}\n+45ms", start.rcv_nxt);
        }
        "A+" => {
            let _ = writeln!(script, "+0..41ms > . {nxt}:{nxt}(0) ack {end}\n+45ms");
        }
        "R" => {
            let acked = acked.expect("a RST by the number");
            let _ = writeln!(script, "> R {acked}:{acked}(0)\n+45ms");
        }
        "R." => {
            let _ = writeln!(script, "> R. 0:0(0) ack {end}\n+45ms");
        }
        "S" => {
            let _ = writeln!(script, "> S. 0:0(0) ack {end}\n+45ms");
        }
        _ => panic!("no such answer: {answer}"),
    }
    let _ = writeln!(script, "state {next}");
    Some(script)
}

/// Runs a state's column of the table.
fn column(name: &str) {
    let mut lines = TABLE.lines().filter(|l| !l.is_empty());
    let header: Vec<&str> = lines.next().expect("a header").split('|').map(str::trim).collect();
    let at = header.iter().position(|h| *h == name).expect("a column");
    let mut failures = Vec::new();
    let mut cells = 0;
    for line in lines {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let row: Vec<&str> = columns[0].split_whitespace().collect();
        for (family, isn) in
            [(Family::V4, Isn::Natural), (Family::V6, Isn::BelowSign), (Family::V4, Isn::BelowWrap)]
        {
            let (start, before) = start(name);
            let mut tester = Tester::new(family, isn, start.active);
            tester.run(&before);
            // What does no harm: nothing panics, and timers come to an end.
            let script = cell_script(&row, &start, columns[at]);
            let script = script.unwrap_or_else(|| {
                let any = cell_script(&row, &start, ".").expect("a script");
                let segment = any.lines().next().expect("a segment").to_string();
                format!("{segment}\ndiscard\n")
            });
            cells += 1;
            if let Err(report) = tester.try_run(&script) {
                failures.push(format!("{line}\n  in {name}, cell {:?}:{report}", columns[at]));
                break;
            }
        }
    }
    assert!(cells > 100, "the table is empty");
    assert!(failures.is_empty(), "{} cells fail:\n{}", failures.len(), failures.join("\n"));
}

macro_rules! columns {
    ($($test:ident: $state:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                column($state);
            }
        )*
    };
}

columns! {
    closed: "CLOSED",
    listen: "LISTEN",
    syn_sent: "SYN-SENT",
    syn_received: "SYN-RECEIVED",
    established: "ESTABLISHED",
    fin_wait_1: "FIN-WAIT-1",
    fin_wait_2: "FIN-WAIT-2",
    close_wait: "CLOSE-WAIT",
    closing: "CLOSING",
    last_ack: "LAST-ACK",
    time_wait: "TIME-WAIT",
}
