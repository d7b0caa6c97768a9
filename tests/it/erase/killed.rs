//! Killed while customers leave.

use std::collections::BTreeSet;

use super::files_with;
use super::leaver::{erase, events, has_left, mark, store};
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, run};

const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_DATA_ERASE_WITHIN", "0s"),
];
/// How often it is killed.
const KILLS: usize = 5;
/// Customers that are erased before each kill, of twice as many.
const ERASED: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn erasures_come_to_their_end_however_often_the_service_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new();
    let mut process = Process::start_with(dir.path(), &SETTINGS);
    let project = Project::read(dir.path());
    let (mut kept, mut erased) = (BTreeSet::new(), BTreeSet::new());
    let mut customers = 0..;
    for _ in 0..KILLS {
        for customer in customers.by_ref().take(2 * ERASED) {
            store(&process, &project, customer).await;
            match customer % 2 {
                0 => kept.insert(customer),
                _ => erased.insert(customer),
            };
        }
        for customer in erased.iter().rev().take(ERASED) {
            erase(&process, &project, *customer).await;
        }
        // From the rewriting of the log to the middle of making the engine write its files again.
        tokio::time::sleep(dice.between(0..2_500)).await;
        process.kill();
        process = Process::start_with(dir.path(), &SETTINGS);
        for customer in &erased {
            assert_eq!(events(&process, &project, *customer).await, None);
        }
        for customer in &kept {
            let events = events(&process, &project, *customer).await;
            assert_eq!(events.unwrap(), ["visit", "buy"], "{customer}");
        }
    }
    has_left(dir.path()).await;
    for customer in &erased {
        assert_eq!(files_with(dir.path(), &mark(*customer)), [""; 0]);
    }
    for customer in &kept {
        assert!(!files_with(dir.path(), &mark(*customer)).is_empty());
    }
    assert!(process.terminate().success());
    let (code, said) = run(command(dir.path()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("are as the log says"), "{said}");
}
