//! Why a device could not be opened or configured: a system error that names the value at fault and the remedy.

use std::io;

/// A device could not be opened or configured.
///
/// Its text names the value and what to do about it; [`code`](Self::code), [`errno`](Self::errno) and
/// [`syscall`](Self::syscall) are what a Node error carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OpenError {
    code: &'static str,
    errno: i32,
    syscall: &'static str,
    message: String,
}

impl OpenError {
    /// What opening a file for a device met (a capture's, say).
    #[cfg(unix)]
    pub fn of_file(error: &io::Error, path: &std::path::Path) -> Self {
        let message = format!("cannot open '{}': {error}; choose another path", path.display());
        Self::from_io(error, "open", message)
    }

    pub(crate) fn new(errno: i32, syscall: &'static str, message: impl Into<String>) -> Self {
        Self { code: errno_name(errno), errno, syscall, message: message.into() }
    }

    #[cfg(unix)]
    pub(crate) fn from_io(
        error: &io::Error,
        syscall: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::new(error.raw_os_error().unwrap_or(libc::EIO), syscall, message)
    }

    /// The error's name: `EPERM`, `ENOENT`, `EBUSY`, ...
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The system's number of it (positive).
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The call that failed, or that was refused before it was made: `open`, `ioctl`, `netlink`.
    pub fn syscall(&self) -> &'static str {
        self.syscall
    }

    /// The text without the code in front.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The kind that `std::io` gives this error.
    pub fn kind(&self) -> io::ErrorKind {
        match self.code {
            "ENOTSUP" => io::ErrorKind::Unsupported,
            "ENAMETOOLONG" => io::ErrorKind::InvalidInput,
            _ => io::Error::from_raw_os_error(self.errno).kind(),
        }
    }
}

impl From<OpenError> for io::Error {
    /// Keeps kind and text; the [`OpenError`] itself can be had back by `get_ref().downcast_ref()`.
    fn from(error: OpenError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// The name of the errors that opening a device can meet.
fn errno_name(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::ENOTTY => "ENOTTY",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::ENETDOWN => "ENETDOWN",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EROFS => "EROFS",
        libc::ENOSPC => "ENOSPC",
        libc::ENETUNREACH => "ENETUNREACH",
        // The same number as EOPNOTSUPP on Linux.
        libc::ENOTSUP => "ENOTSUP",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_code_number_and_kind_through_io_error() {
        let error = OpenError::new(libc::EPERM, "ioctl", "cannot create 'un0'; run as root");
        assert_eq!(error.to_string(), "EPERM: cannot create 'un0'; run as root");
        let io: io::Error = error.clone().into();
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        let inner = io.get_ref().and_then(|e| e.downcast_ref::<OpenError>());
        assert_eq!(inner, Some(&error));
        assert_eq!((error.errno(), error.syscall()), (libc::EPERM, "ioctl"));
    }

    #[test]
    fn every_named_error_has_its_own_name() {
        assert_eq!(OpenError::new(libc::ENOTSUP, "open", "").kind(), io::ErrorKind::Unsupported);
        assert_eq!(
            OpenError::new(libc::ENAMETOOLONG, "ioctl", "").kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(OpenError::new(9999, "open", "").code(), "UNKNOWN");
    }
}
