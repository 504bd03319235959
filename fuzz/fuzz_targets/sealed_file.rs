//! A sealed dataset as an owner uploads it: header, manifest, and where the body is.
#![no_main]

use std::io::Cursor;

use cloister_protocol::dataset::FileLayout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(layout) = FileLayout::read(Cursor::new(bytes)) {
        let end = layout.body_offset + layout.body_length;
        assert!(end < bytes.len() as u64, "the body reaches beyond the file");
    }
});
