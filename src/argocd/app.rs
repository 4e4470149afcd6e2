//! Who the Application is, where it goes, and whether it's going away.

use super::read::{Read, owned, time};
use serde::Serialize;
use serde_json::{Map, Value};

/// Who the Application is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// What tells it apart for ever: its uid, or `namespace/name` in a body that was cut down. One that is re-created
    /// under the same name has another uid.
    pub key: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.uid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its page in Argo CD's user interface; only known with `context.argocdUrl`, which isn't part of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `spec.project`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `metadata.labels`
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Value>,
    /// `metadata.annotations`, without those that hold the whole object or the controller's own notes.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
    /// The ApplicationSet that owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_set: Option<String>,
    /// `metadata.creationTimestamp`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// `metadata.generation`: grows with every change of the object, so that it tells which of two notifications is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

/// That the Application is being deleted: this is the start of it, its end isn't told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`
    pub at: String,
    /// Whether its resources go, too: a finalizer `resources-finalizer.argocd.argoproj.io…` is set (`CascadedDeletion`).
    pub cascading: bool,
}

/// Where it's deployed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// URL of the cluster's API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Annotations that are as large as the object, or change with every notification.
const NOTES: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "notified.notifications.argoproj.io"];

pub(super) fn app(application: &Value) -> App {
    let metadata = application.at("/metadata");
    let name = owned(metadata, "/name").unwrap_or_default();
    let namespace = owned(metadata, "/namespace");
    let uid = owned(metadata, "/uid");
    let key = uid.clone().unwrap_or_else(|| match &namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.clone(),
    });
    let owners = metadata.list("/ownerReferences").iter();
    let map = |pointer: &str| metadata.at(pointer).as_object().cloned().unwrap_or_default();
    let annotations = metadata.at("/annotations").as_object().into_iter().flatten();
    App {
        key,
        url: None,
        project: owned(application, "/spec/project"),
        labels: map("/labels"),
        annotations: annotations
            .filter(|(name, _)| !NOTES.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        app_set: owners.filter(|o| o.text("/kind") == Some("ApplicationSet")).find_map(|o| owned(o, "/name")),
        created_at: time(metadata, "/creationTimestamp"),
        generation: metadata.whole("/generation"),
        name,
        namespace,
        uid,
    }
}

pub(super) fn deletion(application: &Value) -> Option<Deletion> {
    let at = time(application, "/metadata/deletionTimestamp")?;
    let finalizers = application.list("/metadata/finalizers").iter().filter_map(|finalizer| finalizer.text(""));
    let cascading = finalizers.into_iter().any(|name| name.starts_with("resources-finalizer.argocd.argoproj.io"));
    Some(Deletion { at, cascading })
}

pub(super) fn destination(application: &Value) -> Option<Destination> {
    let spec = application.at("/spec/destination");
    let destination = Destination {
        server: owned(spec, "/server"),
        name: owned(spec, "/name"),
        namespace: owned(spec, "/namespace"),
    };
    let said = destination.server.is_some() || destination.name.is_some() || destination.namespace.is_some();
    said.then_some(destination)
}
