//! A crowd of appends while the disk hangs.

use tokio::task::JoinSet;

use super::*;

const APPENDS: usize = 10_000;
const RECORD_BYTES: usize = 100;
/// How many of their records fit.
const FIT: usize = 1_000;

/// The bytes of a record, which are counted for as long as they are held.
struct Counted {
    bytes: [u8; RECORD_BYTES],
    _counter: Arc<()>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The appends, and how many records are held.
struct Crowd {
    bench: Bench,
    counter: Arc<()>,
}

impl Crowd {
    /// All append to a disk that hangs. Gives those that still wait, once `answered` have an answer.
    async fn append(&self, log: &Log, answered: usize) -> (JoinSet<Appended>, Vec<Appended>) {
        self.bench.store.stall(true);
        let mut appends = JoinSet::new();
        for number in 0..APPENDS {
            let mut bytes = [0; RECORD_BYTES];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            let record = Bytes::from_owner(Counted {
                bytes,
                _counter: self.counter.clone(),
            });
            let log = log.clone();
            appends.spawn(async move {
                let appended = log.append(vec![record]).await;
                (number, appended.map(drop))
            });
        }
        let mut answers = Vec::new();
        while answers.len() < answered {
            answers.push(appends.join_next().await.unwrap().unwrap());
        }
        (appends, answers)
    }

    fn held(&self) -> usize {
        Arc::strong_count(&self.counter) - 1
    }

    /// The numbers of the records that are stored.
    fn stored(&self) -> Vec<usize> {
        let records = self.bench.log.read_after(Position::START, usize::MAX);
        let number = |record: &Bytes| usize::from_be_bytes(record[..8].try_into().unwrap());
        let records = records.unwrap();
        records.iter().map(|(_, record)| number(record)).collect()
    }
}

type Appended = (usize, Result<(), Error>);

/// A crowd at each limit of the queue.
fn crowds() -> [Crowd; 2] {
    let by_records = Options {
        queue_records_max: FIT,
        ..Options::default()
    };
    let by_bytes = Options {
        queue_bytes_max: FIT * RECORD_BYTES,
        ..Options::default()
    };
    [by_records, by_bytes].map(|options| Crowd {
        bench: bench(&options),
        counter: Arc::default(),
    })
}

fn numbers(answers: &[Appended]) -> Vec<usize> {
    let mut numbers: Vec<usize> = answers.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn of_ten_thousand_appends_those_beyond_the_queue_are_refused_and_the_others_kept() {
    for crowd in crowds() {
        let log = crowd.bench.log.clone();
        let (waiting, refused) = crowd.append(&log, APPENDS - FIT).await;
        for (_, answer) in &refused {
            assert!(matches!(answer, Err(Error::Overloaded)), "{answer:?}");
        }
        assert_eq!(crowd.stored(), [0; 0]);
        crowd.bench.store.stall(false);
        let kept = waiting.join_all().await;
        assert!(kept.iter().all(|(_, answer)| answer.is_ok()));
        assert_eq!(crowd.stored(), numbers(&kept));
        assert_eq!(crowd.held(), FIT);
    }
}

#[tokio::test]
async fn those_who_do_not_wait_for_a_disk_that_hangs_make_no_room_for_more() {
    for crowd in crowds() {
        let log = crowd.bench.log.impatient();
        let (waiting, answers) = crowd.append(&log, APPENDS).await;
        assert!(waiting.is_empty());
        let (given_up, refused): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|(_, answer)| matches!(answer, Err(Error::Stalled(_))));
        for (_, answer) in &refused {
            assert!(matches!(answer, Err(Error::Overloaded)), "{answer:?}");
        }
        // No append waits any more. What the disk was given is still held, and nothing else may be.
        assert_eq!(crowd.held(), FIT);
        let more = crowd.bench.log.append(record("one more")).await;
        assert!(matches!(more, Err(Error::Overloaded)), "{more:?}");
        crowd.bench.store.stall(false);
        crowd.bench.log.close();
        assert_eq!(crowd.stored(), numbers(&given_up));
    }
}
