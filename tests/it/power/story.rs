//! A service that goes on after each power cut with what the cut has left.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::disk::{Disk, Place};
use super::flood::Flood;
use super::leavers::Leavers;
use super::moment::Moment;
use super::{NEVER, WRITING};
use crate::crash::scene::Scene;
use crate::crash::writer::Writer;
use crate::harness::Request;
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;

/// How long all go on writing after the last cut.
const REPEATING: Duration = Duration::from_millis(300);
/// So many send large batches at once.
const FLOODS: usize = 4;

const SETTINGS: [(&str, &str); 1] = [("FOOTFALL_DATA_ERASE_WITHIN", "0s")];

/// What goes on besides writing when the power is cut.
#[derive(Clone, Copy, Debug)]
pub enum During {
    /// Nothing.
    Writing,
    /// So much is written that the engine begins journals, and writes and merges tables.
    Changes,
    /// The view is folded from the beginning.
    Fold,
    /// Customers are erased, and what they were leaves the disk.
    Erasure,
}

/// How many cuts met what they were to meet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub cuts: u64,
    /// A view that was not folded to its end.
    pub fold: u64,
    /// An engine that was changing its files.
    pub changes: u64,
    /// Customers who had to leave the disk and had not left it.
    pub erasure: u64,
}

impl Met {
    pub fn and(self, other: Self) -> Self {
        Self {
            cuts: self.cuts + other.cuts,
            fold: self.fold + other.fold,
            changes: self.changes + other.changes,
            erasure: self.erasure + other.erasure,
        }
    }
}

/// A service on a disk, those who write to it, and what chance decides.
pub struct Story<'a> {
    // Its process ends before its disk goes away.
    scene: Scene,
    disk: Disk,
    dice: &'a mut Dice,
    floods: Vec<Flood>,
    leavers: Leavers,
    /// How many commands of each writer were found on the last disk.
    kept: Vec<u64>,
    pub met: Met,
}

impl<'a> Story<'a> {
    /// `text_bytes_max` is the bound of what a command of a large batch carries.
    pub fn begin(place: &Rc<Place>, dice: &'a mut Dice, text_bytes_max: u64) -> Self {
        let disk = place.disk(seconds(dice));
        let scene = Scene::new(disk.dir(), &SETTINGS);
        let floods = (0..FLOODS).map(|index| Flood::new(index, text_bytes_max));
        Self {
            kept: vec![0; scene.writers.len()],
            scene,
            disk,
            dice,
            floods: floods.collect(),
            leavers: Leavers::default(),
            met: Met::default(),
        }
    }

    /// One of all.
    pub fn any(&mut self) -> During {
        match self.dice.below(6) {
            0 => During::Writing,
            1 => During::Fold,
            2 => During::Erasure,
            _ => During::Changes,
        }
    }

    /// Everybody writes, the power is cut, and a service starts on what is left. What was acknowledged before the
    /// cut must be there, once, and nothing else but what was sent.
    pub async fn cut(mut self, during: During) -> Self {
        let moment = match during {
            During::Writing => Moment::within(800, self.dice),
            During::Changes => Moment::of_change(self.dice),
            During::Fold => {
                self = self.without_view();
                Moment::within(200, self.dice)
            }
            // From the rewriting of the log to the middle of making the engine write its files again.
            During::Erasure => match self.dice.one_in(2) {
                true => Moment::of_change(self.dice),
                false => Moment::within(3_000, self.dice),
            },
        };
        self.cut_at(moment, during).await
    }

    fn without_view(mut self) -> Self {
        let Scene {
            dir,
            process,
            writers,
        } = self.scene;
        process.kill();
        fs::remove_dir_all(dir.join("footfall-data/view")).unwrap();
        self.scene = Scene::of(writers, &dir, &SETTINGS);
        self
    }

    /// As [`Story::cut`], at a moment.
    pub async fn cut_at(self, moment: Moment, during: During) -> Self {
        // What comes later goes first: the process before its disk.
        let Self {
            disk,
            mut scene,
            dice,
            mut floods,
            mut leavers,
            kept,
            mut met,
        } = self;
        let counters: Vec<_> = scene.writers.iter().map(Writer::counter).collect();
        let writing = scene.write(Instant::now() + WRITING);
        let (address, project) = (scene.process.address, Project::read(&scene.dir));
        let mut flooding = JoinSet::new();
        if matches!(during, During::Changes) {
            for flood in &floods {
                flooding.spawn(flood.share().write(address, project.clone()));
            }
        }
        if matches!(during, During::Erasure) {
            leavers.come_and_leave(&scene.process, &project).await;
        }
        let changes = moment.comes(&scene.dir.join("footfall-data")).await;

        let before = super::written(&counters).into_iter().zip(kept);
        let before: Vec<u64> = before.map(|(told, kept)| told.max(kept)).collect();
        let flooded: Vec<u64> = floods.iter().map(Flood::acknowledged).collect();
        let cut = disk.cut();
        met.cuts += 1;
        met.changes += u64::from(changes);
        let ready = Request::new(address, "GET", "/readyz");
        met.fold += u64::from(ready.send().await.status != 200);
        met.erasure += u64::from(leavers.have_remains(&scene.dir).await);
        scene.process.kill();
        let writers = writing.join_all().await;
        flooding.join_all().await;
        drop(disk);

        let disk = cut.mount(seconds(dice));
        let mut scene = Scene::of(writers, disk.dir(), &SETTINGS);
        let (target, address) = (scene.target(), scene.process.address);
        let writers = scene.writers.iter().zip(&before);
        let kept = writers.map(|(writer, before)| writer.kept(*before, &target));
        let kept = join_all(kept).await;
        for ((writer, kept), before) in scene.writers.iter_mut().zip(&kept).zip(before) {
            writer.go_back(*kept, before);
        }
        for (flood, before) in floods.iter_mut().zip(flooded) {
            flood.holds(before, address, &project).await;
        }
        leavers.are_as_they_were(&scene.process, &project).await;
        Self {
            scene,
            disk,
            dice,
            floods,
            leavers,
            kept,
            met,
        }
    }

    /// Everybody goes on, and then everything is there and as it should be.
    pub async fn end(self) -> Met {
        let Self {
            disk,
            scene,
            floods,
            leavers,
            met,
            ..
        } = self;
        let project = Project::read(&scene.dir);
        for flood in &floods {
            flood.holds_all(scene.process.address, &project).await;
        }
        leavers.leave_the_disk(disk.dir()).await;
        let others = floods.iter().flat_map(Flood::customers);
        let others: Vec<String> = others.chain(leavers.customers()).collect();
        scene.goes_on(Instant::now() + REPEATING, &others).await;
        met
    }
}

/// After how many seconds ext4 writes what it has: it may do so while the service writes, or never.
fn seconds(dice: &mut Dice) -> u64 {
    match dice.one_in(2) {
        true => 1,
        false => NEVER,
    }
}
