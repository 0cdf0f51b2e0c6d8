//! The committed code is what `proto/schema` says, so nobody who builds needs a compiler for it.

use std::path::{Path, PathBuf};

/// Strings that serde must not take from octets.
const STRINGS: [&str; 11] = [
    "ErrorBody.error_message",
    "ErrorBody.original_message_id",
    "Attach.name",
    "AttachReply.agent_id",
    "AttachReply.node_id",
    "AttachReply.node_name",
    "Resolve.address",
    "ResolveReply.agent_id",
    "ResolveReply.agent_name",
    "ResolveReply.node_id",
    "ResolveReply.node_name",
];

#[test]
fn the_generated_code_is_what_the_schema_says() {
    let committed = root().join("proto/src/control/generated.rs");
    let made = generate();
    if std::env::var_os("AICP_REGENERATE").is_some() {
        std::fs::write(&committed, &made).expect("it can be written");
    }
    let there = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(there == made, "run AICP_REGENERATE=1 cargo test --test it schema, and look at the difference");
}

fn generate() -> String {
    let schema = root().join("proto/schema");
    let files = protox::compile([schema.join("aicp.proto")], [&schema]).expect("the schema compiles");
    let mut config = prost_build::Config::new();
    config.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
    // A field that is left out is empty; but an error says three of its four.
    for message in ["Attach", "AttachReply", "Resolve", "ResolveReply"] {
        config.type_attribute(format!(".aicp.v1.{message}"), "#[serde(default)]");
    }
    config.field_attribute(".aicp.v1.ErrorBody.retry_after_ms", "#[serde(default)]");
    for path in STRINGS {
        config.field_attribute(
            format!(".aicp.v1.{path}"),
            r#"#[serde(deserialize_with = "crate::control::strict_string")]"#,
        );
    }
    for path in ["Attach.capabilities", "Attach.topics"] {
        config.field_attribute(
            format!(".aicp.v1.{path}"),
            r#"#[serde(deserialize_with = "crate::control::strict_strings")]"#,
        );
    }
    let out = tempfile::tempdir().expect("a folder");
    config.out_dir(out.path());
    config.compile_fds(files).expect("code is made");
    std::fs::read_to_string(out.path().join("aicp.v1.rs")).expect("it was written")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
