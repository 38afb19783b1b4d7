//! A data directory in; a path to the socket in it that the machine takes out.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::net::SocketAddr},
    path::{Path, PathBuf},
};

/// The socket's name in the data directory.
pub(super) const SOCKET: &str = "socket";

/// A path for `bind` or `connect`, good as long as this is kept.
pub(super) struct Address {
    pub(super) path: PathBuf,
    /// The path may lead through its descriptor.
    _directory: Option<File>,
}

/// Where descriptors are files, on Linux.
const DESCRIPTORS: &str = "/proc/self/fd";

/// The path to `name` in a directory. Addresses of sockets have 108 bytes on Linux, so a longer path leads through an open
/// descriptor of the directory, which is short. (Changing the directory would be so for all threads.)
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if the path is too long and there are no such descriptors; [`io::ErrorKind::NotFound`] if
/// there is no such directory.
pub(super) fn find(directory: &Path, name: &str) -> io::Result<Address> {
    let path = directory.join(name);
    let Err(reason) = SocketAddr::from_pathname(&path) else { return Ok(Address { path, _directory: None }) };
    if Path::new(DESCRIPTORS).is_dir() {
        let opened = File::open(directory)?;
        let path = Path::new(DESCRIPTORS).join(opened.as_raw_fd().to_string()).join(name);
        if SocketAddr::from_pathname(&path).is_ok() {
            return Ok(Address { path, _directory: Some(opened) });
        }
    }
    let text = format!(
        "{} is no address for a socket ({reason}); give the hub a data directory with a shorter path, or a short symbolic link to \
         it",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
