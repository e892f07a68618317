//! What IGMPv3 (RFC 3376) and MLDv2 (RFC 3810) have in common: source lists, group records and floating-point codes.

use core::marker::PhantomData;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::Error;

mod sealed {
    pub trait Sealed {}
    impl Sealed for core::net::Ipv4Addr {}
    impl Sealed for core::net::Ipv6Addr {}
}

/// An address of either family, as it stands in a list.
pub trait Addr: Copy + sealed::Sealed {
    /// Length, bytes.
    const LEN: usize;
    /// Reads one; `bytes` has [`LEN`](Self::LEN) of them.
    fn read(bytes: &[u8]) -> Self;
    /// Writes one; `bytes` has [`LEN`](Self::LEN) of them.
    fn write(self, bytes: &mut [u8]);
}

impl Addr for Ipv4Addr {
    const LEN: usize = 4;
    fn read(bytes: &[u8]) -> Self {
        Self::new(bytes[0], bytes[1], bytes[2], bytes[3])
    }
    fn write(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.octets());
    }
}

impl Addr for Ipv6Addr {
    const LEN: usize = 16;
    fn read(bytes: &[u8]) -> Self {
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes[..16]);
        Self::from(octets)
    }
    fn write(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.octets());
    }
}

/// A list of source addresses in a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a, A> {
    bytes: &'a [u8],
    addr: PhantomData<A>,
}

impl<'a, A: Addr> Sources<'a, A> {
    /// Takes `count` addresses off the front of `bytes`.
    pub(crate) fn take(bytes: &'a [u8], count: usize) -> Result<(Self, &'a [u8]), Error> {
        let (bytes, rest) = bytes.split_at_checked(count * A::LEN).ok_or(Error::Truncated)?;
        Ok((Self { bytes, addr: PhantomData }, rest))
    }

    /// The addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = A> + use<'a, A> {
        self.bytes.chunks_exact(A::LEN).map(A::read)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / A::LEN
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What a group record says (RFC 3376 §4.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Current state: only these sources are heard.
    ModeIsInclude,
    /// Current state: all but these sources are heard.
    ModeIsExclude,
    /// The filter changed to only these sources; none means that the group was left.
    ChangeToInclude,
    /// The filter changed to all but these sources; none means that the group was joined.
    ChangeToExclude,
    /// These sources are heard too.
    AllowNewSources,
    /// These sources are not heard any more.
    BlockOldSources,
}

impl RecordKind {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::ModeIsInclude,
            2 => Self::ModeIsExclude,
            3 => Self::ChangeToInclude,
            4 => Self::ChangeToExclude,
            5 => Self::AllowNewSources,
            6 => Self::BlockOldSources,
            _ => return None,
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::ModeIsInclude => 1,
            Self::ModeIsExclude => 2,
            Self::ChangeToInclude => 3,
            Self::ChangeToExclude => 4,
            Self::AllowNewSources => 5,
            Self::BlockOldSources => 6,
        }
    }
}

/// A group record in a received report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a, A> {
    /// What it says; [`None`] is a type that nobody assigned, to be ignored (RFC 3376 §4.2.12).
    pub kind: Option<RecordKind>,
    /// The group.
    pub group: A,
    /// The sources.
    pub sources: Sources<'a, A>,
}

/// The group records of a received report, whose lengths were validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a, A> {
    bytes: &'a [u8],
    count: usize,
    addr: PhantomData<A>,
}

impl<'a, A: Addr> Records<'a, A> {
    /// Validates `count` records at the front of `bytes`; what follows them is ignored.
    pub(crate) fn validate(bytes: &'a [u8], count: usize) -> Result<Self, Error> {
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = take_record::<A>(rest)?;
        }
        Ok(Self { bytes, count, addr: PhantomData })
    }

    /// The records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a, A>> + use<'a, A> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (record, after) = take_record(rest).ok()?;
            rest = after;
            Some(record)
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn take_record<A: Addr>(bytes: &[u8]) -> Result<(Record<'_, A>, &[u8]), Error> {
    let (&[kind, aux_words, high, low], rest) =
        bytes.split_first_chunk::<4>().ok_or(Error::Truncated)?;
    let (group, rest) = rest.split_at_checked(A::LEN).ok_or(Error::Truncated)?;
    let (sources, rest) = Sources::take(rest, usize::from(u16::from_be_bytes([high, low])))?;
    // RFC 3376 §4.2.10: auxiliary data, of which there is none yet, is skipped.
    let rest = rest.get(usize::from(aux_words) * 4..).ok_or(Error::Truncated)?;
    Ok((Record { kind: RecordKind::from_code(kind), group: A::read(group), sources }, rest))
}

/// A group record to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecord<'a, A> {
    /// What it says.
    pub kind: RecordKind,
    /// The group.
    pub group: A,
    /// The sources, at most 65,535.
    pub sources: &'a [A],
}

/// Length of records as [`emit_records`] writes them, bytes.
pub(crate) fn records_len<A: Addr>(records: &[NewRecord<'_, A>]) -> usize {
    records.iter().map(|r| 4 + A::LEN * (1 + r.sources.len())).sum()
}

/// Writes records one after the other.
pub(crate) fn emit_records<A: Addr>(records: &[NewRecord<'_, A>], mut buf: &mut [u8]) {
    for record in records {
        let (head, rest) = buf.split_at_mut(4);
        let [high, low] = (record.sources.len() as u16).to_be_bytes();
        head.copy_from_slice(&[record.kind.code(), 0, high, low]);
        let (group, rest) = rest.split_at_mut(A::LEN);
        record.group.write(group);
        buf = emit_sources(record.sources, rest);
    }
}

/// Writes addresses one after the other; returns what is left of `buf`.
pub(crate) fn emit_sources<'b, A: Addr>(sources: &[A], buf: &'b mut [u8]) -> &'b mut [u8] {
    let (list, rest) = buf.split_at_mut(A::LEN * sources.len());
    for (bytes, source) in list.chunks_exact_mut(A::LEN).zip(sources) {
        source.write(bytes);
    }
    rest
}

/// The value of an 8-bit code: itself below 128, else 4 bits of mantissa and 3 of exponent (RFC 3376 §4.1.1).
pub(crate) fn decode8(code: u8) -> u32 {
    match code {
        0..128 => u32::from(code),
        _ => (u32::from(code & 0x0f) | 0x10) << (((code >> 4) & 7) + 3),
    }
}

/// The code of the largest value not above `value`.
pub(crate) fn encode8(value: u32) -> u8 {
    if value < 128 {
        return value as u8;
    }
    let value = value.min(decode8(0xff));
    let shift = value.ilog2() - 4;
    (0x80 | ((shift - 3) << 4) | ((value >> shift) & 0x0f)) as u8
}

/// The value of a 16-bit code: itself below 32,768, else 12 bits of mantissa and 3 of exponent (RFC 3810 §5.1.3).
pub(crate) fn decode16(code: u16) -> u32 {
    match code {
        0..0x8000 => u32::from(code),
        _ => (u32::from(code & 0x0fff) | 0x1000) << (((code >> 12) & 7) + 3),
    }
}

/// The code of the largest value not above `value`.
pub(crate) fn encode16(value: u32) -> u16 {
    if value < 0x8000 {
        return value as u16;
    }
    let value = value.min(decode16(0xffff));
    let shift = value.ilog2() - 12;
    (0x8000 | ((shift - 3) << 12) | ((value >> shift) & 0x0fff)) as u16
}
