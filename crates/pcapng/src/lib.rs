//! Blocks of the pcapng format (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read, appended to a buffer. A
//! capture is one [`section`], the [`interface`]s, numbered from 0 as they come, and [`packet`]s of those; no clock, no
//! files.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPT_END: u16 = 0;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// What every frame of an interface begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet = 1,
    /// An IPv4 or IPv6 header.
    Raw = 101,
}

/// Which way a packet went, seen from where it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It came.
    Inbound = 1,
    /// It left.
    Outbound = 2,
}

/// Appends the start of a capture, naming the program that makes it.
pub fn section(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION_HEADER, |out| {
        put32(out, BYTE_ORDER);
        // Version 1.0; a section of unknown length.
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        option(out, SHB_USERAPPL, application.as_bytes());
        option(out, OPT_END, &[]);
    });
}

/// Appends an interface. `snap_len` is the most bytes of a packet that are kept, 0 for all of them.
pub fn interface(out: &mut Vec<u8>, name: &str, link_type: LinkType, snap_len: u32) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&(link_type as u16).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        put32(out, snap_len);
        option(out, IF_NAME, name.as_bytes());
        // 10^-9 s.
        option(out, IF_TSRESOL, &[9]);
        option(out, OPT_END, &[]);
    });
}

/// Appends a packet of the `interface`th interface, made of `pieces` back to back, of which at most `keep` bytes are
/// kept; `nanos` are nanoseconds since 1970, or since whatever the capture's clock begins with.
pub fn packet(
    out: &mut Vec<u8>,
    interface: u32,
    nanos: u64,
    direction: Direction,
    pieces: &[&[u8]],
    keep: usize,
) {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut left = len.min(keep);
    block(out, ENHANCED_PACKET, |out| {
        put32(out, interface);
        put32(out, (nanos >> 32) as u32);
        put32(out, nanos as u32);
        put32(out, left as u32);
        put32(out, len as u32);
        for piece in pieces {
            let part = &piece[..piece.len().min(left)];
            left -= part.len();
            out.extend_from_slice(part);
        }
        pad(out);
        option(out, EPB_FLAGS, &(direction as u32).to_le_bytes());
        option(out, OPT_END, &[]);
    });
}

/// Bytes that [`packet`] appends when it keeps `kept` bytes of one.
pub const fn packet_len(kept: usize) -> usize {
    kept.next_multiple_of(4) + 44
}

/// Appends a block; all before it are whole, so the buffer's length keeps to multiples of four.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    debug_assert!(start.is_multiple_of(4));
    put32(out, kind);
    put32(out, 0);
    body(out);
    let len = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    put32(out, len);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use pcap_parser::PcapBlockOwned::NG;
    use pcap_parser::traits::PcapNGPacketBlock;
    use pcap_parser::{Block, Linktype, OptionCode, PcapNGOption, PcapNGSlice};

    fn value<'a>(options: &'a [PcapNGOption<'_>], code: u16) -> &'a [u8] {
        let found =
            options.iter().find(|o| o.code == OptionCode(code)).expect("the option is there");
        &found.value[..usize::from(found.len)]
    }

    #[test]
    fn an_independent_reader_agrees() {
        const NANOS: u64 = 1_700_000_000_123_456_789;
        let mut bytes = Vec::new();
        section(&mut bytes, "the program");
        interface(&mut bytes, "un0", LinkType::Raw, 0);
        interface(&mut bytes, "tap", LinkType::Ethernet, 96);
        for len in 0..9 {
            let before = bytes.len();
            packet(&mut bytes, 0, NANOS, Direction::Outbound, &[&vec![7; len]], usize::MAX);
            assert_eq!(bytes.len() - before, packet_len(len));
        }
        packet(&mut bytes, 1, 5, Direction::Inbound, &[&[1; 60], &[2; 30], &[3; 100]], 96);

        let blocks: Vec<_> = PcapNGSlice::from_slice(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(blocks.len(), 13);
        let NG(Block::SectionHeader(header)) = &blocks[0] else {
            panic!("a section begins with its header");
        };
        assert_eq!((header.major_version, header.minor_version), (1, 0));
        assert_eq!(value(&header.options, SHB_USERAPPL), b"the program");
        let expected = [("un0", Linktype::RAW, 0), ("tap", Linktype::ETHERNET, 96)];
        for (block, (name, link_type, snap_len)) in blocks[1..3].iter().zip(expected) {
            let NG(Block::InterfaceDescription(found)) = block else {
                panic!("a block of another kind");
            };
            assert_eq!((found.linktype, found.snaplen), (link_type, snap_len));
            assert_eq!(value(&found.options, IF_NAME), name.as_bytes());
            assert_eq!(found.ts_resolution(), Some(1_000_000_000));
        }
        for (i, block) in blocks[3..].iter().enumerate() {
            let NG(Block::EnhancedPacket(found)) = block else {
                panic!("a block of another kind");
            };
            let nanos = u64::from(found.ts_high) << 32 | u64::from(found.ts_low);
            if i < 9 {
                assert_eq!((found.if_id, nanos, found.origlen), (0, NANOS, i as u32));
                assert_eq!(found.packet_data(), vec![7; i]);
                assert_eq!(value(&found.options, EPB_FLAGS), [2, 0, 0, 0]);
            } else {
                assert_eq!((found.if_id, nanos, found.origlen), (1, 5, 190));
                assert_eq!(found.packet_data(), [vec![1; 60], vec![2; 30], vec![3; 6]].concat());
                assert_eq!(value(&found.options, EPB_FLAGS), [1, 0, 0, 0]);
            }
        }
    }

    #[test]
    fn names_of_any_length_are_survived() {
        let mut bytes = Vec::new();
        section(&mut bytes, "");
        interface(&mut bytes, &"x".repeat(70_000), LinkType::Raw, 0);
        let blocks: Vec<_> = PcapNGSlice::from_slice(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(blocks.len(), 2);
    }
}
