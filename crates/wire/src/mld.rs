//! Multicast listener discovery, versions 1 and 2 (RFC 2710, RFC 3810).

use core::net::{IpAddr, Ipv6Addr};

pub use crate::membership::{NewRecord, Record, RecordKind, Records, Sources};

use crate::ip::Packet;
use crate::{Error, icmpv6, membership};

/// Length of a message of version 1, bytes.
const V1_LEN: usize = 24;
/// Length of the fixed part of a query of version 2, bytes.
const QUERY_V2_LEN: usize = 28;
/// Length of the fixed part of a report of version 2, bytes.
const REPORT_V2_LEN: usize = 8;

/// A query: who listens?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<S> {
    /// The group in question; unspecified: all.
    pub group: Ipv6Addr,
    /// Answer within this time, ms: at most 65,535 in version 1 and 8,387,584 in version 2, where it is sent rounded
    /// down to what can be said.
    pub max_response: u32,
    /// What only version 2 says; [`None`] in version 1 (RFC 3810 §8.1).
    pub v2: Option<QueryV2<S>>,
}

/// What a query of version 2 adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryV2<S> {
    /// S: routers, do not restart your timers.
    pub suppress: bool,
    /// QRV: the querier's robustness, 0 to 7; 0 says nothing.
    pub robustness: u8,
    /// QQI: the querier's interval, s, at most 31,744; sent rounded down.
    pub interval: u32,
    /// The sources in question; none: all.
    pub sources: S,
}

/// A validated message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Type 130.
    Query(Query<Sources<'a, Ipv6Addr>>),
    /// Type 131: the sender listens to the group.
    ReportV1(Ipv6Addr),
    /// Type 132: the sender has left the group.
    Done(Ipv6Addr),
    /// Type 143.
    ReportV2(Records<'a, Ipv6Addr>),
}

impl<'a> Message<'a> {
    /// Whether an ICMPv6 type is one of these messages.
    pub fn is_kind(kind: u8) -> bool {
        matches!(kind, 130..=132 | 143)
    }

    /// Validates what [`icmpv6::Repr::Other`] gave of a message for which [`is_kind`](Self::is_kind) is true. `packet`
    /// is the IPv6 packet it came in: its hop limit must be 1, its source link-local (reports of hosts without an
    /// address yet: unspecified) and a Router Alert with it (RFC 3810 §5.1.14, §5.2.14, §6.2; RFC 3590).
    ///
    /// # Errors
    /// [`Error::Truncated`] (also: fewer sources or records than promised), [`Error::BadLength`] (a query between the
    /// lengths of the versions), [`Error::BadField`] (everything else).
    pub fn parse(kind: u8, rest: &'a [u8], packet: &Packet) -> Result<Self, Error> {
        let IpAddr::V6(src) = packet.src else { return Err(Error::BadField) };
        let source_fits = src.is_unicast_link_local() || src.is_unspecified() && kind != 130;
        if packet.hop_limit != 1 || !packet.router_alert || !source_fits {
            return Err(Error::BadField);
        }
        let (&[a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(Error::Truncated)?;
        if kind == 143 {
            let count = usize::from(u16::from_be_bytes([c, d]));
            return Ok(Self::ReportV2(Records::validate(rest, count)?));
        }
        let (group, rest) = rest.split_first_chunk::<16>().ok_or(Error::Truncated)?;
        let group = Ipv6Addr::from(*group);
        if !(group.is_multicast() || kind == 130 && group.is_unspecified()) {
            return Err(Error::BadField);
        }
        let code = u16::from_be_bytes([a, b]);
        Ok(match (kind, rest) {
            (130, []) => Self::Query(Query { group, max_response: u32::from(code), v2: None }),
            (130, &[flags, interval, high, low, ref rest @ ..]) => Self::Query(Query {
                group,
                max_response: membership::decode16(code),
                v2: Some(QueryV2 {
                    suppress: flags & 8 != 0,
                    robustness: flags & 7,
                    interval: membership::decode8(interval),
                    sources: Sources::take(rest, usize::from(u16::from_be_bytes([high, low])))?.0,
                }),
            }),
            (130, _) => return Err(Error::BadLength),
            (131, _) => Self::ReportV1(group),
            (132, _) => Self::Done(group),
            _ => return Err(Error::BadField),
        })
    }
}

/// A message to send, with hop limit 1 and a Router Alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewMessage<'a> {
    /// A query.
    Query(Query<&'a [Ipv6Addr]>),
    /// A report of version 1.
    ReportV1(Ipv6Addr),
    /// A done of version 1.
    Done(Ipv6Addr),
    /// A report of version 2, of at most 65,535 records.
    ReportV2(&'a [NewRecord<'a, Ipv6Addr>]),
}

impl NewMessage<'_> {
    /// Length of the whole ICMPv6 message, bytes.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Query(Query { v2: Some(v2), .. }) => QUERY_V2_LEN + 16 * v2.sources.len(),
            Self::Query(_) | Self::ReportV1(_) | Self::Done(_) => V1_LEN,
            Self::ReportV2(records) => REPORT_V2_LEN + membership::records_len(records),
        }
    }

    /// Writes the whole ICMPv6 message with its checksum. `buf` must have exactly [`len`](Self::len) bytes.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
        buf[..8].fill(0);
        match *self {
            Self::Query(Query { group, max_response, v2 }) => {
                buf[0] = 130;
                let code = match v2 {
                    None => max_response.min(0xffff) as u16,
                    Some(_) => membership::encode16(max_response),
                };
                buf[4..6].copy_from_slice(&code.to_be_bytes());
                buf[8..24].copy_from_slice(&group.octets());
                if let Some(v2) = v2 {
                    buf[24] = u8::from(v2.suppress) << 3 | (v2.robustness & 7);
                    buf[25] = membership::encode8(v2.interval);
                    buf[26..28].copy_from_slice(&(v2.sources.len() as u16).to_be_bytes());
                    membership::emit_sources(v2.sources, &mut buf[QUERY_V2_LEN..]);
                }
            }
            Self::ReportV1(group) | Self::Done(group) => {
                buf[0] = if matches!(self, Self::Done(_)) { 132 } else { 131 };
                buf[8..24].copy_from_slice(&group.octets());
            }
            Self::ReportV2(records) => {
                buf[0] = 143;
                buf[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
                membership::emit_records(records, &mut buf[REPORT_V2_LEN..]);
            }
        }
        icmpv6::fill_checksum(buf, src, dst);
    }
}

#[cfg(test)]
mod tests;
