//! A hostile host, against brokers and enclaves in processes of their own.
//!
//! The test has the relay's steps in its hands and lies between them. Whatever it does is
//! refused before a key moves or a row is used, with a code of its own, and the next
//! honest job works. The table of all cases is on standard output.

mod bodies;
mod budgets;
mod bytes;
mod grants;
mod offers;
mod policies;
mod releases;
mod requests;
mod scene;

use anyhow::Result;
use scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lie_is_refused_by_its_own_code_and_the_next_job_works() -> Result<()> {
    let mut scene = Scene::new().await?;
    offers::cases(&mut scene).await?;
    requests::cases(&mut scene).await?;
    requests::enclaves_that_are_not_approved(&mut scene).await?;
    requests::a_broken_enclave(&mut scene).await?;
    grants::cases(&mut scene).await?;
    bodies::cases(&mut scene).await?;
    releases::cases(&mut scene).await?;
    policies::cases(&mut scene).await?;
    budgets::cases(&mut scene).await?;
    println!("{}", scene.table());
    Ok(())
}
