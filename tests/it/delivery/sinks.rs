//! A mapping that makes one event of each notification, and sinks that are away in different ways.

use crate::support::Proxy;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A configuration with a mapping of its own and these sinks.
pub(super) fn one_event_each(dir: &Path, sinks: &str) -> String {
    let mapping = dir.join("one.yaml");
    let text = "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {name: one}\nspec:\n  key: string(body.app)\n  rules:\n    - name: one\n      \
         emit:\n        type: service.deployed\n        timestamp: '2026-01-01T00:00:00Z'\n        occurrence: '{{body.number}}'\n        \
         subject: {id: '{{body.app}}', content: {environment: {id: e}, artifactId: 'pkg:generic/a@{{body.number}}'}}\n";
    std::fs::write(&mapping, text).unwrap();
    format!("mappings: [{{path: {}}}]\nsinks: {{{sinks}}}\n", mapping.display())
}

/// The notification `number` of an application.
pub(super) fn notification(app: &str, number: usize) -> String {
    serde_json::json!({"app": app, "number": number}).to_string()
}

/// Tells the notifications of these numbers, some at a time, each of one of so many applications.
pub(super) async fn tell(proxy: &Proxy, numbers: std::ops::Range<usize>, apps: usize) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(20) {
        let told = some.iter().map(|number| proxy.post(notification(&format!("app-{}", number % apps), *number)));
        for (status, answer) in futures_util::future::join_all(told).await {
            assert_eq!(status, 202, "{answer}");
        }
    }
}

/// How a sink is away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Away {
    /// Nothing listens.
    Refuses,
    /// It reads, and never answers.
    Hangs,
    /// It says 202 at once, and then a byte a second of a body of a thousand.
    Drips,
    /// 500.
    Fails,
}

/// The URL of a sink that is away; it's so until the test ends.
pub(super) async fn away(how: Away) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    if matches!(how, Away::Refuses) {
        return url;
    }
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = vec![0; 64 * 1024];
                while stream.read(&mut read).await.is_ok_and(|read| read > 0) {
                    let head: &[u8] = match how {
                        Away::Refuses | Away::Hangs => continue,
                        Away::Drips => b"HTTP/1.1 202 Accepted\r\ncontent-length: 1000\r\n\r\n",
                        Away::Fails => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
                    };
                    if stream.write_all(head).await.is_err() {
                        return;
                    }
                    if matches!(how, Away::Drips) {
                        return drip(stream).await;
                    }
                }
            });
        }
    });
    url
}

async fn drip(mut stream: tokio::net::TcpStream) {
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
