//! TCP options as scripts spell them: `mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7`. Decoded and encoded here byte by
//! byte, apart from `usernet_wire`'s own code, so that order and padding on the wire are judged too.

use std::fmt;

/// A 32-bit field of an option in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// This number.
    Is(u32),
    /// `..`: any number.
    Any,
    /// `last`: the newest TSval that the stack sent on this connection, and `last-N`, N before it.
    Last(u32),
}

/// One option, sequence numbers in SACK blocks relative to the initial one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    Eol,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackOk,
    Timestamps(Field, Field),
    Sack(Vec<(u32, u32)>),
    /// Bytes as they stand on the wire, kind and length included.
    Raw(Vec<u8>),
}

impl Opt {
    /// Parses a script's list, without the angle brackets.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let bad = || format!("not an option: {text:?}");
        Ok(match words[..] {
            ["eol"] => Self::Eol,
            ["nop"] => Self::Nop,
            ["mss", n] => Self::Mss(n.parse().map_err(|_| bad())?),
            ["wscale", n] => Self::WindowScale(n.parse().map_err(|_| bad())?),
            ["sackOK"] => Self::SackOk,
            ["TS", "val", val, "ecr", ecr] => Self::Timestamps(field(val)?, field(ecr)?),
            ["sack", ref blocks @ ..] => Self::Sack(
                blocks
                    .iter()
                    .map(|b| {
                        let (left, right) = b.split_once(':').ok_or_else(bad)?;
                        Ok((super::language::number(left)?, super::language::number(right)?))
                    })
                    .collect::<Result<_, String>>()?,
            ),
            // Fast Open: a request, or a cookie; FOEXP is the experimental spelling.
            ["FO"] => Self::Raw(vec![34, 2]),
            ["FO", hex] => {
                let cookie = bytes(hex).ok_or_else(bad)?;
                Self::Raw([&[34, 2 + cookie.len() as u8][..], &cookie].concat())
            }
            ["FOEXP"] => Self::Raw(vec![254, 4, 0xf9, 0x89]),
            ["FOEXP", hex] => {
                let cookie = bytes(hex).ok_or_else(bad)?;
                Self::Raw([&[254, 4 + cookie.len() as u8, 0xf9, 0x89][..], &cookie].concat())
            }
            ["raw", hex] if hex.len() % 2 == 0 => Self::Raw(
                (0..hex.len())
                    .step_by(2)
                    .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).map_err(|_| bad()))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(bad()),
        })
    }

    /// Writes options to the wire, padded with end-of-list to a multiple of 4 bytes. `sack_base` is what SACK blocks are
    /// relative to, `last` the newest TSval the stack sent.
    pub(crate) fn encode(list: &[Self], sack_base: u32, last: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let value = |f: Field| match f {
            Field::Is(n) => n,
            Field::Last(before) => last.wrapping_sub(before),
            Field::Any => 0,
        };
        for opt in list {
            match opt {
                Self::Eol => out.push(0),
                Self::Nop => out.push(1),
                Self::Mss(n) => {
                    out.extend([2, 4]);
                    out.extend(n.to_be_bytes());
                }
                Self::WindowScale(n) => out.extend([3, 3, *n]),
                Self::SackOk => out.extend([4, 2]),
                Self::Timestamps(val, ecr) => {
                    out.extend([8, 10]);
                    out.extend(value(*val).to_be_bytes());
                    out.extend(value(*ecr).to_be_bytes());
                }
                Self::Sack(blocks) => {
                    out.extend([5, 2 + 8 * blocks.len() as u8]);
                    for (left, right) in blocks {
                        out.extend(left.wrapping_add(sack_base).to_be_bytes());
                        out.extend(right.wrapping_add(sack_base).to_be_bytes());
                    }
                }
                Self::Raw(bytes) => out.extend(bytes),
            }
        }
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    /// Reads options off the wire.
    pub(crate) fn decode(mut bytes: &[u8], sack_base: u32) -> Vec<Self> {
        let word = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        let mut list = Vec::new();
        while let [kind, rest @ ..] = bytes {
            if *kind < 2 {
                list.push(if *kind == 0 { Self::Eol } else { Self::Nop });
                bytes = rest;
                continue;
            }
            let len = rest.first().map_or(0, |n| usize::from(*n));
            if len < 2 || len > bytes.len() {
                list.push(Self::Raw(bytes.to_vec()));
                break;
            }
            list.push(match (*kind, &bytes[2..len]) {
                (2, &[a, b]) => Self::Mss(u16::from_be_bytes([a, b])),
                (3, &[shift]) => Self::WindowScale(shift),
                (4, []) => Self::SackOk,
                (8, body) if body.len() == 8 => {
                    Self::Timestamps(Field::Is(word(body)), Field::Is(word(&body[4..])))
                }
                (5, body) if body.len() % 8 == 0 => Self::Sack(
                    body.chunks_exact(8)
                        .map(|b| {
                            let relative = |b| word(b).wrapping_sub(sack_base);
                            (relative(b), relative(&b[4..]))
                        })
                        .collect(),
                ),
                _ => Self::Raw(bytes[..len].to_vec()),
            });
            bytes = &bytes[len..];
        }
        list
    }

    /// Whether an option off the wire is what the script asked for.
    pub(crate) fn matches(&self, wanted: &Self) -> bool {
        let same = |have: Field, want: Field| want == Field::Any || have == want;
        match (self, wanted) {
            (Self::Timestamps(val, ecr), Self::Timestamps(want_val, want_ecr)) => {
                same(*val, *want_val) && same(*ecr, *want_ecr)
            }
            _ => self == wanted,
        }
    }
}

impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eol => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(n) => write!(f, "mss {n}"),
            Self::WindowScale(n) => write!(f, "wscale {n}"),
            Self::SackOk => f.write_str("sackOK"),
            Self::Timestamps(val, ecr) => write!(f, "TS val {val} ecr {ecr}"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(l, r)| write!(f, " {}:{}", *l as i32, *r as i32))
            }
            Self::Raw(bytes) => {
                f.write_str("raw ")?;
                bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(n) => write!(f, "{n}"),
            Self::Any => f.write_str(".."),
            Self::Last(n) => write!(f, "last-{n}"),
        }
    }
}

/// Bytes from their hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn field(text: &str) -> Result<Field, String> {
    Ok(match text {
        ".." => Field::Any,
        "last" => Field::Last(0),
        _ => match text.strip_prefix("last-") {
            Some(n) => Field::Last(super::language::number(n)?),
            None => Field::Is(super::language::number(text)?),
        },
    })
}
