//! Values as people read them, safe to log whoever chose them.

use x509_parser::time::ASN1Time;

/// Text from evidence: escaped, and cut after 128 characters.
pub(crate) fn quoted(text: &str) -> String {
    const LIMIT: usize = 128;
    let mut shown: String = text.chars().take(LIMIT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LIMIT).is_some() {
        shown.push_str("...");
    }
    format!("\"{shown}\"")
}

/// Bytes in hexadecimal; of more than 64 the beginning and the length.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    const LIMIT: usize = 64;
    match bytes.len() {
        0 => "no bytes".to_owned(),
        length if length <= LIMIT => hex::encode(bytes),
        length => format!("{}... ({length} bytes)", hex::encode(&bytes[..LIMIT])),
    }
}

/// Seconds since 1970 in RFC 3339.
pub(crate) fn time(seconds: u64) -> String {
    let Some(at) =
        i64::try_from(seconds).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok())
    else {
        return format!("{seconds} s after 1970, which is no date");
    };
    let at = at.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_614_963_709), "2021-03-05T17:01:49Z");
        assert!(time(u64::MAX).contains("no date"));
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        assert_eq!(quoted("a\n\u{1b}[31mb"), "\"a\\n\\u{1b}[31mb\"");
        assert!(quoted(&"x".repeat(4000)).len() < 200);
    }
}
