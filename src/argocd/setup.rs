//! What Argo CD's notifications controller must be told: service, template, triggers and subscriptions, as a `ConfigMap` or
//! as values of the Helm chart.
//!
//! Every trigger says *when* it fires and, by `oncePer`, *what* it says only once. Conditions read every field with `?.`,
//! because a field that is missing is an error in the controller's log otherwise.

use std::fmt::Write;

/// Which document to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Style {
    /// `argocd-notifications-cm`.
    #[default]
    Configmap,
    /// Values of the chart `argo-cd`.
    Helm,
}

/// One Argo CD that notifies this proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The source's name.
    pub name: String,
    /// Where it posts to.
    pub url: String,
    /// What it shows at the door.
    pub credentials: Credentials,
}

/// What an Argo CD shows at the door. The secret itself stands in `argocd-notifications-secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`
    Basic {
        /// The user's name.
        username: String,
    },
}

/// What the documents of all instances have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `context.argocdUrl`.
    pub argocd_url: Option<String>,
    /// Which document to write.
    pub style: Style,
    /// No second looks.
    pub once: bool,
    /// Tell changes of the sync status, too.
    pub sync_status: bool,
}

struct Trigger {
    name: &'static str,
    recipient: &'static str,
    conditions: Vec<Condition>,
}

struct Condition {
    why: &'static str,
    when: String,
    once_per: Option<&'static str>,
}

const OPERATION: &str = "app.status.operationState.startedAt + '#' + string(app.status.operationState.operation?.sync?.autoHealAttemptsCount ?? 0)";
const ENDED: &str = "app.status?.operationState?.phase in ['Succeeded', 'Failed', 'Error']";
const ASSESSED: &str =
    "app.status?.health?.status in ['Healthy', 'Progressing', 'Degraded', 'Missing', 'Unknown', 'Suspended']";

/// Writes the document for one instance.
#[must_use]
pub fn manifest(instance: &Instance, options: &Options) -> String {
    match options.style {
        Style::Configmap => config_map(instance, options),
        Style::Helm => helm_values(instance, options),
    }
}

fn config_map(instance: &Instance, options: &Options) -> String {
    let mut out = head(instance);
    out.push_str("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-notifications-cm\ndata:\n");
    if let Some(url) = &options.argocd_url {
        block(&mut out, 2, "context", &format!("argocdUrl: {url}\n"));
    }
    block(&mut out, 2, "service.webhook.cdevents", &service(instance));
    block(&mut out, 2, "template.cdevents", template());
    let triggers = triggers(options);
    for trigger in &triggers {
        block(&mut out, 2, &format!("trigger.{}", trigger.name), &conditions(trigger));
    }
    block(&mut out, 2, "subscriptions", &subscriptions(&triggers));
    out
}

fn helm_values(instance: &Instance, options: &Options) -> String {
    let mut out = head(instance);
    out.push_str("notifications:\n");
    if let Some(url) = &options.argocd_url {
        let _ = writeln!(out, "  argocdUrl: {url}");
    }
    out.push_str("  notifiers:\n");
    block(&mut out, 4, "service.webhook.cdevents", &service(instance));
    out.push_str("  templates:\n");
    block(&mut out, 4, "template.cdevents", template());
    out.push_str("  triggers:\n");
    let triggers = triggers(options);
    for trigger in &triggers {
        block(&mut out, 4, &format!("trigger.{}", trigger.name), &conditions(trigger));
    }
    out.push_str("  subscriptions:\n");
    indent(&mut out, 4, &subscriptions(&triggers));
    out
}

fn head(instance: &Instance) -> String {
    let mut out = format!(
        "# What Argo CD tells argocd-cdevents, for its source `{}`. Merge it into what is there already.\n",
        instance.name
    );
    let key = match instance.credentials {
        Credentials::None => return out,
        Credentials::Bearer => "cdevents-token",
        Credentials::Basic { .. } => "cdevents-password",
    };
    let _ = writeln!(
        out,
        "# The Secret argocd-notifications-secret needs the key `{key}`, with what the source's `auth` refers to."
    );
    out
}

fn service(instance: &Instance) -> String {
    let mut out = format!("url: {}\nheaders:\n  - name: Content-Type\n    value: application/json\n", instance.url);
    match &instance.credentials {
        Credentials::None => {}
        Credentials::Bearer => out.push_str("  - name: Authorization\n    value: Bearer $cdevents-token\n"),
        Credentials::Basic { username } => {
            let _ = writeln!(out, "basicAuth:\n  username: {username}\n  password: $cdevents-password");
        }
    }
    out
}

/// The whole Application, as JSON that no value in it can break; the recipient says which trigger it was.
fn template() -> &'static str {
    "webhook:\n  cdevents:\n    method: POST\n    body: '{\"hint\":{{toJson .recipient}},\"context\":{{toJson .context}},\"app\":{{toJson .app}}}'\n"
}

fn triggers(options: &Options) -> Vec<Trigger> {
    let mut triggers = vec![operation(options.once), health(options.once), deleted()];
    if options.sync_status {
        triggers.push(sync_status());
    }
    triggers
}

