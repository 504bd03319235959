//! Worker processes under attack. The workers are this program, started again, so it has
//! its own small runner instead of the usual one.
//!
//! A name as argument runs the tests that contain it. `--ignored` runs the measurements.

#[path = "../guests/mod.rs"]
mod guests;

mod confinement;
mod death;
mod hostile;
mod logistic;
mod measure;
mod metrics;
mod support;

use std::env;
use std::panic::catch_unwind;
use std::process::ExitCode;

type Test = (&'static str, fn());

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*]
    };
}

const TESTS: &[Test] = tests![
    confinement::a_confined_process_may_exit,
    confinement::opening_a_file_kills,
    confinement::a_socket_kills,
    confinement::a_new_process_kills,
    confinement::every_other_system_call_kills,
    confinement::executable_memory_kills,
    confinement::nothing_is_allowed_that_workers_do_not_need,
    confinement::workers_are_confined_and_hold_one_descriptor,
    hostile::each_hostile_unit_gets_nothing_and_its_neighbours_are_untouched,
    hostile::nothing_is_kept_between_units,
    hostile::memory_of_a_dirty_instance_is_clean_for_the_next,
    hostile::units_at_once_take_no_more_memory_than_one,
    hostile::misfit_units_get_nothing,
    hostile::init_that_traps_is_an_error,
    hostile::more_workers_change_nothing,
    hostile::chosen_units_alone_are_summed,
    death::a_killed_worker_costs_nothing,
    death::a_silent_worker_costs_nothing,
    death::a_unit_that_kills_workers_costs_itself_alone,
    death::units_are_shared_evenly,
    death::all_workers_killed_and_the_round_still_ends,
    death::a_worker_that_never_becomes_ready_is_an_error,
    death::a_worker_cannot_say_more_than_its_units_could,
    death::a_worker_that_lies_gets_nothing_and_blocks_nobody,
    logistic::updates_equal_native_arithmetic,
    logistic::training_separates_two_clouds,
    logistic::the_component_describes_itself,
    metrics::each_number_is_exact,
    metrics::each_failure_counts_as_one,
    metrics::a_score_that_fails_is_the_worst,
    metrics::nothing_is_kept_between_units_and_calls,
    metrics::recorded_code_has_the_same_metrics,
    metrics::a_trainer_has_the_metrics_of_plain_arithmetic,
    metrics::a_unit_that_kills_workers_has_failed_alone,
    metrics::a_killed_worker_costs_no_metrics,
    metrics::a_worker_cannot_say_more_of_metrics_than_its_units_could,
];

const MEASUREMENTS: &[Test] = tests![measure::microseconds_per_unit, measure::slow_fuel];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(code) = support::other_roles(&arguments) {
        return code;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let measure = arguments.iter().any(|argument| argument == "--ignored");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut failed = 0;
    let mut passed = 0;
    for (name, test) in if measure { MEASUREMENTS } else { TESTS } {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        if catch_unwind(test).is_ok() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    println!("\ntest result: {passed} passed; {failed} failed\n");
    ExitCode::from(u8::from(failed > 0))
}
