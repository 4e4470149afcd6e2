use super::*;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tempfile::{TempDir, tempdir};

mod damage;
mod held;
mod simulation;
mod twin;

const OPTIONS: OutboxOptions =
    OutboxOptions { quota: 1 << 30, seen_for: Duration::from_secs(86_400), delivered_for: Duration::ZERO };

fn open(dir: &TempDir) -> Outbox {
    Outbox::open(dir.path(), OPTIONS, Observe::default()).unwrap()
}

fn owner(key: &str) -> Owner {
    Owner { mapping: "m".into(), key: key.into() }
}

fn outgoing(id: &str) -> Outgoing {
    let document: Arc<str> = json!({"context": {"id": id}}).to_string().into();
    Outgoing {
        id: id.into(),
        kind: "service.deployed".into(),
        subject: "s".into(),
        documents: vec![(SpecVersion::NEWEST, document)],
        sinks: vec![("a".into(), SpecVersion::NEWEST)],
        hold: None,
    }
}

fn held(id: &str, name: &str, until: Timestamp) -> Outgoing {
    let remember = json!({"last": {"id": id}}).as_object().unwrap().clone();
    Outgoing {
        hold: Some(HeldUntil { name: name.into(), until, remember, forget: vec!["gone".into()] }),
        ..outgoing(id)
    }
}

fn accepted(key: &str, drop: &[&str], outgoing: Vec<Outgoing>) -> Accepted {
    let drop = drop.iter().map(|name| (*name).to_owned()).collect();
    Accepted { changes: vec![RoutedChange { owner: owner(key), memory: None, drop, outgoing }], dead: None }
}

/// Everything that comes out of a window until `enough` came.
async fn taken(window: &mut Window, enough: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let waiting = async {
        loop {
            let now = window.take(100, 1 << 20);
            let none = now.is_empty();
            ids.extend(now.into_iter().map(|queued| queued.id.to_string()));
            if ids.len() >= enough {
                return;
            }
            if none {
                window.news().await;
            }
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(30), waiting).await);
    ids
}

fn settle(outbox: &Outbox, seq: i64, settled: Settled) {
    outbox.settle(Settlement { sink: "a".into(), seq, settled });
}

#[tokio::test]
async fn what_is_committed_comes_out_in_order_once_and_again_after_a_restart() {
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    let mut window = outbox.window("a");
    let ids: Vec<String> = (0..3000).map(|n| format!("{n:05}")).collect();
    for chunk in ids.chunks(100) {
        let receipt = outbox.commit(accepted("k", &[], chunk.iter().map(|id| outgoing(id)).collect())).await.unwrap();
        assert_eq!(receipt.events, 100);
    }
    assert_eq!(outbox.commit(accepted("k", &[], vec![outgoing("00000")])).await.unwrap().events, 0, "said before");
    assert!(taken(&mut window, 3000).await == ids, "through the window in memory and past it");
    outbox.close().await;
    drop((window, outbox));
    let outbox = open(&dir);
    assert!(taken(&mut outbox.window("a"), 3000).await == ids, "nothing was settled");
    assert!(outbox.said("02999") && !outbox.said("3000"));
}

#[tokio::test]
async fn a_held_event_is_replaced_dropped_or_released_with_what_it_remembers() {
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    let soon = Timestamp::now() + SignedDuration::from_millis(300);
    let far = soon + SignedDuration::from_hours(1);
    outbox
        .commit(accepted("k", &[], vec![held("1", "x", far), held("2", "y", soon), held("3", "z", far)]))
        .await
        .unwrap();
    outbox.commit(accepted("k", &["z"], vec![held("1", "x", soon)])).await.unwrap();
    outbox.commit(accepted("other", &["x", "y"], vec![])).await.unwrap();
    assert_eq!(outbox.waiting(None, 10).unwrap().len(), 2);
    assert!(!outbox.said("1") && outbox.memory(&owner("k")).is_empty());
    outbox.close().await;
    drop(outbox);
    let outbox = open(&dir);
    let mut window = outbox.window("a");
    assert_eq!(taken(&mut window, 2).await, ["2", "1"], "in the order in which they were held, also across a restart");
    assert!(outbox.said("1") && !outbox.said("3"));
    assert_eq!(outbox.memory(&owner("k"))["last"]["id"], "1");
    assert_eq!(outbox.commit(accepted("k", &[], vec![held("1", "x", far)])).await.unwrap().held, 0, "it was said");
}

