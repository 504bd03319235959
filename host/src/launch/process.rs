//! The enclave as a process: the simulated platform.
//!
//! The host starts itself with a hidden subcommand, which asks the kernel for
//! `SIGKILL` when its parent dies and then becomes the enclave ([`become_child`]).
//! The kernel means the *thread* that started it, so one thread that lives as long
//! as the launcher does all starting.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc,
    thread,
};

use cloister_link::Address;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

use super::{
    LaunchError,
    explain::{LastWords, explain},
    program,
};

/// The longest path of a Unix socket on Linux, without its final zero.
const SOCKET_PATH: usize = 107;

/// Starts `cloister-enclave` on the simulated platform.
#[derive(Debug)]
pub struct ProcessLauncher {
    command: PathBuf,
    arguments: Vec<OsString>,
    platform: String,
    socket: PathBuf,
    wrapper: PathBuf,
    spawner: mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)>,
}

/// An enclave that runs as a process. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct RunningProcess {
    child: Child,
    words: LastWords,
}

impl ProcessLauncher {
    /// Prepares to start `command` with a socket in `folder`. `wrapper` is the
    /// program whose hidden subcommand calls [`become_child`]: `cloister-host` itself.
    pub fn simulated(
        wrapper: PathBuf,
        command: PathBuf,
        vendor: &Path,
        workers: Option<u32>,
        folder: &Path,
    ) -> Result<Self, LaunchError> {
        let socket = folder.join("enclave.sock");
        if socket.as_os_str().len() > SOCKET_PATH {
            return Err(LaunchError::SocketPath { path: socket.display().to_string() });
        }
        let mut listen = OsString::from("unix:");
        listen.push(&socket);
        let mut arguments: Vec<OsString> = ["serve", "--listen"].map(Into::into).into();
        arguments.extend([listen, "--platform".into(), "simulated".into()]);
        arguments.extend(["--vendor".into(), vendor.into()]);
        if let Some(workers) = workers {
            arguments.extend(["--workers".into(), workers.to_string().into()]);
        }
        let platform = "simulated".to_owned();
        Ok(Self { command, arguments, platform, socket, wrapper, spawner: spawner() })
    }

    /// The platform that the enclave has to say it is.
    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    /// Where the enclave answers.
    pub(super) fn address(&self) -> Address {
        Address::Unix(self.socket.clone())
    }

    /// Starts one process. That it answers is not known yet.
    pub(super) async fn start(&self) -> Result<RunningProcess, LaunchError> {
        let program = program::find(&self.command).map_err(|error| self.refuse(&error))?;
        self.remove_stale_socket()?;
        let mut command = Command::new(&self.wrapper);
        command
            .arg("launch")
            .arg(std::process::id().to_string())
            .arg(program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A signal from the terminal is the host's to answer.
            .process_group(0)
            .kill_on_drop(true);
        let (reply, spawned) = oneshot::channel();
        let stopped = || self.refuse(&io::Error::other("the host is stopping"));
        self.spawner.send((command, reply)).map_err(|_| stopped())?;
        let mut child =
            spawned.await.map_err(|_| stopped())?.map_err(|error| self.refuse(&error))?;
        let words = LastWords::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(words.clone().listen(stderr));
        }
        Ok(RunningProcess { child, words })
    }

    /// An enclave that was killed leaves its socket behind. Nothing but a socket is removed.
    fn remove_stale_socket(&self) -> Result<(), LaunchError> {
        match fs::symlink_metadata(&self.socket) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(&self.socket).map_err(|error| self.refuse(&error))
            }
            Ok(_) => Err(self.refuse(&io::Error::other(format!(
                "{} is in the way and is not a socket",
                self.socket.display()
            )))),
            Err(_) => Ok(()),
        }
    }

    fn refuse(&self, error: &io::Error) -> LaunchError {
        LaunchError::Command { command: self.command.display().to_string(), why: error.to_string() }
    }
}

impl RunningProcess {
    /// Waits until it ends, and says why it did.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => {
                // What it wrote last may still be on its way through the pipe.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                explain(status, &self.words)
            }
            Err(error) => format!("the host lost track of it: {error}"),
        }
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// A thread that starts processes, for as long as somebody can ask it to.
fn spawner() -> mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)> {
    let (sender, orders) = mpsc::channel::<(Command, oneshot::Sender<io::Result<Child>>)>();
    let runtime = Handle::current();
    thread::spawn(move || {
        let _inside = runtime.enter();
        for (mut command, reply) in orders {
            let _ = reply.send(command.spawn());
        }
    });
    sender
}

/// Turns this process into `command`, after asking the kernel to kill it when
/// `parent` dies. It only returns when it fails.
pub fn become_child(parent: u32, command: &OsStr, arguments: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have died before the kernel was asked.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return io::Error::other("the host has gone");
    }
    let error = std::process::Command::new(command).args(arguments).exec();
    let command = String::from_utf8_lossy(command.as_bytes()).into_owned();
    io::Error::new(error.kind(), format!("{command}: {error}"))
}
