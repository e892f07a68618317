//! IGMP versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376).

use core::net::Ipv4Addr;

pub use crate::membership::{NewRecord, Record, RecordKind, Records, Sources};

use crate::{Error, checksum, membership};

/// Length of a message of versions 1 and 2, bytes.
const SHORT_LEN: usize = 8;
/// Length of the fixed part of a query of version 3, bytes.
const QUERY_V3_LEN: usize = 12;

/// A query: who listens?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<S> {
    /// The group in question; unspecified: all.
    pub group: Ipv4Addr,
    /// What depends on the querier's version.
    pub version: QueryVersion<S>,
}

/// What a query of each version says, and how the versions are told apart (RFC 3376 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryVersion<S> {
    /// Version 1: answer within 10 s.
    V1,
    /// Version 2.
    V2 {
        /// Answer within this time, tenths of a second, 1 to 255.
        max_response: u8,
    },
    /// Version 3.
    V3 {
        /// Answer within this time, tenths of a second, at most 31,744; sent rounded down to what can be said.
        max_response: u32,
        /// S: routers, do not restart your timers.
        suppress: bool,
        /// QRV: the querier's robustness, 0 to 7; 0 says nothing.
        robustness: u8,
        /// QQI: the querier's interval, s, at most 31,744; sent rounded down likewise.
        interval: u32,
        /// The sources in question; none: all.
        sources: S,
    },
}

/// A validated message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Type 0x11.
    Query(Query<Sources<'a, Ipv4Addr>>),
    /// Type 0x12: the sender listens to the group.
    ReportV1(Ipv4Addr),
    /// Type 0x16: the sender listens to the group.
    ReportV2(Ipv4Addr),
    /// Type 0x17: the sender has left the group.
    Leave(Ipv4Addr),
    /// Type 0x22.
    ReportV3(Records<'a, Ipv4Addr>),
}

impl<'a> Message<'a> {
    /// Validates a message: what an IPv4 packet carries, cut to its length. What else must hold of the packet (TTL of 1,
    /// Router Alert) is for its receiver to check.
    ///
    /// # Errors
    /// [`Error::Truncated`] (also: fewer sources or records than promised), [`Error::BadLength`] (a query of 9 to 11
    /// bytes), [`Error::BadChecksum`], [`Error::BadField`] (another type; a group that is none).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some(&[kind, code, _, _, a, b, c, d]) = bytes.first_chunk::<SHORT_LEN>() else {
            return Err(Error::Truncated);
        };
        if checksum::checksum(bytes) != 0 {
            return Err(Error::BadChecksum);
        }
        if kind == 0x22 {
            let count = usize::from(u16::from_be_bytes([c, d]));
            return Ok(Self::ReportV3(Records::validate(&bytes[SHORT_LEN..], count)?));
        }
        let group = Ipv4Addr::new(a, b, c, d);
        if !(group.is_multicast() || kind == 0x11 && group.is_unspecified()) {
            return Err(Error::BadField);
        }
        Ok(match kind {
            0x11 => Self::Query(Query { group, version: query_version(bytes, code)? }),
            0x12 => Self::ReportV1(group),
            0x16 => Self::ReportV2(group),
            0x17 => Self::Leave(group),
            _ => return Err(Error::BadField),
        })
    }
}

fn query_version(bytes: &[u8], code: u8) -> Result<QueryVersion<Sources<'_, Ipv4Addr>>, Error> {
    match (bytes.len(), code) {
        (SHORT_LEN, 0) => Ok(QueryVersion::V1),
        (SHORT_LEN, max_response) => Ok(QueryVersion::V2 { max_response }),
        (len, _) if len < QUERY_V3_LEN => Err(Error::BadLength),
        _ => {
            let count = usize::from(u16::from_be_bytes([bytes[10], bytes[11]]));
            Ok(QueryVersion::V3 {
                max_response: membership::decode8(code),
                suppress: bytes[8] & 8 != 0,
                robustness: bytes[8] & 7,
                interval: membership::decode8(bytes[9]),
                sources: Sources::take(&bytes[QUERY_V3_LEN..], count)?.0,
            })
        }
    }
}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewMessage<'a> {
    /// A query.
    Query(Query<&'a [Ipv4Addr]>),
    /// A report of version 1.
    ReportV1(Ipv4Addr),
    /// A report of version 2.
    ReportV2(Ipv4Addr),
    /// A leave of version 2.
    Leave(Ipv4Addr),
    /// A report of version 3, of at most 65,535 records.
    ReportV3(&'a [NewRecord<'a, Ipv4Addr>]),
}

impl NewMessage<'_> {
    /// Length, bytes.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Query(Query { version: QueryVersion::V3 { sources, .. }, .. }) => {
                QUERY_V3_LEN + 4 * sources.len()
            }
            Self::ReportV3(records) => SHORT_LEN + membership::records_len(records),
            _ => SHORT_LEN,
        }
    }

    /// Writes the message with its checksum. `buf` must have exactly [`len`](Self::len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        buf[..SHORT_LEN].fill(0);
        let group = match *self {
            Self::Query(Query { group, version }) => {
                buf[0] = 0x11;
                match version {
                    QueryVersion::V1 => {}
                    QueryVersion::V2 { max_response } => buf[1] = max_response,
                    QueryVersion::V3 { max_response, suppress, robustness, interval, sources } => {
                        buf[1] = membership::encode8(max_response);
                        buf[8] = u8::from(suppress) << 3 | (robustness & 7);
                        buf[9] = membership::encode8(interval);
                        buf[10..12].copy_from_slice(&(sources.len() as u16).to_be_bytes());
                        membership::emit_sources(sources, &mut buf[QUERY_V3_LEN..]);
                    }
                }
                group
            }
            Self::ReportV1(group) => {
                buf[0] = 0x12;
                group
            }
            Self::ReportV2(group) => {
                buf[0] = 0x16;
                group
            }
            Self::Leave(group) => {
                buf[0] = 0x17;
                group
            }
            Self::ReportV3(records) => {
                buf[0] = 0x22;
                membership::emit_records(records, &mut buf[SHORT_LEN..]);
                Ipv4Addr::from_bits(u32::from(records.len() as u16))
            }
        };
        buf[4..8].copy_from_slice(&group.octets());
        let sum = checksum::checksum(buf);
        buf[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
