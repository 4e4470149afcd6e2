//! Stores that aren't what was written.

use super::*;
use std::path::PathBuf;

/// Events `0…` that wait for two sinks, one of memory and one that is held for each tenth.
async fn filled(dir: &TempDir, count: usize) {
    let outbox = open(dir);
    let far = Timestamp::now() + SignedDuration::from_hours(1);
    for chunk in (0..count).collect::<Vec<_>>().chunks(50) {
        let changes = chunk.iter().map(|n| {
            let mut event = outgoing(&format!("{n:05}"));
            event.sinks.push(("b".into(), SpecVersion::NEWEST));
            let mut outgoing = vec![event];
            if n % 10 == 0 {
                outgoing.push(held(&format!("held-{n:05}"), "h", far));
            }
            let memory = json!({"n": {"is": n}}).as_object().cloned();
            RoutedChange { owner: owner(&n.to_string()), memory, drop: Vec::new(), outgoing }
        });
        outbox.commit(Accepted { changes: changes.collect(), dead: None }).await.unwrap();
    }
    outbox.close().await;
}

fn database(dir: &TempDir) -> PathBuf {
    dir.path().join(migrate::DATABASE)
}

fn all(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:05}")).collect()
}

/// The pages of events, by what is in them.
fn pages_of_events(bytes: &[u8]) -> Vec<usize> {
    let has = |page: &[u8], what: &str| page.windows(what.len()).any(|window| window == what.as_bytes());
    bytes.chunks(4096).enumerate().filter(|(_, page)| has(page, "service.deployed")).map(|(number, _)| number).collect()
}

/// What waits for a sink now.
fn waiting_for(outbox: &Outbox, sink: &str) -> Vec<String> {
    outbox.window(sink).take(usize::MAX, usize::MAX).into_iter().map(|queued| queued.id.to_string()).collect()
}

#[tokio::test]
async fn a_marked_store_is_put_right_and_its_files_are_kept() {
    let dir = tempdir().unwrap();
    filled(&dir, 300).await;
    salvage::leave_mark(dir.path()).unwrap();
    let before = std::fs::read(database(&dir)).unwrap();
    let outbox = open(&dir);
    for sink in ["a", "b"] {
        assert!(taken(&mut outbox.window(sink), 300).await == all(300), "nothing is lost where nothing is damaged");
    }
    assert_eq!(outbox.memory(&owner("299"))["n"]["is"], 299);
    assert!(outbox.said("00299") && !outbox.said("held-00000"));
    assert_eq!(outbox.waiting(None, 1000).unwrap().iter().filter(|row| row.held_until.is_some()).count(), 30);
    assert!(outbox.dead_letters().unwrap().is_empty());
    let new = outbox.commit(accepted("k", &[], vec![outgoing("00001"), outgoing("new")])).await.unwrap();
    assert_eq!(new.events, 1, "ids are known still, and places go on");
    let kept: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept = kept.iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("damaged-")).unwrap();
    assert!(std::fs::read(kept.join(migrate::DATABASE)).unwrap() == before);
    assert!(!salvage::is_marked(dir.path()));
}

