//! The committed code is what `proto/schema` says, so nobody who builds needs a compiler for it.

use std::path::{Path, PathBuf};

/// As `FieldDescriptorProto` numbers them.
const TYPE_STRING: i32 = 9;
const TYPE_MESSAGE: i32 = 11;
const LABEL_REPEATED: i32 = 3;

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
    config.field_attribute(".aicp.v1.ErrorBody.retry_after_ms", "#[serde(default)]");
    for message in files.file.iter().flat_map(|file| &file.message_type) {
        // A field that is left out is empty; but an error says three of its four.
        if message.name() != "ErrorBody" {
            config.type_attribute(format!(".aicp.v1.{}", message.name()), "#[serde(default)]");
        }
        for field in &message.field {
            let reader = match (field.r#type, field.label == Some(LABEL_REPEATED)) {
                (Some(TYPE_STRING), false) => "strict_string",
                (Some(TYPE_STRING), true) => "strict_strings",
                (Some(TYPE_MESSAGE), true) => "strict_messages",
                (Some(TYPE_MESSAGE), false) => panic!("{}: say how serde reads it", field.name()),
                _ => continue,
            };
            config.field_attribute(
                format!(".aicp.v1.{}.{}", message.name(), field.name()),
                format!(r#"#[serde(deserialize_with = "crate::control::{reader}")]"#),
            );
        }
    }
    let out = tempfile::tempdir().expect("a folder");
    config.out_dir(out.path());
    config.compile_fds(files).expect("code is made");
    std::fs::read_to_string(out.path().join("aicp.v1.rs")).expect("it was written")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
