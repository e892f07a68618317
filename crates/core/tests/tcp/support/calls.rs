//! The application's side of a script: calls of the stack, and questions about what it shows.

use std::time::Duration;

use usernet_core::tcp::{Info, StateName};
use usernet_core::{
    BufferSize, ConnectionError, EcnPolicy, ErrorReport, KeepAlive, MtuProbing, Ready, RecvError,
    SendError, Shutdown, SocketOptions, SynCookies,
};

use super::language::{duration, number};
use super::segment;
use super::tester::Tester;

type Outcome = Result<(), String>;

impl Tester {
    /// Settings that must come before everything else.
    pub(crate) fn configure(&mut self, words: &[&str]) -> Outcome {
        if self.is_made() {
            return Err("settings come first".into());
        }
        match *words {
            ["option", name, ref value @ ..] => set_option(&mut self.config.socket, name, value),
            ["mtu", n] => n.parse().map(|n| self.mtu = n).map_err(|_| "not an MTU".into()),
            ["config", "time_wait", t] => duration(t).map(|t| self.config.time_wait = t),
            ["config", "max_connections", n] => {
                number(n).map(|n| self.config.max_connections = n as usize)
            }
            ["config", "max_time_wait", n] => {
                number(n).map(|n| self.config.max_time_wait = n as usize)
            }
            ["config", "max_receive_memory", n] => {
                number(n).map(|n| self.config.max_receive_memory = n as usize)
            }
            ["config", "max_send_memory", n] => {
                number(n).map(|n| self.config.max_send_memory = n as usize)
            }
            ["config", "max_syn_backlog", n] => {
                number(n).map(|n| self.config.max_syn_backlog = n as usize)
            }
            ["config", "syn_cookies", when] => {
                self.config.syn_cookies = match when {
                    "off" => SynCookies::Off,
                    "full" => SynCookies::WhenFull,
                    "always" => SynCookies::Always,
                    _ => return Err("syn_cookies off|full|always".into()),
                };
                Ok(())
            }
            _ => Err("no such setting".into()),
        }
    }