#[tokio::test]
async fn a_full_store_refuses_notifications_and_still_drains() {
    let dir = tempdir().unwrap();
    let options = OutboxOptions { quota: 4 << 20, seen_for: Duration::ZERO, ..OPTIONS };
    let outbox = Outbox::open(dir.path(), options, Observe::default()).unwrap();
    let mut window = outbox.window("a");
    let mut big = outgoing("x");
    big.documents = vec![(SpecVersion::NEWEST, "x".repeat(100_000).into())];
    let mut count = 0;
    let refused = loop {
        match outbox.commit(accepted("k", &[], vec![Outgoing { id: format!("{count}"), ..big.clone() }])).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 1000);
    };
    assert!(matches!(refused, OutboxError::Full), "{refused}");
    for _ in 0..count {
        for queued in window.take(1, 1 << 20) {
            settle(&outbox, queued.seq, Settled::Delivered);
        }
    }
    let again = async {
        while outbox.commit(accepted("k", &[], vec![outgoing("new")])).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.unwrap();
    assert!(outbox.waiting(Some("a"), 10).unwrap().len() <= 1);
}

#[tokio::test]
async fn a_translation_that_a_release_overtook_is_refused() {
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    let mut window = outbox.window("a");
    let before = outbox.basis(&[owner("k")]);
    let soon = Timestamp::now() + SignedDuration::from_millis(50);
    outbox.commit_on(before.clone(), accepted("k", &[], vec![held("1", "x", soon)])).await.unwrap();
    assert_eq!(taken(&mut window, 1).await, ["1"]);
    let mut late = accepted("k", &[], vec![outgoing("2")]);
    late.changes[0].memory = Some(Map::new());
    let refused = outbox.commit_on(before, late.clone()).await.unwrap_err();
    assert!(matches!(refused, OutboxError::Overtaken), "{refused}");
    assert!(outbox.memory(&owner("k")).contains_key("last") && !outbox.said("2"), "nothing of it happened");
    outbox.commit_on(outbox.basis(&[owner("k")]), late).await.unwrap();
    assert!(outbox.memory(&owner("k")).is_empty() && outbox.said("2"));
}

