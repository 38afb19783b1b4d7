//! What is in a data directory before in; which socket is there, and who may use it, out.

use std::{
    fs, io,
    os::unix::{fs::FileTypeExt, fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use insight_hub::engine::log::access::{
    LogAccess,
    socket::{Limits, Remote, Server},
};
use tempfile::TempDir;

use super::hub::Hub;

fn start(hub: &Hub, directory: &Path) -> io::Result<Server> {
    let access: Arc<dyn LogAccess> = Arc::clone(&hub.opened) as _;
    Server::start(directory, access, Limits::default())
}

/// Names in a directory.
fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}

fn answers(directory: &Path) -> bool {
    Remote::connect(directory).expect("no error").is_some_and(|remote| remote.topics().is_ok())
}

#[test]
fn socket_is_there_while_the_hub_serves_and_for_its_user_alone() {
    let mut hub = Hub::new();
    let directory = hub.directory.path().to_owned();
    let metadata = fs::symlink_metadata(directory.join("socket")).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&directory), ["socket"]);
    assert!(answers(&directory));
    hub.stop();
    assert_eq!(names(&directory), [""; 0]);
    assert!(Remote::connect(&directory).expect("no error").is_none());
    assert!(Remote::connect(&directory.join("nowhere")).expect("no error").is_none());
}

#[test]
fn at_no_time_could_another_user_have_connected() {
    let hub = Hub::new();
    let directory = TempDir::new().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut sights = 0;
            while !is_done.load(Ordering::SeqCst) {
                if let Ok(metadata) = fs::symlink_metadata(directory.path().join("socket")) {
                    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
                    sights += 1;
                }
                if let Ok(metadata) = fs::symlink_metadata(directory.path().join("socket.new")) {
                    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
                }
            }
            sights
        });
        for _ in 0..200 {
            start(&hub, directory.path()).expect("a server").stop();
        }
        is_done.store(true, Ordering::SeqCst);
        assert!(watching.join().expect("no panic") > 0, "it saw the socket");
    });
}

#[test]
fn what_a_killed_hub_left_is_replaced() {
    let hub = Hub::new();
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    drop(UnixListener::bind(&path).expect("a socket that nobody answers"));
    assert!(Remote::connect(directory.path()).expect("no error").is_none(), "nobody answers there");
    fs::create_dir(directory.path().join("socket.new")).expect("a directory");
    drop(UnixListener::bind(directory.path().join("socket.new/socket")).expect("one that was not finished"));
    let server = start(&hub, directory.path()).expect("a server");
    assert!(answers(directory.path()));
    assert_eq!(names(directory.path()), ["socket"]);
    server.stop();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let hub = Hub::new();
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("socket"), "precious").expect("a file");
    let Err(error) = start(&hub, directory.path()) else { panic!("it replaced a file") };
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("is no socket; move it away"), "{error}");
    assert_eq!(names(directory.path()), ["socket"]);
}

#[test]
fn server_that_was_replaced_leaves_the_socket_of_the_next_one() {
    let hub = Hub::new();
    let directory = TempDir::new().expect("a directory");
    let first = start(&hub, directory.path()).expect("a server");
    let second = start(&hub, directory.path()).expect("another one");
    first.stop();
    assert!(answers(directory.path()));
    second.stop();
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn paths_longer_than_an_address_work_where_descriptors_are_files() {
    let hub = Hub::new();
    let outer = TempDir::new().expect("a directory");
    let deep: PathBuf = outer.path().join("a".repeat(60)).join("b".repeat(60));
    fs::create_dir_all(&deep).expect("a directory");
    assert!(Remote::connect(&deep).expect("no error").is_none(), "nobody serves there yet");
    match start(&hub, &deep) {
        Ok(server) => {
            assert!(answers(&deep));
            server.stop();
            assert_eq!(names(&deep), [""; 0]);
        }
        Err(error) => {
            assert!(!Path::new("/proc/self/fd").is_dir());
            assert!(error.to_string().contains("a data directory with a shorter path"), "{error}");
        }
    }
}

#[test]
fn directory_that_is_not_there_is_named() {
    let hub = Hub::new();
    let Err(error) = start(&hub, &hub.directory.path().join("nowhere")) else { panic!("it serves nowhere") };
    assert!(error.to_string().contains("nowhere to other commands"), "{error}");
}
