//! Peers in Python, each in a process of its own (`bench/python`).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::measure::{Cores, Took};

/// Where Python with the peers' packages is.
pub struct Python(pub PathBuf);

/// A process that computes when it is asked.
pub struct Peer {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What it is.
    pub about: String,
    /// The sum that it computed, or its samples.
    pub sum: Vec<f32>,
}

#[derive(Deserialize)]
struct Hello {
    about: String,
}

#[derive(Deserialize)]
struct Seconds {
    wall: f64,
    processor: f64,
}

impl Python {
    /// From a program's last two arguments: `python` and a path, or a word and the reason why
    /// there is none.
    ///
    /// # Errors
    ///
    /// That reason.
    pub fn given(how: &str, which: &str) -> Result<Self, String> {
        match how {
            "python" => Ok(Self(which.into())),
            _ => Err(which.to_owned()),
        }
    }

    /// Starts a script with so many threads, and waits until it is warm. `arguments` begin with
    /// its name; before the others it gets `folder`, and after them a file for its sum.
    ///
    /// # Errors
    ///
    /// If it does not start, or ends before it is warm.
    pub fn start(
        &self,
        arguments: &[&str],
        folder: &Path,
        threads: usize,
        cores: &Cores,
    ) -> Result<Peer> {
        cores.allow(threads)?;
        let out = folder.join("sum.f32");
        let (script, arguments) = arguments.split_first().context("no script")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let mut command = Command::new(&self.0);
        command.arg(&script).arg(folder).args(arguments).arg(&out);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What a machine sets for older numpy would slow ours, and says nothing of numpy.
        command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
        for name in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"] {
            command.env(name, threads.to_string());
        }
        command.env("JAX_PLATFORMS", "cpu").env("TF_CPP_MIN_LOG_LEVEL", "2");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if threads == 1 {
            let flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1";
            command.env("XLA_FLAGS", flags);
        }
        let mut child = command.spawn().context("cannot start Python")?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut peer = Peer { child, requests, answers, about: String::new(), sum: Vec::new() };
        let hello: Hello = peer.answer().context("its own message is above")?;
        peer.about = hello.about;
        let sum = fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
        peer.sum = sum.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        Ok(peer)
    }
}

impl Peer {
    /// Computes once.
    ///
    /// # Errors
    ///
    /// If the process ended, or answers with anything but times.
    pub fn run(&mut self) -> Result<Took> {
        let requests = self.requests.as_mut().context("its input is closed")?;
        requests.write_all(b"run\n")?;
        requests.flush()?;
        let Seconds { wall, processor } = self.answer()?;
        let [wall, processor] = [wall, processor].map(Duration::try_from_secs_f64);
        Ok(Took { wall: wall?, processor: processor? })
    }

    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("Python ended without an answer");
        }
        serde_json::from_str(&line).with_context(|| format!("Python said {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        let _ = self.child.wait();
    }
}