#[tokio::test]
async fn a_damaged_row_is_set_aside_and_the_rest_goes_on() {
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    outbox.commit(accepted("k", &[], vec![outgoing("1"), outgoing("2"), outgoing("3")])).await.unwrap();
    let mut memory = accepted("k", &[], vec![]);
    memory.changes[0].memory = json!({"a": {"b": "c"}}).as_object().cloned();
    outbox.commit(memory).await.unwrap();
    outbox.close().await;
    drop(outbox);
    let db = rusqlite::Connection::open(dir.path().join("outbox.sqlite")).unwrap();
    db.execute("UPDATE events SET documents = replace(documents, 'context', 'kontext') WHERE id = '2'", []).unwrap();
    db.execute("UPDATE memory SET json = '{}'", []).unwrap();
    drop(db);
    let outbox = open(&dir);
    assert_eq!(taken(&mut outbox.window("a"), 2).await, ["1", "3"]);
    assert!(outbox.memory(&owner("k")).is_empty());
    outbox.commit(Accepted::default()).await.unwrap();
    let dead = outbox.dead_letters().unwrap();
    assert!(dead.len() == 1 && dead[0].reason.contains("damaged"), "{dead:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_once_per_content() {
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    let dead = RawDeadLetter {
        source: "s".into(),
        body: b"no json".to_vec(),
        request: Value::Null,
        reason: "no".into(),
        received_at: Timestamp::now(),
    };
    let bury = |dead: RawDeadLetter| outbox.commit(Accepted { changes: Vec::new(), dead: Some(dead) });
    let first = bury(dead.clone()).await.unwrap().dead_letter.unwrap();
    assert_eq!(bury(dead.clone()).await.unwrap().dead_letter.unwrap(), first);
    assert_ne!(bury(RawDeadLetter { body: b"else".to_vec(), ..dead }).await.unwrap().dead_letter.unwrap(), first);
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let dir = tempdir().unwrap();
    drop(open(&dir));
    let db = rusqlite::Connection::open(dir.path().join("outbox.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let refused = loop {
        match Outbox::open(dir.path(), OPTIONS, Observe::default()) {
            Err(OutboxError::InUse(_)) => std::thread::sleep(Duration::from_millis(10)),
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(refused, OutboxError::Newer { found: 99, .. }), "{refused}");
}

/// What may happen to a store.
#[derive(Debug, Clone)]
enum Step {
    Commit { id: u8, hold: bool },
    Drop,
    Deliver,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..20, any::<bool>()).prop_map(|(id, hold)| Step::Commit { id, hold }),
        1 => Just(Step::Drop),
        3 => Just(Step::Deliver),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model: nothing acknowledged is lost, nothing is invented, and an id is queued once, whatever is done in between.
    #[test]
    fn the_store_is_as_its_model(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempdir().unwrap();
            let far = Timestamp::now() + SignedDuration::from_hours(1);
            let mut outbox = open(&dir);
            let mut window = outbox.window("a");
            let (mut queued, mut said, mut waiting) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
            let mut taken_now: Vec<Queued> = Vec::new();
            for step in steps {
                match step {
                    Step::Commit { id, hold } => {
                        let id = id.to_string();
                        let event = if hold { held(&id, "h", far) } else { outgoing(&id) };
                        let receipt = outbox.commit(accepted("k", &[], vec![event])).await.unwrap();
                        waiting.remove(&id);
                        if said.contains(&id) {
                            assert_eq!((receipt.events, receipt.held), (0, 0));
                        } else if hold {
                            waiting.insert(id);
                        } else {
                            said.insert(id.clone());
                            queued.push(id);
                        }
                    }
                    Step::Drop => {
                        outbox.commit(accepted("k", &["h"], vec![])).await.unwrap();
                        waiting.clear();
                    }
                    Step::Deliver => {
                        taken_now.extend(window.take(2, 1 << 20));
                        if !taken_now.is_empty() {
                            let one = taken_now.remove(0);
                            settle(&outbox, one.seq, Settled::Delivered);
                            queued.retain(|id| **id != *one.id);
                        }
                    }
                    Step::Reopen => {
                        outbox.close().await;
                        drop(window);
                        drop(outbox);
                        outbox = open(&dir);
                        window = outbox.window("a");
                        taken_now.clear();
                    }
                }
            }
            // A commit that does nothing waits for what was settled before it.
            outbox.commit(Accepted::default()).await.unwrap();
            let rows = outbox.waiting(None, 1000).unwrap();
            let (held, delivering): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.held_until.is_some());
            assert_eq!(delivering.into_iter().map(|row| row.id).collect::<Vec<_>>(), queued);
            assert_eq!(held.into_iter().map(|row| row.id).collect::<BTreeSet<_>>(), waiting);
            for id in 0..20_u8 {
                assert_eq!(outbox.said(&id.to_string()), said.contains(&id.to_string()));
            }
        });
    }
}

#[tokio::test]
async fn what_a_killed_process_left_in_the_log_is_in_the_database_before_anyone_reads() {
    let (dir, left) = (tempdir().unwrap(), tempdir().unwrap());
    let outbox = open(&dir);
    for n in 0..20 {
        outbox.commit(accepted("k", &[], vec![outgoing(&n.to_string())])).await.unwrap();
    }
    for name in ["outbox.sqlite", "outbox.sqlite-wal"] {
        std::fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
    }
    let log = || std::fs::metadata(left.path().join("outbox.sqlite-wal")).map_or(0, |file| file.len());
    assert!(log() > 0);
    let outbox = open(&left);
    assert_eq!(log(), 0);
    assert_eq!(taken(&mut outbox.window("a"), 20).await.len(), 20);
}