fn operation(once: bool) -> Trigger {
    let mut conditions = vec![
        Condition {
            why: "an operation began; the self-heal's number tells apart what begins within one second",
            when: "app.status?.operationState?.phase == 'Running'".to_owned(),
            once_per: Some(OPERATION),
        },
        Condition { why: "it ended", when: ENDED.to_owned(), once_per: Some(OPERATION) },
    ];
    if !once {
        conditions.push(Condition {
            why: "second look, once the status is certainly newer than the end",
            when: format!("{ENDED} and app.status.reconciledAt > app.status.operationState.finishedAt"),
            once_per: None,
        });
    }
    Trigger { name: "cdevents-operation", recipient: "operation", conditions }
}

fn health(once: bool) -> Trigger {
    let mut conditions = vec![Condition {
        why: "health changed; two states can share a second",
        when: ASSESSED.to_owned(),
        once_per: Some("app.status.health.status + '@' + (app.status.health.lastTransitionTime ?? '')"),
    }];
    if !once {
        conditions.push(Condition {
            why: "second look",
            when: format!("{ASSESSED} and app.status.reconciledAt > (app.status.health.lastTransitionTime ?? '')"),
            once_per: None,
        });
    }
    Trigger { name: "cdevents-health", recipient: "health", conditions }
}

fn deleted() -> Trigger {
    let when = "app.metadata.deletionTimestamp != nil".to_owned();
    let conditions = vec![Condition {
        why: "deletion began; without oncePer it's told again until it arrived",
        when,
        once_per: None,
    }];
    Trigger { name: "cdevents-deleted", recipient: "deleted", conditions }
}

fn sync_status() -> Trigger {
    let condition = |status: &str| Condition {
        why: "sync status changed",
        when: format!("app.status?.sync?.status == '{status}'"),
        once_per: None,
    };
    let conditions = ["Synced", "OutOfSync", "Unknown"].map(condition).into();
    Trigger { name: "cdevents-sync-status", recipient: "sync-status", conditions }
}

fn conditions(trigger: &Trigger) -> String {
    let mut out = String::new();
    for condition in &trigger.conditions {
        let _ = writeln!(out, "- description: {}\n  when: {}", condition.why, condition.when);
        if let Some(key) = condition.once_per {
            let _ = writeln!(out, "  oncePer: {key}");
        }
        out.push_str("  send: [cdevents]\n");
    }
    out
}

fn subscriptions(triggers: &[Trigger]) -> String {
    let mut out = String::new();
    for trigger in triggers {
        let _ = writeln!(out, "- recipients: ['cdevents:{}']\n  triggers: [{}]", trigger.recipient, trigger.name);
    }
    out
}

fn block(out: &mut String, depth: usize, key: &str, text: &str) {
    let _ = writeln!(out, "{:depth$}{key}: |", "");
    indent(out, depth + 2, text);
}

fn indent(out: &mut String, depth: usize, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "{:depth$}{line}", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn instance() -> Instance {
        Instance { name: "eu".into(), url: "https://proxy.example/webhook/eu".into(), credentials: Credentials::Bearer }
    }

    fn yaml(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn every_entry_of_the_config_map_is_yaml_of_its_own() {
        let options =
            Options { argocd_url: Some("https://argocd.example".into()), sync_status: true, ..Options::default() };
        let map = yaml(&manifest(&instance(), &options));
        let entries = map["data"].as_object().unwrap();
        assert_eq!(entries.len(), 8);
        for (key, text) in entries {
            yaml(text.as_str().unwrap_or_else(|| panic!("{key} is text")));
        }
        assert_eq!(yaml(entries["context"].as_str().unwrap())["argocdUrl"], "https://argocd.example");
        assert_eq!(
            yaml(entries["service.webhook.cdevents"].as_str().unwrap())["headers"][1]["value"],
            "Bearer $cdevents-token"
        );
        assert_eq!(yaml(entries["template.cdevents"].as_str().unwrap())["webhook"]["cdevents"]["method"], "POST");
        let health = yaml(entries["trigger.cdevents-health"].as_str().unwrap());
        assert_eq!(health.as_array().unwrap().len(), 2);
        assert!(health[0]["oncePer"].as_str().unwrap().starts_with("app.status.health.status + '@'"));
        assert!(health[1].get("oncePer").is_none());
    }

    #[test]
    fn once_leaves_the_second_looks_out() {
        let map = yaml(&manifest(&instance(), &Options { once: true, ..Options::default() }));
        let health = yaml(map["data"]["trigger.cdevents-health"].as_str().unwrap());
        assert_eq!(health.as_array().unwrap().len(), 1);
        assert!(!map.to_string().contains("sync-status"));
    }

    #[test]
    fn helm_values_say_the_same_as_the_config_map() {
        let map = yaml(&manifest(&instance(), &Options::default()));
        let values = yaml(&manifest(&instance(), &Options { style: Style::Helm, ..Options::default() }));
        for part in ["notifiers", "templates", "triggers"] {
            for (key, text) in values["notifications"][part].as_object().unwrap() {
                assert_eq!(&map["data"][key], text, "{key}");
            }
        }
        assert_eq!(values["notifications"]["subscriptions"], yaml(map["data"]["subscriptions"].as_str().unwrap()));
    }
}
