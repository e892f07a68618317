//! What can be wrong with changing an interface over a device.

use usernet_core::InterfaceError;
use usernet_device::OpenError;

/// Why an interface cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// The stack refuses.
    Interface(InterfaceError),
    /// The device does, or the system.
    Device(OpenError),
}

impl From<InterfaceError> for ChangeError {
    fn from(error: InterfaceError) -> Self {
        Self::Interface(error)
    }
}

impl From<OpenError> for ChangeError {
    fn from(error: OpenError) -> Self {
        Self::Device(error)
    }
}

impl std::fmt::Display for ChangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interface(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChangeError {}
