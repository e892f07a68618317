//! Why a packet was refused.

/// Why bytes are not a packet of the format they were given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the format's fixed header, or than a length field promises.
    #[error("packet is truncated")]
    Truncated,
    /// A length field contradicts itself (a header shorter than its minimum, an option with a bad length).
    #[error("a length field is malformed")]
    BadLength,
    /// The version field is not the one of the format.
    #[error("wrong version")]
    BadVersion,
    /// The checksum does not match.
    #[error("wrong checksum")]
    BadChecksum,
    /// A field has a value the format does not allow (a port of zero, a reserved address).
    #[error("a field has a value the format does not allow")]
    BadField,
    /// An IPv4 source-route option. Such packets are dropped: RFC 1122 §3.2.1.8 lets a host, and anyone who obeys them
    /// sends where a stranger says.
    #[error("the packet is source-routed")]
    SourceRoute,
    /// An IPv6 option that asks to be discarded in silence by those who do not know it (RFC 8200 §4.2, action 01).
    #[error("an unknown option asks for a silent discard")]
    UnknownOption,
    /// More extension headers, or more options in one, than this stack looks at (RFC 8504 §5.3): dropped in silence.
    #[error("too many extension headers or options")]
    TooManyHeaders,
    /// A fault for which the sender is owed an ICMP Parameter Problem, subject to the rules on what never gets one
    /// (RFC 4443 §2.4, RFC 1122 §3.2.2).
    #[error("parameter problem, code {code} at byte {pointer}")]
    ParameterProblem {
        /// The message's code.
        code: u8,
        /// The byte of the packet at fault, counted from its IP header.
        pointer: u16,
        /// Whether the reply is due even if the packet went to a multicast address: only for an unknown option with
        /// action 10 (RFC 8200 §4.2).
        even_if_multicast: bool,
    },
}
