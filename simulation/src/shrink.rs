//! Makes a failing script shorter, as long as it still fails.

use crate::script::Script;

/// The most runs for one script.
const MOST_RUNS: usize = 300;

/// The shortest script found for which `fails` still holds. Asks it a bounded number of times.
pub fn shrink(script: Script, fails: impl Fn(&Script) -> bool) -> Script {
    let mut best = script;
    let mut runs_left = MOST_RUNS;
    loop {
        let mut still_fails = |shorter: &Script| {
            runs_left = runs_left.saturating_sub(1);
            runs_left > 0 && fails(shorter)
        };
        let Some(shorter) = shorter(&best).into_iter().find(&mut still_fails) else { return best };
        best = shorter;
    }
}

/// Scripts with a little less: first those without one of the faults.
fn shorter(script: &Script) -> Vec<Script> {
    let with = |change: &dyn Fn(&mut Script)| {
        let mut changed = script.clone();
        change(&mut changed);
        changed
    };
    let mut all = Vec::new();
    for index in 0..script.happenings.len() {
        all.push(with(&|script| _ = script.happenings.remove(index)));
    }
    for index in 0..script.happenings.len() {
        // To the millisecond, so that it comes to an end.
        all.push(with(&|script| {
            let lasts = &mut script.happenings[index].lasts;
            *lasts = std::time::Duration::from_millis(u64::try_from(lasts.as_millis() / 2).unwrap_or(0));
        }));
    }
    all.push(with(&|script| script.plan.impatient_callers = 0));
    all.push(with(&|script| script.plan.callers = 1));
    all.push(with(&|script| script.plan.has_near_cache = false));
    all.push(with(&|script| script.plan.has_password = false));
    all.retain(|shorter| shorter != script);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        script::{Fault, draw},
        seed::Seed,
    };

    fn freezes(script: &Script) -> bool {
        script.happenings.iter().any(|happening| matches!(happening.fault, Fault::Frozen(_)))
    }

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let long =
            (1..).map(Seed::new).map(draw).find(|script| script.happenings.len() > 3 && freezes(script));
        let shortest = shrink(long.unwrap(), freezes);
        assert_eq!(shortest.happenings.len(), 1);
        assert!(shortest.happenings[0].lasts.is_zero());
        assert_eq!((shortest.plan.callers, shortest.plan.impatient_callers), (1, 0));
    }

    #[test]
    fn a_script_that_fails_for_no_other_reason_is_returned_as_it_is() {
        let script = draw(Seed::new(1));
        assert_eq!(shrink(script.clone(), |_| false), script);
    }
}
