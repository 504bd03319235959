//! The folder that a job's releases go to: it holds one job's, or nothing proves anything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cloister_protocol::{Id, Signed, job::Job, limits, release::Receipt};

use crate::{
    error::{Context, Error, Result},
    files,
};

/// The job itself, as it was signed.
pub const JOB: &str = "job.cloister";
/// The model that the last release gives.
pub use super::model::NAME as MODEL;

/// A folder for the releases of one job.
pub struct Results {
    folder: PathBuf,
    /// What is to be removed before the first release.
    old: Vec<PathBuf>,
}

impl Results {
    /// A folder for a new job. One with another job's results is refused, or emptied of
    /// them by [`Results::prepare`], if `force` says so.
    pub fn of_new_job(folder: &Path, force: bool) -> Result<Self> {
        let old = results(folder)?;
        if let Some(first) = old.first().filter(|_| !force) {
            return Err(Error::failed(format!(
                "{} is of another job: choose another folder with -o, or remove that job's \
                 releases with --force",
                first.display()
            )));
        }
        Ok(Self { folder: folder.to_owned(), old })
    }

    /// A folder for the job with this id, which may hold some of its releases.
    pub fn of_job(folder: &Path, job: &str) -> Result<Self> {
        for path in results(folder)? {
            let found = match path.extension().and_then(|extension| extension.to_str()) {
                Some("cloister") => job_in(&path),
                Some("receipt") => receipt_in(&path),
                _ => continue,
            };
            if found.is_none_or(|found| found.to_string() != job) {
                return Err(Error::failed(format!(
                    "{} is of another job: choose another folder with -o",
                    path.display()
                )));
            }
        }
        Ok(Self { folder: folder.to_owned(), old: Vec::new() })
    }

    /// Makes the folder if it is missing, and removes what is of another job.
    pub fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).with_path(&self.folder)?;
        self.old.iter().try_for_each(|path| fs::remove_file(path).with_path(path))
    }
}

/// What an earlier job left in a folder, in the order of the names.
fn results(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_path(folder)?,
    };
    for entry in entries {
        let entry = entry.with_path(folder)?;
        if entry.file_name().to_str().is_some_and(is_result) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_result(name: &str) -> bool {
    let release = name.strip_prefix("release-").and_then(|rest| rest.split_once('.'));
    let release = release.is_some_and(|(number, ending)| {
        number.bytes().all(|b| b.is_ascii_digit()) && matches!(ending, "receipt" | "safetensors")
    });
    release || name == JOB || name == MODEL
}

fn job_in(path: &Path) -> Option<Id<Job>> {
    let bytes = files::read(path, limits::SIGNED_OBJECT as u64).ok()?;
    Some(Signed::<Job>::from_bytes(bytes).open_by_anyone().ok()?.id)
}

fn receipt_in(path: &Path) -> Option<Id<Job>> {
    let bytes = files::read(path, limits::RECEIPT as u64).ok()?;
    Some(Receipt::from_bytes(&bytes).ok()?.job.open_by_anyone().ok()?.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn another_jobs_results_are_not_mixed_with_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(Results::of_new_job(&path.join("new"), false).is_ok());
        fs::write(path.join("notes.txt"), "mine").unwrap();
        fs::write(path.join("release-notes.receipt"), "mine, too").unwrap();
        assert!(Results::of_new_job(path, false).is_ok());
        for name in [JOB, MODEL, "release-000.receipt", "release-000.safetensors"] {
            fs::write(path.join(name), "theirs").unwrap();
            let error = Results::of_new_job(path, false).err().unwrap().to_string();
            assert!(error.contains("another job") && error.contains("--force"), "{error}");
        }
        let forced = Results::of_new_job(path, true).unwrap();
        assert_eq!(names(path).len(), 6, "nothing is removed before the job is submitted");
        forced.prepare().unwrap();
        assert_eq!(names(path), ["notes.txt", "release-notes.receipt"]);
    }

    #[test]
    fn a_job_is_followed_where_it_or_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Results::of_job(folder.path(), "00").is_ok());
        fs::write(folder.path().join(JOB), "no job at all").unwrap();
        let error = Results::of_job(folder.path(), "00").err().unwrap().to_string();
        assert!(error.contains("another job"), "{error}");
    }
}
