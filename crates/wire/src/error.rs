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
}
