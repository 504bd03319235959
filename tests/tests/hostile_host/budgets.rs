//! A budget that would be exceeded.

use anyhow::{Context, Result, ensure};
use cloister_host::relay;
use cloister_privacy::Zcdp;

use super::scene::{Scene, broker};
use cloister_tests::played::charged;

/// Alpha's budget is nearly spent.
const ALPHA: usize = 0;
const DELTA: f64 = 1e-5;

pub async fn cases(scene: &mut Scene) -> Result<()> {
    // 1. A total that leaves less than one more job: what was spent, and half a job.
    let cost = scene.material()?.job.value.cost;
    let spent = charged(&scene.world.owners[ALPHA])?.spent;
    let epsilon = Zcdp::from_pico(spent + cost / 2).epsilon_upper(DELTA)?;
    let total = Zcdp::budget_for(epsilon, DELTA)?.as_pico();
    ensure!((spent..spent + cost).contains(&total), "{total} is no total for {spent} and {cost}");
    let before = "total = { epsilon = 20.0";
    let after = format!("total = {{ epsilon = {epsilon}");
    scene.new_policy(ALPHA, &|text| text.replace(before, &after))?;

    // 2. The job is within what one job may cost, and not within what is left.
    let session = scene.attest(scene.material()?, |_| ()).await?;
    let request = relay::grant_request(&session.material, &session.attested);
    let asked = scene.host.grant(&session.brokers[ALPHA], request.clone()).await;
    let why = super::scene::expect(asked, &broker(ALPHA), "budget-exhausted")?;
    scene.nothing_charged().with_context(|| why.clone())?;
    // Nor is it when it is asked for again, after the broker was killed.
    scene.world.owners[ALPHA].broker = None;
    scene.world.start_broker(ALPHA)?;
    let asked = scene.host.grant(&session.brokers[ALPHA], request).await;

    // 3. A larger total, signed by the owner, and the next job works.
    scene.new_policy(ALPHA, &|text| text.replace(&after, before))?;
    scene
        .refused("a budget that would be exceeded", &broker(ALPHA), "budget-exhausted", asked)
        .await?;
    Ok(())
}
