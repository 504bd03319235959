//! The task that keeps an enclave up.

use std::time::{Duration, Instant, SystemTime};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Backoff, EnclaveState, LaunchError, Launcher, Order, ProcessLauncher, process::RunningProcess,
};
use crate::relay::{self, Deadlines};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// An enclave that lived this long did not fail at once.
const STEADY: Duration = Duration::from_mins(1);
/// How often a starting enclave is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Starts the enclave, again and again, until it is told to stop.
pub(super) async fn run(
    launcher: Launcher,
    deadlines: Deadlines,
    report: watch::Sender<EnclaveState>,
    mut orders: mpsc::Receiver<Order>,
) {
    let Launcher::Process(launcher) = launcher;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut after = None;
    for generation in 1.. {
        report.send_replace(EnclaveState::Starting { after: after.take() });
        let began = Instant::now();
        // Leaving `live` drops the process, which kills it.
        let why = tokio::select! {
            why = live(&launcher, &deadlines, &report, generation) => why,
            order = order(&mut orders, generation) => match order {
                Order::Stop => break,
                Order::Restart { .. } => "it no longer answered, and the host ended it".to_owned(),
            },
        };
        if began.elapsed() >= STEADY {
            backoff.reset();
        }
        let wait = backoff.wait();
        tracing::warn!(generation, why, wait_ms = wait.as_millis(), "enclave-down");
        after = Some(why.clone());
        report.send_replace(EnclaveState::Down { why, retry_at: SystemTime::now() + wait });
        tokio::select! {
            () = sleep(wait) => {}
            // The enclave that this could be about is gone already.
            Order::Stop = order(&mut orders, 0) => break,
        }
    }
    report.send_replace(EnclaveState::Stopped);
}

/// Waits for an order that concerns this generation. No more orders means stop.
async fn order(orders: &mut mpsc::Receiver<Order>, generation: u64) -> Order {
    loop {
        match orders.recv().await.unwrap_or(Order::Stop) {
            Order::Restart { generation: meant } if meant != generation => {}
            order => return order,
        }
    }
}

/// One life of an enclave, and why it ended.
async fn live(
    launcher: &ProcessLauncher,
    deadlines: &Deadlines,
    report: &watch::Sender<EnclaveState>,
    generation: u64,
) -> String {
    let mut process = match launcher.start().await {
        Ok(process) => process,
        Err(error) => return error.to_string(),
    };
    let status = match answer(launcher, &mut process, deadlines).await {
        Ok(status) => status,
        Err(error) => {
            process.kill().await;
            return error.to_string();
        }
    };
    let address = launcher.address();
    let (pid, version) = (process.pid(), &status.version);
    tracing::info!(generation, pid, version, platform = status.platform, %address, "enclave-up");
    report.send_replace(EnclaveState::Up { address, status, generation });
    process.ended().await
}

/// Asks a starting enclave until it answers, ends, or has had enough time.
async fn answer(
    launcher: &ProcessLauncher,
    process: &mut RunningProcess,
    deadlines: &Deadlines,
) -> Result<cloister_protocol::frames::Status, LaunchError> {
    let address = launcher.address();
    let mut last = String::new();
    let asking = async {
        loop {
            match relay::status(&address, deadlines.start).await {
                Ok(status) => return status,
                Err(error) => last = error.to_string(),
            }
            sleep(ASK_EVERY).await;
        }
    };
    let status = tokio::select! {
        asked = timeout(deadlines.start, asking) => asked,
        why = process.ended() => return Err(LaunchError::Ended(why)),
    };
    let status = status.map_err(|_| LaunchError::Silent(deadlines.start, last))?;
    if status.platform != launcher.platform() {
        let expected = launcher.platform().to_owned();
        return Err(LaunchError::Platform { expected, found: status.platform });
    }
    Ok(status)
}