#[tokio::test]
async fn of_a_lost_page_only_its_rows_are_lost_and_each_is_told() {
    let dir = tempdir().unwrap();
    filled(&dir, 500).await;
    let path = database(&dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let page = pages_of_events(&bytes)[8];
    bytes[page * 4096..(page + 1) * 4096].fill(0);
    std::fs::write(&path, bytes).unwrap();
    salvage::leave_mark(dir.path()).unwrap();
    let outbox = open(&dir);
    let out = waiting_for(&outbox, "a");
    assert!((450..500).contains(&out.len()), "{}", out.len());
    assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert!(waiting_for(&outbox, "b") == out);
    outbox.commit(Accepted::default()).await.unwrap();
    let dead = outbox.dead_letters().unwrap();
    let held = outbox.waiting(None, 1000).unwrap().iter().filter(|row| row.held_until.is_some()).count();
    assert!((44..50).contains(&held), "{held}");
    assert_eq!(dead.len(), 2 * (500 - out.len()) + 50 - held, "one for each sink that misses one, and for each held");
}

/// Makes zeros of a page of a table of more than one: the second child of its root.
fn lose_a_page(dir: &TempDir, table: &str) {
    let path = database(dir);
    let root: i64 = {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.query_row("SELECT rootpage FROM sqlite_master WHERE name = ?1", [table], |row| row.get(0)).unwrap()
    };
    let mut bytes = std::fs::read(&path).unwrap();
    // The first cell behind the root's own header begins with a page's number.
    let at = usize::try_from(root - 1).unwrap() * 4096;
    let cell = usize::from(u16::from_be_bytes([bytes[at + 14], bytes[at + 15]]));
    let child = u32::from_be_bytes(bytes[at + cell..at + cell + 4].try_into().unwrap()) as usize - 1;
    bytes[child * 4096..(child + 1) * 4096].fill(0);
    std::fs::write(&path, bytes).unwrap();
    salvage::leave_mark(dir.path()).unwrap();
}

#[tokio::test]
async fn held_events_of_a_lost_page_are_told_and_were_never_said() {
    let dir = tempdir().unwrap();
    filled(&dir, 2000).await;
    lose_a_page(&dir, "held");
    let outbox = open(&dir);
    let held: BTreeSet<String> = outbox
        .waiting(None, 10_000)
        .unwrap()
        .into_iter()
        .filter(|row| row.held_until.is_some())
        .map(|row| row.id)
        .collect();
    let dead = outbox.dead_letters().unwrap();
    assert!((100..200).contains(&held.len()), "{}", held.len());
    assert_eq!(dead.len() + held.len(), 200);
    assert!(
        dead.iter().all(|dead| dead.event.as_deref() == Some("service.deployed s") && dead.reason.contains("held"))
    );
    for n in (0..2000).step_by(10) {
        let id = format!("held-{n:05}");
        assert!(!outbox.said(&id), "{id}");
        let memory = outbox.memory(&owner(&n.to_string()));
        assert!(memory["n"]["is"] == n && !memory.contains_key("last"), "{id} wasn't released: {memory:?}");
        let again = held_now(&id);
        let receipt = outbox.commit(accepted(&n.to_string(), &[], vec![again])).await.unwrap();
        assert_eq!(receipt.held, 1, "{id} can be held again, in the place of itself");
    }
    assert_eq!(outbox.waiting(None, 10_000).unwrap().iter().filter(|row| row.held_until.is_some()).count(), 200);
}

fn held_now(id: &str) -> Outgoing {
    held(id, "h", Timestamp::now() + SignedDuration::from_hours(1))
}

#[tokio::test]
async fn deliveries_of_a_lost_page_are_found_by_their_index() {
    let dir = tempdir().unwrap();
    filled(&dir, 500).await;
    lose_a_page(&dir, "deliveries");
    let outbox = open(&dir);
    for sink in ["a", "b"] {
        assert!(taken(&mut outbox.window(sink), 500).await == all(500), "{sink}");
    }
    assert!(outbox.dead_letters().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_database_is_put_aside() {
    let dir = tempdir().unwrap();
    std::fs::write(database(&dir), "no database at all ".repeat(1000)).unwrap();
    let outbox = open(&dir);
    assert_eq!(outbox.commit(accepted("k", &[], vec![outgoing("1")])).await.unwrap().events, 1);
}

#[tokio::test]
async fn a_column_that_a_flipped_bit_renamed_has_its_name_again() {
    let dir = tempdir().unwrap();
    filled(&dir, 10).await;
    let mut bytes = std::fs::read(database(&dir)).unwrap();
    let at = bytes.windows(15).position(|part| part == b"body BLOB NOT N").unwrap();
    bytes[at] ^= 1;
    std::fs::write(database(&dir), bytes).unwrap();
    let outbox = open(&dir);
    assert!(outbox.dead_letters().unwrap().is_empty());
    assert!(taken(&mut outbox.window("a"), 10).await == all(10));
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_to_the_newest() {
    let dir = tempdir().unwrap();
    let db = rusqlite::Connection::open(database(&dir)).unwrap();
    migrate::first(&db).unwrap();
    let sum = |text: &str| i64::from(crc32c::crc32c(text.as_bytes()));
    let documents = |id: &str| codec::pack(&outgoing(id).documents);
    for (seq, id) in [(1, "1"), (2, "2")] {
        // The second isn't what was written.
        let crc = sum(&documents("1"));
        db.execute(
            "INSERT INTO events VALUES (?1, ?2, 'k', 's', 'k', 0, ?3, ?4, NULL)",
            rusqlite::params![seq, id, documents(id), crc],
        )
        .unwrap();
        db.execute("INSERT INTO deliveries (sink, seq, version) VALUES ('a', ?1, '0.5.1')", [seq]).unwrap();
        db.execute("INSERT INTO said VALUES (?1, ?2)", rusqlite::params![id, Timestamp::now().as_millisecond()])
            .unwrap();
    }
    let json = serde_json::to_string(&held("3", "h", Timestamp::now())).unwrap();
    db.execute("INSERT INTO held VALUES (1, '3', 'm', 'k', 'h', 5, ?1, ?2)", rusqlite::params![json, sum(&json)])
        .unwrap();
    db.execute("INSERT INTO memory VALUES ('m', 'k', '{\"a\":1}', ?1)", [sum("{\"a\":1}")]).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let outbox = open(&dir);
    assert_eq!(outbox.memory(&owner("k"))["a"], 1);
    assert_eq!(taken(&mut outbox.window("a"), 2).await, ["1", "3"]);
    outbox.commit(Accepted::default()).await.unwrap();
    assert_eq!(outbox.dead_letters().unwrap().len(), 1);
}

/// Opens it as a supervisor does: again, when the process ended because of what it found.
async fn put_right(dir: &TempDir) -> Outbox {
    for _ in 0..3 {
        let outbox = open(dir);
        let check = outbox.0.check.lock().unwrap().take().unwrap();
        tokio::task::spawn_blocking(move || check.join()).await.unwrap();
        for sink in ["a", "b"] {
            drop(waiting_for(&outbox, sink));
        }
        if outbox.commit(Accepted::default()).await.is_ok() {
            return outbox;
        }
        outbox.close().await;
        assert!(salvage::is_marked(dir.path()), "it ended for another reason");
    }
    panic!("it's never put right");
}

/// Anywhere in the file: `ARGOCD_CDEVENTS_FLIPS=1000` for more.
#[tokio::test]
async fn wherever_a_bit_flips_or_the_file_ends_only_that_is_lost_and_told() {
    let flips: u64 = std::env::var("ARGOCD_CDEVENTS_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let original = tempdir().unwrap();
    filled(&original, 300).await;
    let bytes = std::fs::read(database(&original)).unwrap();
    let (mut repaired, mut told, mut most) = (0, 0, 0);
    for flip in 0..flips {
        let mut damaged = bytes.clone();
        let at = usize::try_from(flip.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11).unwrap() % damaged.len();
        if flip % 20 == 19 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << (flip % 8);
        }
        let dir = tempdir().unwrap();
        std::fs::write(database(&dir), damaged).unwrap();
        let outbox = put_right(&dir).await;
        repaired += usize::from(std::fs::read_dir(dir.path()).unwrap().count() > 5);
        let mut lost = 0;
        for sink in ["a", "b"] {
            let mut window = outbox.window(sink);
            let out = window.take(usize::MAX, usize::MAX);
            for queued in &out {
                assert!(
                    *queued.document == *outgoing(&queued.id).documents[0].1,
                    "flip {flip} at {at} altered an event"
                );
            }
            let ids: BTreeSet<_> = out.iter().map(|queued| queued.id.to_string()).collect();
            assert_eq!(ids.len(), out.len(), "flip {flip} at {at} repeated an event");
            assert!(ids.iter().all(|id| all(300).contains(id)), "flip {flip} at {at} invented an event");
            lost += 300 - ids.len();
        }
        outbox.commit(Accepted::default()).await.unwrap();
        let dead = outbox.dead_letters().unwrap().len();
        if flip % 20 != 19 {
            // A bit may take a page with it, on which fewer than fifty events lie, each for two sinks.
            assert!(lost < 2 * 50, "flip {flip} at {at} lost {lost}");
            assert!(dead >= lost.div_ceil(2), "flip {flip} at {at} lost {lost} and told of {dead}");
            (told, most) = (told + dead, most.max(lost));
        }
        outbox.close().await;
    }
    eprintln!(
        "{flips} times: {repaired} databases put right, {most} deliveries lost at most by a bit, {told} dead letters in all"
    );
}

/// Anywhere in the log that a killed process left: `ARGOCD_CDEVENTS_FLIPS=1000` for more.
#[tokio::test]
async fn wherever_a_bit_of_the_log_flips_what_was_before_it_is_there_as_it_was_written() {
    const COUNT: usize = 60;
    let flips: u64 = std::env::var("ARGOCD_CDEVENTS_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let killed = tempdir().unwrap();
    let outbox = open(&killed);
    for id in all(COUNT) {
        outbox.commit(accepted("k", &[], vec![outgoing(&id)])).await.unwrap();
    }
    let log = format!("{}-wal", migrate::DATABASE);
    let left = [migrate::DATABASE, &log].map(|name| std::fs::read(killed.path().join(name)).unwrap());
    let mut lost = 0;
    for flip in 0..flips {
        let [database, mut damaged] = left.clone();
        let at = usize::try_from(flip.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11).unwrap() % damaged.len();
        if flip % 20 == 19 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << (flip % 8);
        }
        let dir = tempdir().unwrap();
        std::fs::write(dir.path().join(migrate::DATABASE), database).unwrap();
        std::fs::write(dir.path().join(&log), damaged).unwrap();
        let outbox = put_right(&dir).await;
        let out = outbox.window("a").take(usize::MAX, usize::MAX);
        assert!(
            out.iter().all(|queued| *queued.document == *outgoing(&queued.id).documents[0].1),
            "flip {flip} at {at}"
        );
        let ids: Vec<String> = out.iter().map(|queued| queued.id.to_string()).collect();
        assert_eq!(ids, all(COUNT)[..ids.len()], "flip {flip} at {at}");
        lost += COUNT - ids.len();
        outbox.close().await;
    }
    assert!(lost > 0 && lost < COUNT * usize::try_from(flips).unwrap(), "{lost}");
    eprintln!("{flips} times: {lost} of {COUNT} events each were behind it, the others are as they were written");
}
