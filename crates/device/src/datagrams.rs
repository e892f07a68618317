//! Frames as they are on a wire, for layers that show or change packets: UDP datagrams that a device merged are single ones
//! there.

use usernet_wire::ethernet;
use usernet_wire::ip::Packet;
use usernet_wire::merged::Merged;

use crate::device::{GsoKind, Medium, TxFrame};

/// Calls `each` with the frames that a received one stands for, in order: where it is datagrams that the device merged
/// (`gso_size` is not 0, see [`Received`](crate::Received)), with each of them as it was sent; else, and where it is malformed,
/// with the frame as it is; and with what `gso_size` is then. `scratch` is memory to use again.
pub fn each_received(
    medium: Medium,
    frame: &[u8],
    gso_size: u16,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], u16),
) {
    let found = if gso_size == 0 { None } else { merged(medium, frame, gso_size) };
    let Some((link, merged)) = found else {
        return each(frame, gso_size);
    };
    for index in 0..merged.count() {
        scratch.clear();
        scratch.extend_from_slice(&frame[..link]);
        scratch.resize(link + merged.len(index), 0);
        merged.write(&frame[link..], index, &mut scratch[link..]);
        each(scratch, 0);
    }
}

/// Calls `each` with the frames that one to be sent stands for: datagrams that are merged one by one, and else the frame's
/// pieces as they are.
pub fn each_sent(
    medium: Medium,
    frame: &TxFrame<'_>,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[&[u8]]),
) {
    match frame.gso {
        Some(gso) if matches!(gso.kind, GsoKind::Udp4 | GsoKind::Udp6) => {
            let whole = frame.pieces.concat();
            each_received(medium, &whole, gso.size, scratch, |one, _| each(&[one]));
        }
        _ => each(&frame.pieces),
    }
}

/// The datagrams in a frame, and where its packet begins.
fn merged(medium: Medium, frame: &[u8], size: u16) -> Option<(usize, Merged)> {
    let link = match medium {
        Medium::Ip => 0,
        Medium::Ethernet => ethernet::Repr::parse(frame).ok()?.1,
    };
    let packet = Packet::parse(&frame[link..]).ok()?;
    // What is shown is what there is: whoever takes it checks it.
    let merged = Merged::of(&packet, &frame[link..], size, true).ok()??;
    Some((link, merged))
}