    /// Runs one call.
    pub(crate) fn call(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["nothing"] => Ok(()),
            ["lawless"] => {
                self.peer().lawless = true;
                Ok(())
            }
            ["listen", port] => self.listen(parse(port)?, 128),
            ["listen", port, "backlog", n] => self.listen(parse(port)?, parse(n)?),
            ["listen", port, error] => match self.listen(parse(port)?, 128) {
                Ok(()) => Err("it worked".into()),
                Err(e) => same("the error", &e, &error.replace('-', " ")),
            },
            ["unlisten"] => {
                let id = self.listeners.remove(&self.last_port).ok_or("nothing listens")?;
                let now = self.now;
                self.stack().0.tcp_close_listener(now, id).map_err(|e| e.to_string())
            }
            ["accept"] => self.accept(),
            ["accept", "none"] => {
                let id = *self.listeners.get(&self.last_port).ok_or("nothing listens")?;
                match self.stack().0.tcp_accept(id).map_err(|e| e.to_string())? {
                    None => Ok(()),
                    Some(_) => Err("a connection was there to accept".into()),
                }
            }
            ["connect"] => self.connect(),
            ["connect", error] => match self.connect() {
                Ok(()) => Err("it worked".into()),
                Err(e) => same("the error", &e, &error.replace('-', " ")),
            },
            ["write", n] => self.write(parse(n)?, n, false),
            ["write", n, "more"] => self.write(parse(n)?, n, true),
            ["write", n, "urgent"] => {
                let (id, now, at) = (self.socket()?, self.now, self.peer().written);
                let data = segment::bytes_at(true, at.wrapping_add(1), parse(n)?);
                let taken = self.stack().0.tcp_send_urgent(now, id, &data);
                let taken = taken.map_err(|e| e.to_string())?;
                self.peer().written += taken as u32;
                same("the outcome", &taken.to_string(), n)
            }
            ["write", n, "more", "=", outcome] => self.write(parse(n)?, outcome, true),
            ["write", n, "=", outcome] => self.write(parse(n)?, outcome, false),
            ["read", what] => self.read(what),
            ["peek", n] => {
                let (id, at) = (self.socket()?, self.peer().read);
                let mut buf = vec![0; parse::<usize>(n)? + 1];
                let got = self.stack().0.tcp_peek(id, &mut buf).map_err(|e| e.to_string())?;
                same("the length", &got.to_string(), n)?;
                contents(&buf[..got], at)
            }
            ["shutdown", how] => {
                let how = match how {
                    "read" => Shutdown::Read,
                    "write" => Shutdown::Write,
                    "both" => Shutdown::Both,
                    _ => return Err("shutdown read|write|both".into()),
                };
                let (id, now) = (self.socket()?, self.now);
                self.stack().0.tcp_shutdown(now, id, how).map_err(|e| e.to_string())
            }
            ["close"] => {
                let (id, now) = (self.socket()?, self.now);
                self.stack().0.tcp_close(now, id).map_err(|e| e.to_string())
            }
            ["abort"] => {
                let (id, now) = (self.socket()?, self.now);
                self.stack().0.tcp_abort(now, id).map_err(|e| e.to_string())
            }
            ["abort", "all"] => {
                let now = self.now;
                self.stack().0.abort_all(now);
                Ok(())
            }
            ["set", name, ref value @ ..] => self.set(name, value),
            ["syn-room", n] => {
                let id = self.socket()?;
                let room = self.stack().0.tcp_syn_room(id).map_err(|e| e.to_string())?;
                same("the room", &room.to_string(), n)
            }
            ["rebase", n] => {
                self.rebase(number(n)?);
                Ok(())
            }
            _ => self.ask(words),
        }
    }

    /// Answers one question.
    fn ask(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["state", name] => same("the state", self.state()?.as_str(), name),
            ["error", name] => {
                let id = self.socket()?;
                let error = self.stack().0.tcp_error(id).map_err(|e| e.to_string())?;
                same("the error", error.map_or("none", error_name), name)
            }
            ["event", name] => {
                let (id, wanted) = (self.socket()?, ready(name)?);
                let have = self.ready.entry(id).or_default();
                if !have.contains(wanted) {
                    return Err(format!("events so far: {have:?}"));
                }
                have.remove(wanted);
                Ok(())
            }
            ["no-event", name] => {
                let (id, wanted) = (self.socket()?, ready(name)?);
                let have = self.ready.get(&id).copied().unwrap_or_default();
                if have.intersects(wanted) { Err(format!("there is: {have:?}")) } else { Ok(()) }
            }
            ["report", ref wanted @ ..] => {
                let id = self.socket()?;
                let report = self.stack().0.tcp_take_report(id).map_err(|e| e.to_string())?;
                same("the report", &report.map_or("none".into(), report_name), &wanted.join(" "))
            }
            ["soft-error", name] => {
                let id = self.socket()?;
                let info = self.stack().0.tcp_info(id).map_err(|e| e.to_string())?;
                same("the soft error", info.soft_error.map_or("none", error_name), name)
            }
            ["acceptable"] => {
                if std::mem::take(&mut self.acceptable) {
                    Ok(())
                } else {
                    Err("no event".into())
                }
            }
            ["info", name, relation, value] => {
                let (id, now) = (self.socket()?, self.now);
                let info = self.stack().0.tcp_info_at(now, id).map_err(|e| e.to_string())?;
                compare(field(&info, name)?, relation, value)
            }
            ["stat", name, relation, value] => {
                let stats = self.stack().0.stats();
                let (_, have) =
                    stats.iter().find(|(counter, _)| *counter == name).ok_or("no such counter")?;
                compare(have, relation, value)
            }
            ["flushed", wanted] => {
                let id = self.socket()?;
                let flushed = self.stack().0.tcp_flushed(id).map_err(|e| e.to_string())?;
                same("flushed", if flushed { "yes" } else { "no" }, wanted)
            }
            ["queued", n] => {
                let id = self.socket()?;
                let queued = self.stack().0.tcp_recv_queue(id).map_err(|e| e.to_string())?;
                same("the queue", &queued.to_string(), n)
            }
            ["room", relation, n] => {
                let id = self.socket()?;
                let room = self.stack().0.tcp_send_room(id).map_err(|e| e.to_string())?;
                compare(room as u64, relation, n)
            }
            ["stale"] => {
                let id = self.socket()?;
                match self.stack().0.tcp_info(id) {
                    Err(_) => Ok(()),
                    Ok(info) => Err(format!("the socket is there still, in {}", info.state)),
                }
            }
            _ => Err("no such call".into()),
        }
    }

    /// The state: by the socket where there is one, else by the trace.
    pub(crate) fn state(&mut self) -> Result<StateName, String> {
        let peer = self.peer().clone();
        let traced = self.states.get(&(peer.local_port, peer.peer_port)).copied();
        let stack = &self.stack().0;
        // A newer connection between the same ports is the one meant.
        let held = peer.socket.filter(|held| traced.is_none_or(|(id, _)| id == *held));
        let shown = held.and_then(|id| stack.tcp_info(id).ok()).map(|info| info.state);
        match (shown, traced) {
            (Some(shown), Some((_, traced))) if shown != traced => {
                Err(format!("info says {shown}, the trace {traced}"))
            }
            (Some(state), _) | (None, Some((_, state))) => Ok(state),
            (None, None) => Ok(StateName::Closed),
        }
    }

    fn accept(&mut self) -> Outcome {
        let id = *self.listeners.get(&self.last_port).ok_or("nothing listens")?;
        let accepted = self.stack().0.tcp_accept(id).map_err(|e| e.to_string())?;
        let socket = accepted.ok_or("no connection waits")?;
        let (_, remote) = self.stack().0.tcp_addrs(socket).map_err(|e| e.to_string())?;
        same("the peer", &remote.port().to_string(), &self.peer().peer_port.to_string())?;
        self.peer().socket = Some(socket);
        Ok(())
    }

    fn write(&mut self, len: u32, outcome: &str, more: bool) -> Outcome {
        let (id, now, at) = (self.socket()?, self.now, self.peer().written);
        let data = segment::bytes_at(true, at.wrapping_add(1), len);
        let got = match self.stack().0.tcp_send(now, id, &data, more) {
            Ok(taken) => {
                self.peer().written += taken as u32;
                taken.to_string()
            }
            Err(SendError::NoSuchSocket) => "stale".into(),
            Err(SendError::BrokenPipe) => "broken-pipe".into(),
            Err(SendError::Connection(e)) => error_name(e).into(),
        };
        same("the outcome", &got, outcome)
    }

    fn read(&mut self, what: &str) -> Outcome {
        let (id, now, at) = (self.socket()?, self.now, self.peer().read);
        let wanted: Option<usize> = what.parse().ok();
        let mut buf = vec![0; wanted.unwrap_or(1)];
        let mut got = 0;
        // One call may give less than there is; what is there must come in the end.
        let outcome = loop {
            match self.stack().0.tcp_recv(now, id, &mut buf[got..]) {
                Ok(0) => break "eof",
                Ok(n) => got += n,
                Err(RecvError::NoSuchSocket) => break "stale",
                Err(RecvError::WouldBlock) => break "none",
                Err(RecvError::Connection(e)) => break error_name(e),
            }
            if got == buf.len() {
                break "";
            }
        };
        self.peer().read += got as u32;
        contents(&buf[..got], at)?;
        match wanted {
            Some(wanted) if got == wanted => Ok(()),
            Some(_) => Err(format!("got {got} bytes, then {outcome:?}")),
            None if got > 0 => Err("there was data".into()),
            None => same("the outcome", outcome, what),
        }
    }

    fn set(&mut self, name: &str, value: &[&str]) -> Outcome {
        let (id, now) = (self.socket()?, self.now);
        let mut outcome = Ok(());
        self.stack()
            .0
            .tcp_set_options(now, id, |options| outcome = set_option(options, name, value))
            .map_err(|e| e.to_string())?;
        outcome
    }
}

