//! configfs-tsm: the kernel's way to a report together with the host's certificates, as
//! files (Linux, `Documentation/ABI/testing/configfs-tsm-report`, from 6.7 on).
//!
//! The kernel copies the certificate table out of the memory that it shares with the host,
//! and never more than it has set aside for it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use cloister_protocol::limits;
use thiserror::Error;

use crate::attester::Vmpl;

/// What the SEV-SNP driver calls itself.
const PROVIDER: &str = "sev_guest";

/// Which file of a request did not do.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub(super) struct TsmError {
    path: PathBuf,
    source: io::Error,
}

/// Makes requests, each under a name of its own, so that none sees another's report.
pub(super) struct Reports {
    root: PathBuf,
    next: AtomicU64,
}

impl Reports {
    /// Finds out whether requests can be made in `root`, and SEV-SNP answers them.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let reports = Self { root: root.into(), next: AtomicU64::new(0) };
        let answered = reports.request().is_ok_and(|request| request.is_answered_by_snp());
        answered.then_some(reports)
    }

    /// A report that binds 64 bytes, and the host's certificate table, which may be empty.
    pub(super) fn extended(
        &self,
        binding: &[u8; 64],
        vmpl: Vmpl,
    ) -> Result<(Vec<u8>, Vec<u8>), TsmError> {
        self.request()?.extended(binding, vmpl)
    }

    fn request(&self) -> Result<Request, TsmError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(format!("cloister-{}-{number}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Request(path)),
            Err(source) => Err(TsmError { path, source }),
        }
    }
}

/// A request: a folder that the kernel fills with files. Dropped, it is taken back.
struct Request(PathBuf);

impl Request {
    fn is_answered_by_snp(&self) -> bool {
        self.read("provider").is_ok_and(|name| name.trim_ascii_end() == PROVIDER.as_bytes())
    }

    fn extended(&self, binding: &[u8; 64], vmpl: Vmpl) -> Result<(Vec<u8>, Vec<u8>), TsmError> {
        self.write("privlevel", vmpl.get().to_string().as_bytes())?;
        self.write("inblob", binding)?;
        // The first to be read makes the report; the second is of the same answer.
        Ok((self.read("outblob")?, self.read("auxblob")?))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TsmError> {
        let path = self.0.join(name);
        let file = File::options().write(true).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(|source| TsmError { path, source })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, TsmError> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        // One more than can be sent shows that there is more.
        let most = limits::EVIDENCE as u64 + 1;
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|source| TsmError { path, source })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // In configfs the files go with it. One that stays is in nobody's way.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_it_has_none() {
        let home = tempfile::tempdir().unwrap();
        assert!(Reports::find(&home.path().join("report")).is_none());
        // A folder that nobody fills: no provider, and nothing is left behind.
        assert!(Reports::find(home.path()).is_none());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let reports = Reports { root: home.path().into(), next: AtomicU64::new(0) };
        let error = reports.extended(&[7; 64], Vmpl::default()).unwrap_err().to_string();
        assert!(error.contains("privlevel: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_request_is_written_and_its_answer_read() {
        let home = tempfile::tempdir().unwrap();
        let set = |name, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();
        set("provider", b"tdx_guest\n");
        let request = Request(home.path().into());
        assert!(!request.is_answered_by_snp());
        set("provider", b"sev_guest\n");
        assert!(request.is_answered_by_snp());

        for name in ["privlevel", "inblob", "auxblob"] {
            set(name, b"");
        }
        let vmpl = Vmpl::new(3).unwrap();
        let error = request.extended(&[7; 64], vmpl).unwrap_err().to_string();
        assert!(error.contains("outblob: "), "{error}");
        set("outblob", b"a report");
        assert_eq!(request.extended(&[7; 64], vmpl).unwrap(), (b"a report".to_vec(), vec![]));
        set("auxblob", &[1].repeat(limits::EVIDENCE + 9));
        let (_, table) = request.extended(&[7; 64], vmpl).unwrap();
        assert_eq!(table.len(), limits::EVIDENCE + 1);
        assert_eq!(fs::read(home.path().join("privlevel")).unwrap(), b"3");
        assert_eq!(fs::read(home.path().join("inblob")).unwrap(), [7; 64]);
    }
}
