//! From a request's bytes to what is on disk: read, translate, route, commit.
//!
//! Notifications of one owner go through one after another, because each must see the memory that the one before it
//! left; different owners go in parallel.

use super::Refusal;
use crate::cdevents::{CustomSchemas, cloudevents};
use crate::config::written::SourceKind;
use crate::mapping::Mappings;
use crate::notification::{Notification, Request, Unread};
use crate::observe::Observe;
use crate::outbox::{Accepted, Basis, Outbox, OutboxError, RawDeadLetter, Receipt, RoutedChange};
use crate::route::Routes;
use crate::translate::{self, Owner};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

/// Locks for owners; two owners that share one only wait a little.
const STRIPES: usize = 1024;
/// How often a notification is translated at most; only a release of its own owner's held events makes it twice.
const TRANSLATIONS: usize = 5;

/// What can be exchanged while the proxy runs: mappings, and who gets their events.
#[derive(Debug)]
pub struct Engine {
    /// The compiled mappings.
    pub mappings: Mappings,
    /// What they don't read of a body ([`Mappings::unread`]).
    pub unread: Unread,
    /// Who gets which events, in which version.
    pub routes: Routes,
    /// Users' JSON Schemas of custom events.
    pub schemas: CustomSchemas,
}

/// The way from bytes to disk; one for all sources.
#[derive(Debug)]
pub struct Intake {
    engine: RwLock<Arc<Engine>>,
    outbox: Outbox,
    observe: Observe,
    stripes: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// What became of a request that was taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// Id of the notification, for logs.
    pub id: Uuid,
    /// Events that go out now.
    pub events: usize,
    /// Events that wait until they are due.
    pub held: usize,
    /// Under which id the notification is kept, because it couldn't be translated.
    pub dead_letter: Option<String>,
    /// Why it couldn't.
    pub problem: Option<String>,
}

impl Taken {
    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({"id": self.id, "events": self.events});
        if self.held > 0 {
            body["held"] = self.held.into();
        }
        if let Some(id) = &self.dead_letter {
            body["deadLetter"] = id.as_str().into();
        }
        if let Some(problem) = &self.problem {
            body["error"] = problem.as_str().into();
        }
        body
    }
}

impl Intake {
    /// An intake that translates with `engine` and commits to `outbox`.
    #[must_use]
    pub fn new(engine: Engine, outbox: Outbox, observe: Observe) -> Self {
        let stripes = (0..STRIPES).map(|_| Arc::default()).collect();
        Self { engine: RwLock::new(Arc::new(engine)), outbox, observe, stripes, hasher: RandomState::new() }
    }

    /// Notifications from now on go through `engine`.
    pub fn exchange(&self, engine: Engine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
    }

    /// Takes one request in. What was committed stays so, even when the caller stops waiting.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the bytes can't be read, or the store can't commit.
    pub async fn take(
        self: &Arc<Self>,
        kind: SourceKind,
        request: Request,
        headers: HeaderMap,
        bytes: Bytes,
    ) -> Result<Taken, Refusal> {
        let intake = Arc::clone(self);
        // A task of its own: a sender that hangs up mustn't release the owner's lock before the commit is through.
        let task = tokio::spawn(async move {
            match kind {
                SourceKind::Argocd => intake.notification(request, &bytes).await,
                SourceKind::Cdevents => intake.cdevents(&request, &headers, &bytes).await,
            }
        });
        task.await.map_err(|_| Refusal::Internal)?
    }
}

