//! Evidence as people have it: raw, in hexadecimal, in base64, on standard input.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use cloister_attestation::{UnixTime, snp::Bundle};

use crate::{
    error::{Error, Result},
    files,
};

/// More than any evidence has, in hexadecimal with line breaks.
const LIMIT: u64 = 256 * 1024;

/// Reads evidence from a file, or from standard input if the path is `-`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes);
        read.map_err(|error| Error::usage(format!("standard input: {error}")))?;
        return Ok(decode(bytes));
    }
    files::read(path, LIMIT).map(decode).map_err(Error::usage)
}

/// Takes hexadecimal and base64 off. No evidence is text by itself.
pub fn decode(bytes: Vec<u8>) -> Vec<u8> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return bytes;
    }
    if let Ok(decoded) = hex::decode(&text) {
        return decoded;
    }
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(&text).ok())
        .unwrap_or(bytes)
}

/// Bytes in hexadecimal, for an argument.
pub fn hexadecimal(text: &str) -> std::result::Result<Vec<u8>, String> {
    hex::decode(text).map_err(|_| "not hexadecimal: two digits for each byte".to_owned())
}

/// A time in RFC 3339, for an argument.
pub fn time(text: &str) -> std::result::Result<UnixTime, String> {
    let wrong = || format!("{text:?} is no time in RFC 3339 such as 2026-01-31T12:00:00Z");
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let seconds = u64::try_from(at.as_second()).map_err(|_| wrong())?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

/// Every file of a folder, by name, or the one file that a path is.
pub fn contents(path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let said = |error: std::io::Error| Error::failed(format!("{}: {error}", path.display()));
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(said)?;
        paths = entries.map(|entry| Ok(entry.map_err(said)?.path())).collect::<Result<_>>()?;
        paths.retain(|path| path.is_file());
        paths.sort();
    }
    let read = |path: PathBuf| {
        let bytes = files::read(&path, Bundle::LIMIT as u64)?;
        Ok((path, bytes))
    };
    paths.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_raw_hexadecimal_or_base64() {
        let raw = vec![0x84, 0x44, 0xa1, 0x01, 0xff, 0xfb, 0x3e];
        for form in [
            raw.clone(),
            b"8444 a101\nFFfb3e\n".to_vec(),
            b"hEShAf/7\nPg==\n".to_vec(),
            b"hEShAf_7Pg".to_vec(),
        ] {
            assert_eq!(decode(form), raw);
        }
        assert_eq!(decode(Vec::new()), Vec::<u8>::new());
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time("2026-01-01T00:00:00Z").unwrap().as_secs(), 1_767_225_600);
        assert_eq!(time("2026-01-01T01:00:00+01:00").unwrap().as_secs(), 1_767_225_600);
        for wrong in ["", "2026-01-01", "1960-01-01T00:00:00Z", "now"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
