//! Customers who come to leave again, and others who stay.

use std::path::Path;

use crate::erase::files_with;
use crate::erase::leaver::{erase, events, has_left, has_no_remains, mark, store};
use crate::harness::first_run::Project;
use crate::harness::process::Process;

/// How many leave at once, of twice as many who come.
const LEAVERS: usize = 3;

/// Those who came; every other one has left.
#[derive(Default)]
pub struct Leavers {
    count: usize,
}

impl Leavers {
    pub async fn come_and_leave(&mut self, process: &Process, project: &Project) {
        let coming = self.count..self.count + 2 * LEAVERS;
        for customer in coming.clone() {
            store(process, project, customer).await;
        }
        for customer in coming.clone().filter(has_gone) {
            erase(process, project, customer).await;
        }
        self.count = coming.end;
    }

    /// Checks that who has left is not there, and everybody else is.
    pub async fn are_as_they_were(&self, process: &Process, project: &Project) {
        for customer in 0..self.count {
            let events = events(process, project, customer).await;
            match has_gone(&customer) {
                true => assert_eq!(events, None, "{customer} was erased"),
                false => assert_eq!(events.unwrap(), ["visit", "buy"], "{customer}"),
            }
        }
    }

    /// Whether something of them may still be on the disk, as the service says.
    pub async fn have_remains(&self, dir: &Path) -> bool {
        self.count > 0 && !has_no_remains(dir).await
    }

    /// Waits until nothing is left of those who have left, and looks for it on the disk.
    pub async fn leave_the_disk(&self, dir: &Path) {
        has_left(dir).await;
        for customer in 0..self.count {
            let files = files_with(dir, &mark(customer));
            assert_eq!(files.is_empty(), has_gone(&customer), "{files:?}");
        }
    }

    /// Those who stay, as an export tells them.
    pub fn customers(&self) -> impl Iterator<Item = String> {
        let staying = (0..self.count).filter(|customer| !has_gone(customer));
        staying.map(|customer| format!("registered={} cookie=cookie-{customer}", mark(customer)))
    }
}

fn has_gone(customer: &usize) -> bool {
    !customer.is_multiple_of(2)
}
