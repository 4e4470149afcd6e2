use super::*;
use std::time::Duration;

fn with(text: &str, env: &[(&str, &str)]) -> Result<Settings, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load(Some(&path), env, &Flags::default())
}

fn faults(text: &str) -> String {
    with(text, &[]).unwrap_err().to_string()
}

#[test]
fn nothing_configured_is_the_promised_default() {
    let settings = load(None, [], &Flags::default()).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.data, Path::new("data"));
    assert!(matches!(&settings.mappings[..], [MappingWritten::Builtin { builtin, .. }] if builtin == "argocd"));
    assert!(matches!(settings.sinks[..], [Sink { to: Target::Stdout, version: SpecVersion::NEWEST, .. }]));
    assert_eq!(settings.limits.body, 8 << 20);
}

#[test]
fn every_unknown_key_is_told_with_its_line_and_its_nearest_name() {
    let text = "listn: 127.0.0.1:1\nsinks:\n  a:\n    http:\n      url: http://localhost\n      mod: binary\n    specVersin: \"0.4.1\"\n";
    let faults = faults(text);
    assert!(faults.contains("listn: unknown key (line 1); did you mean `listen`?"), "{faults}");
    assert!(faults.contains("sinks.a.http.mod: unknown key (line 6); did you mean `mode`?"), "{faults}");
    assert!(faults.contains("sinks.a.specVersin: unknown key (line 7); did you mean `specVersion`?"), "{faults}");
}

#[test]
fn the_environment_overrides_each_key() {
    let text = "sinks:\n  cd-viz:\n    http: {url: \"http://localhost:1/\"}\n";
    let env = [
        ("ARGOCD_CDEVENTS__LISTEN", "127.0.0.1:0"),
        ("ARGOCD_CDEVENTS__SINKS__CD_VIZ__SPEC_VERSION", "0.4.1"),
        ("ARGOCD_CDEVENTS__SINKS__CD_VIZ__TYPES", r#"["service.*"]"#),
        ("ARGOCD_CDEVENTS__SINKS__CD_VIZ__RETRY__GIVEUPAFTER", "2d"),
        ("ARGOCD_CDEVENTS__LIMITS__BODY", "1MiB"),
        ("ARGOCD_CDEVENTS__SOURCES__PROD_EU__URI", "https://argocd.eu.example.com"),
        ("OTHER", "x"),
    ];
    let settings = with(text, &env).unwrap();
    assert_eq!(settings.listen.port(), 0);
    assert_eq!(settings.sinks[0].version, SpecVersion::V0_4_1);
    assert_eq!(settings.sinks[0].types, ["service.*"]);
    assert_eq!(settings.sinks[0].retry.give_up_after.0, Duration::from_secs(172_800));
    assert_eq!(settings.limits.body, 1 << 20);
    assert_eq!(settings.sources[0].name, "prod-eu");
}

#[test]
fn an_open_source_is_refused_off_loopback() {
    let faults = faults("listen: 0.0.0.0:8080\nsources: {eu: {path: /eu}}\n");
    assert!(faults.contains("sources.eu") && faults.contains("allowUnauthenticated"), "{faults}");
    assert!(with("listen: 0.0.0.0:8080\nallowUnauthenticated: true\n", &[]).is_ok());
}

#[test]
fn every_wrong_value_is_told_and_no_url_shows_its_password() {
    let text = "
sources:
  a: {path: argocd, auth: {bearer: {env: ARGOCD_CDEVENTS_TEST_NOT_SET}}}
  b: {path: /livez}
sinks:
  x: {http: {url: 'ftp://me:hush@host/'}, specVersion: '0.9'}
  y: {}
  z: {stdout: {}, concurrency: 0, retry: {initial: 0s}}
";
    let faults = faults(text);
    for part in [
        "sources.a.path",
        "sources.a.auth",
        "sources.b.path",
        "sinks.x.http.url",
        "sinks.x.specVersion",
        "sinks.y:",
        "sinks.z.concurrency",
        "sinks.z.retry",
    ] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    assert!(!faults.contains("hush"));
}

#[test]
fn paths_of_a_file_are_relative_to_it() {
    let settings = with("data: state\nmappings: [{path: m}]\n", &[]).unwrap();
    assert!(settings.data.is_absolute() && settings.data.ends_with("state"));
    assert!(matches!(&settings.mappings[0], MappingWritten::Path { path, .. } if path.is_absolute()));
}