impl Intake {
    /// Runs a dead notification again, with the mappings as they are now, and forgets it when that works.
    ///
    /// # Errors
    ///
    /// Why it still doesn't, for a person.
    pub async fn again(self: &Arc<Self>, id: &str) -> Result<(), String> {
        let dead = self.outbox.dead_notification(id).map_err(|error| error.to_string())?;
        let request: Request =
            serde_json::from_value(dead.request).map_err(|e| format!("its request can't be read ({e}): purge it"))?;
        let notification = Notification::parse(&dead.body, request).map_err(|error| error.to_string())?;
        let engine = self.engine();
        let translated = self.translated(&engine, notification).await.map_err(|failure| failure.to_string())?;
        let receipt = self.commit_on(translated).await.map_err(|refusal| refusal.to_string())?;
        receipt.ok_or_else(|| OutboxError::Overtaken.to_string())?;
        self.outbox.purge(vec![id.to_owned()]).await.map(drop).map_err(|error| error.to_string())
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn notification(&self, request: Request, bytes: &Bytes) -> Result<Taken, Refusal> {
        let engine = self.engine();
        let request = Arc::new(request);
        for _ in 0..TRANSLATIONS {
            let notification = match Notification::parse_without(&engine.unread, bytes, Arc::clone(&request)) {
                Ok(notification) => notification,
                Err(error) => return self.unreadable(&request, bytes, error.to_string()).await,
            };
            match self.translated(&engine, notification).await {
                Ok(translated) => {
                    if let Some(receipt) = self.commit_on(translated).await? {
                        return Ok(Taken::committed(receipt));
                    }
                }
                Err(failure) => return self.bury(&request, bytes, failure.to_string()).await,
            }
        }
        Err(refused(&OutboxError::Overtaken))
    }

    /// Translates under the locks of the owners.
    async fn translated(&self, engine: &Engine, notification: Notification) -> Result<Translated, translate::Failure> {
        let prepared = translate::prepare(&engine.mappings, notification)?;
        let guards = self.lock(prepared.owners()).await;
        let basis = self.outbox.basis(prepared.owners());
        let translation = prepared.run(&self.outbox, &engine.routes.versions())?;
        Ok(Translated { changes: engine.routes.route(translation), basis, _guards: guards })
    }

    /// Events that are `CDEvents` already: all valid and taken, or none.
    async fn cdevents(&self, request: &Request, headers: &HeaderMap, bytes: &Bytes) -> Result<Taken, Refusal> {
        let engine = self.engine();
        let documents = match cloudevents::decode(headers, bytes) {
            Ok(documents) => documents,
            Err(error) => return self.unreadable(request, bytes, error.to_string()).await,
        };
        match super::direct::changes(&engine, &request.source.name, &documents) {
            Ok(changes) => {
                let owners: Vec<_> = changes.iter().map(|change| change.owner.clone()).collect();
                let guards = self.lock(&owners).await;
                let receipt = self.commit(Accepted { changes, dead: None }).await;
                drop(guards);
                Ok(Taken::committed(receipt?))
            }
            Err(problem) => self.bury(request, bytes, problem).await,
        }
    }

    /// Every lock that the owners need, in one order, so that no two tasks wait for each other.
    async fn lock(&self, owners: &[Owner]) -> Guards {
        let stripe = |owner: &Owner| usize::try_from(self.hasher.hash_one(owner) % STRIPES as u64).unwrap_or_default();
        let mut stripes: Vec<usize> = owners.iter().map(stripe).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(Arc::clone(&self.stripes[stripe]).lock_owned().await);
        }
        guards
    }

    async fn commit(&self, accepted: Accepted) -> Result<Receipt, Refusal> {
        let kinds = kinds(&accepted.changes);
        let receipt = self.outbox.commit(accepted).await.map_err(|error| refused(&error))?;
        kinds.iter().for_each(|kind| self.observe.accepted_event(kind));
        Ok(receipt)
    }

    /// Commits a translation; `None` when something of its owners was released since it looked.
    async fn commit_on(&self, translated: Translated) -> Result<Option<Receipt>, Refusal> {
        let Translated { changes, basis, _guards } = translated;
        let kinds = kinds(&changes);
        match self.outbox.commit_on(basis, Accepted { changes, dead: None }).await {
            Ok(receipt) => {
                kinds.iter().for_each(|kind| self.observe.accepted_event(kind));
                Ok(Some(receipt))
            }
            Err(OutboxError::Overtaken) => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }

    /// What couldn't be read is kept all the same, because it won't be sent again; the sender is told.
    async fn unreadable(&self, request: &Request, bytes: &Bytes, problem: String) -> Result<Taken, Refusal> {
        let taken = self.bury(request, bytes, problem.clone()).await?;
        Err(Refusal::NotJson { problem, dead_letter: taken.dead_letter })
    }

    async fn bury(&self, request: &Request, bytes: &Bytes, reason: String) -> Result<Taken, Refusal> {
        let dead = RawDeadLetter {
            source: request.source.name.clone(),
            body: bytes.to_vec(),
            request: serde_json::to_value(request).unwrap_or_default(),
            reason: reason.clone(),
            received_at: request.received_at,
        };
        let receipt = self.commit(Accepted { changes: Vec::new(), dead: Some(dead) }).await?;
        if let Some(id) = &receipt.dead_letter {
            self.observe.dead_lettered(&request.source.name, id, &reason);
        }
        Ok(Taken { problem: Some(reason), ..Taken::committed(receipt) })
    }
}

type Guards = Vec<OwnedMutexGuard<()>>;

/// A translation, what it's based on, and the locks of its owners, which are held until the commit is through.
struct Translated {
    changes: Vec<RoutedChange>,
    basis: Basis,
    _guards: Guards,
}

fn kinds(changes: &[RoutedChange]) -> Vec<String> {
    changes.iter().flat_map(|change| &change.outgoing).map(|outgoing| outgoing.kind.clone()).collect()
}

fn refused(error: &OutboxError) -> Refusal {
    tracing::error!(%error, "a notification can't be committed, its sender is told to try again");
    Refusal::Store { problem: error.to_string() }
}

impl Taken {
    fn committed(receipt: Receipt) -> Self {
        Self {
            id: Uuid::now_v7(),
            events: receipt.events,
            held: receipt.held,
            dead_letter: receipt.dead_letter,
            problem: None,
        }
    }
}