/// The bytes read must be those that the peer sent.
fn contents(bytes: &[u8], at: u32) -> Outcome {
    let wanted = segment::bytes_at(false, at.wrapping_add(1), bytes.len() as u32);
    match bytes.iter().zip(&wanted).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(i) => Err(format!("byte {} is not what the peer sent", at as usize + i)),
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

fn same(what: &str, have: &str, wanted: &str) -> Outcome {
    if have == wanted { Ok(()) } else { Err(format!("{what} is {have:?}, expected {wanted:?}")) }
}

fn compare(have: u64, relation: &str, value: &str) -> Outcome {
    let wanted = match value {
        "yes" => 1,
        "no" => 0,
        "max" => u64::from(u32::MAX),
        _ => match value.parse() {
            Ok(n) => n,
            Err(_) => duration(value)?.as_nanos() as u64,
        },
    };
    let holds = match relation {
        "=" => have == wanted,
        "<" => have < wanted,
        ">" => have > wanted,
        "<=" => have <= wanted,
        ">=" => have >= wanted,
        _ => return Err(format!("no such relation: {relation}")),
    };
    if holds { Ok(()) } else { Err(format!("it is {have}, expected {relation} {wanted}")) }
}

fn field(info: &Info, name: &str) -> Result<u64, String> {
    let nanos = |d: Duration| d.as_nanos() as u64;
    Ok(match name {
        "srtt" => nanos(info.srtt),
        "rttvar" => nanos(info.rttvar),
        "min_rtt" => nanos(info.min_rtt),
        "rto" => nanos(info.rto),
        "backoff" => info.backoff.into(),
        "mss" => info.mss.into(),
        "peer_mss" => info.peer_mss.into(),
        "pmtu" => info.pmtu.into(),
        "cwnd" => info.cwnd.into(),
        "ssthresh" => info.ssthresh.into(),
        "snd_wnd" => info.snd_wnd.into(),
        "rcv_wnd" => info.rcv_wnd.into(),
        "snd_wscale" => info.snd_wscale.map_or(99, u64::from),
        "rcv_wscale" => info.rcv_wscale.map_or(99, u64::from),
        "timestamps" => info.timestamps.into(),
        "sack" => info.sack.into(),
        "in_flight" => info.in_flight.into(),
        "send_queue" => info.send_queue.into(),
        "unsent" => info.unsent.into(),
        "recv_queue" => info.recv_queue.into(),
        "ooo_queue" => info.ooo_queue.into(),
        "recv_buffer" => info.recv_buffer.into(),
        "send_buffer" => info.send_buffer.into(),
        "rcv_rtt" => nanos(info.rcv_rtt),
        "bytes_sent" => info.bytes_sent,
        "bytes_acked" => info.bytes_acked,
        "bytes_received" => info.bytes_received,
        "bytes_retrans" => info.bytes_retrans,
        "segs_out" => info.segs_out,
        "segs_in" => info.segs_in,
        "retrans" => info.retrans,
        "timeouts" => info.timeouts,
        "lost" => info.lost.into(),
        "data_segs_out" => info.data_segs_out,
        "data_segs_in" => info.data_segs_in,
        "last_data_sent" => nanos(info.last_data_sent),
        "last_data_recv" => nanos(info.last_data_recv),
        "last_ack_recv" => nanos(info.last_ack_recv),
        "ato" => nanos(info.ato),
        "rcv_mss" => info.rcv_mss.into(),
        "advmss" => info.advmss.into(),
        "rcv_ooopack" => info.rcv_ooopack,
        "dsack_dups" => info.dsack_dups,
        "user_timeout" => info.user_timeout.map_or(0, nanos),
        "urgent" => info.urgent.unwrap_or(0).into(),
        "sacked" => info.sacked.into(),
        "retrans_out" => info.retrans_out.into(),
        "reordering" => info.reordering.into(),
        "reord_seen" => info.reord_seen.into(),
        "delivered" => info.delivered,
        "delivery_rate" => info.delivery_rate,
        "pacing_rate" => info.pacing_rate,
        "paced" => info.paced.into(),
        "app_limited" => info.app_limited.into(),
        "busy" => nanos(info.busy),
        "rwnd_limited" => nanos(info.rwnd_limited),
        "sndbuf_limited" => nanos(info.sndbuf_limited),
        "dup_acks" => info.dup_acks,
        // 0 off, 1 classic, 2 accurate.
        "ecn" => info.ecn as u64,
        "ecn_seen" => info.ecn_seen.into(),
        "delivered_ce" => info.delivered_ce.into(),
        "received_ce" => info.received_ce.into(),
        "syn_data" => info.syn_data.into(),
        _ => return Err(format!("no such field: {name}")),
    })
}

fn set_option(options: &mut SocketOptions, name: &str, value: &[&str]) -> Outcome {
    let on = || match value {
        ["on"] => Ok(true),
        ["off"] => Ok(false),
        _ => Err(format!("{name} on|off")),
    };
    let one = || match value {
        [value] => Ok(*value),
        _ => Err(format!("{name} takes one value")),
    };
    match name {
        "congestion" => {
            options.congestion =
                one()?.parse().map_err(|e: usernet_core::UnknownCongestion| e.to_string())?;
        }
        "loss_probe" => options.loss_probe = on()?,
        "pacing" => options.pacing = on()?,
        "mtu_probing" => {
            options.mtu_probing = match one()? {
                "off" => MtuProbing::Off,
                "black-hole" => MtuProbing::BlackHole,
                "always" => MtuProbing::Always,
                other => return Err(format!("mtu_probing off|black-hole|always, not {other}")),
            }
        }
        "nagle" => options.nagle = on()?,
        "timestamps" => options.timestamps = on()?,
        "sack" => options.sack = on()?,
        "window_scaling" => options.window_scaling = on()?,
        "recv_buffer" => options.recv_buffer = buffer(value, BufferSize::RECV)?,
        "send_buffer" => options.send_buffer = buffer(value, BufferSize::SEND)?,
        "quick_acks" => options.quick_acks = parse(one()?)?,
        "delayed_ack" => options.delayed_ack = duration(one()?)?,
        "keep_alive" => {
            options.keep_alive = match value {
                ["off"] => None,
                ["default"] => Some(KeepAlive::default()),
                [idle, interval, count] => Some(KeepAlive {
                    idle: duration(idle)?,
                    interval: duration(interval)?,
                    count: parse(count)?,
                }),
                _ => return Err("keep_alive off|default|IDLE INTERVAL COUNT".into()),
            }
        }
        "user_timeout" => options.user_timeout = Some(duration(one()?)?),
        "user_timeout_option" => options.user_timeout_option = on()?,
        "retries" => options.retries = parse(one()?)?,
        "fail_connect_on_soft_error" => options.fail_connect_on_soft_error = on()?,
        "syn_retries" => options.syn_retries = parse(one()?)?,
        "synack_retries" => options.synack_retries = parse(one()?)?,
        "rto_min" => options.rto_min = duration(one()?)?,
        "rto_max" => options.rto_max = duration(one()?)?,
        "hop_limit" => options.hop_limit = parse(one()?)?,
        "traffic_class" => options.traffic_class = parse(one()?)?,
        "ecn" => {
            options.ecn = EcnPolicy::from_number(parse(one()?)?).ok_or("no such policy")?;
        }
        "fast_open" => match value {
            ["connect"] => options.fast_open.connect = true,
            ["connect", "without-cookie"] => options.fast_open.connect_without_cookie = true,
            ["accept", "without-cookie"] => options.fast_open.accept_without_cookie = true,
            ["hold", time] => options.fast_open.hold = duration(time)?,
            ["queue", n] => options.fast_open.queue = parse(n)?,
            _ => return Err("fast_open connect|accept|hold|queue ..".into()),
        },
        "fin_timeout" => options.fin_timeout = duration(one()?)?,
        "mss" => options.max_segment_size = Some(parse(one()?)?),
        _ => return Err(format!("no such option: {name}")),
    }
    Ok(())
}

/// `N`, or `MIN DEFAULT MAX` of one that tunes itself, or `default`.
fn buffer(value: &[&str], default: BufferSize) -> Result<BufferSize, String> {
    match value {
        ["default"] => Ok(default),
        [n] => Ok(BufferSize::Fixed(parse(n)?)),
        [min, default, max] => {
            Ok(BufferSize::Auto { min: parse(min)?, default: parse(default)?, max: parse(max)? })
        }
        _ => Err("a buffer is N or MIN DEFAULT MAX".into()),
    }
}

fn ready(name: &str) -> Result<Ready, String> {
    Ok(match name {
        "connected" => Ready::CONNECTED,
        "readable" => Ready::READABLE,
        "writable" => Ready::WRITABLE,
        "flushed" => Ready::FLUSHED,
        "error" => Ready::ERROR,
        "closed" => Ready::CLOSED,
        "urgent" => Ready::URGENT,
        "report" => Ready::REPORT,
        _ => return Err(format!("no such event: {name}")),
    })
}

fn error_name(error: ConnectionError) -> &'static str {
    match error {
        ConnectionError::Refused => "refused",
        ConnectionError::Reset => "reset",
        ConnectionError::TimedOut => "timed-out",
        ConnectionError::HostUnreachable => "host-unreachable",
        ConnectionError::NetworkUnreachable => "network-unreachable",
        ConnectionError::Protocol => "protocol",
        ConnectionError::Aborted => "aborted",
    }
}

/// `icmp MEANING` or `retransmissions COUNT`.
fn report_name(report: ErrorReport) -> String {
    match report {
        ErrorReport::Icmp { meaning, .. } => format!("icmp {}", error_name(meaning)),
        ErrorReport::Retransmissions { count, .. } => format!("retransmissions {count}"),
        other => format!("{other:?}"),
    }
}
