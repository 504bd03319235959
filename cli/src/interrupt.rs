//! Ctrl-C while a job is followed: says how to go on, and ends.

/// From now on an interrupt prints `resume` and ends the program with 130.
pub fn say(resume: String) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            anstream::eprintln!("\nThe job goes on without you. To come back: {resume}");
            std::process::exit(130);
        }
    });
}
