//! Where the control socket is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The socket's name within the data folder.
const SOCKET_NAME: &str = "control.sock";
/// What every Unix has room for in a socket's address, less the closing zero.
const ADDRESS_BYTES_MAX: usize = 103;

/// A path by which the operating system finds a file of a folder whatever the length of the folder's own path.
pub(super) struct Address {
    path: PathBuf,
    /// Keeps the short path valid.
    _folder: Option<File>,
}

impl Address {
    /// The address of a file in a folder.
    pub(super) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }

    /// The address of the control socket.
    pub(super) fn of_socket(folder: &Path) -> io::Result<Self> {
        Self::of(folder, SOCKET_NAME)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
