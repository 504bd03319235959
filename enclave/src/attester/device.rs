//! A platform's device, or one line that says what to do about it.

use std::io;

use super::AttesterError;

/// What to say if a device is not there.
#[derive(Clone, Copy)]
pub(super) struct Device {
    /// The platform's name on the command line.
    pub(super) platform: &'static str,
    /// Where its driver puts the device.
    pub(super) path: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

impl Device {
    /// The error for this device, given the system's.
    pub(super) fn missing(self, source: io::Error) -> AttesterError {
        let Self { platform, path, remedy } = self;
        AttesterError::Device { platform, path, source, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_told_in_one_line_with_what_to_do() {
        let device = Device { platform: "nitro", path: "/dev/nsm", remedy: "start it there" };
        let error = device.missing(io::ErrorKind::NotFound.into()).to_string();
        assert_eq!(
            error,
            "the platform nitro needs /dev/nsm, which cannot be opened: entity not found; start it there"
        );
    }
}
