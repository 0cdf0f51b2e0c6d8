//! Data for programs: one object in each of the shapes that `-o` names. No character in any of them does anything to a
//! terminal.

use proto::is_active;
use serde_json::{Map, Value};

use super::Format;

/// What is a list at heart: its schema, where its items stand, and what one of them is called alone.
const LISTS: &[(&str, &str, &str)] = &[
    ("agents", "agents", "agent"),
    ("outbox", "messages", "outbox-message"),
    ("dead", "letters", "dead-letter"),
    ("peers", "peers", "peer"),
];
/// Where an id stands, the most telling first.
const IDS: [&str; 4] = ["message_id", "id", "agent_id", "node_id"];

/// The lines that show an object; none, if it has no ids and those were wanted.
pub(super) fn lines(format: Format, verb: &str, mut fields: Map<String, Value>) -> Vec<String> {
    fields.remove("schema");
    match format {
        Format::Table | Format::Wide => Vec::new(),
        Format::Json => vec![json_line(verb, &fields)],
        Format::Jsonl => match items(verb, &fields) {
            Some((item, found)) => found.iter().map(|fields| json_line(item, fields)).collect(),
            None => vec![json_line(verb, &fields)],
        },
        Format::Yaml => vec![yaml_document(verb, &fields)],
        Format::Id => match items(verb, &fields) {
            Some((_, found)) => found.iter().filter_map(|fields| id_of(fields)).collect(),
            None => id_of(&fields).into_iter().collect(),
        },
    }
}

/// One object on one line, its schema first.
pub(super) fn json_line(verb: &str, fields: &Map<String, Value>) -> String {
    let rest = plain_json(&Value::Object(fields.clone()));
    let rest = rest.strip_prefix('{').unwrap_or_default();
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{{"schema":"aicp.{verb}/1"{comma}{rest}"#)
}

fn items<'f>(verb: &str, fields: &'f Map<String, Value>) -> Option<(&'static str, Vec<&'f Map<String, Value>>)> {
    let (_, list, item) = LISTS.iter().find(|(known, ..)| *known == verb)?;
    let found = fields.get(*list)?.as_array()?;
    Some((item, found.iter().filter_map(Value::as_object).collect()))
}

fn id_of(fields: &Map<String, Value>) -> Option<String> {
    let id = IDS.iter().find_map(|key| fields.get(*key)?.as_str())?;
    Some(super::escape(id))
}

/// JSON in which no character does anything to a terminal.
fn plain_json(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut out, c| {
        if is_active(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            out.push(c)
        }
        out
    })
}

/// One of possibly many in a stream. Every text stands in quotes as JSON has them, which YAML reads alike.
fn yaml_document(verb: &str, fields: &Map<String, Value>) -> String {
    let mut out = format!("---\nschema: \"aicp.{verb}/1\"\n");
    yaml_fields(fields, 0, &mut out);
    out.truncate(out.trim_end().len());
    out
}

fn yaml_fields(fields: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in fields {
        out.push_str(&"  ".repeat(depth));
        out.push_str(&yaml_key(key));
        out.push(':');
        yaml_value(value, depth, out);
    }
}

/// What follows a key, to the end of its last line.
fn yaml_value(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            yaml_fields(fields, depth + 1, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                yaml_item(item, depth + 1, out);
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push(' ');
            out.push_str(&plain_json(value));
            out.push('\n');
        }
    }
}

/// One item of a list. What is deep in it is written as JSON, which YAML reads too.
fn yaml_item(item: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let mut dash = "- ";
    match item.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (key, value) in fields {
                out.push_str(&format!("{pad}{dash}{}: {}\n", yaml_key(key), plain_json(value)));
                dash = "  ";
            }
        }
        None => out.push_str(&format!("{pad}{dash}{}\n", plain_json(item))),
    }
}

/// Bare, unless YAML could take it for something else than a text.
fn yaml_key(key: &str) -> String {
    let is_bare = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&key);
    if is_bare { key.to_owned() } else { plain_json(&Value::from(key)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(format: Format, verb: &str, value: Value) -> String {
        lines(format, verb, value.as_object().cloned().expect("an object")).join("\n")
    }

    #[test]
    fn no_shape_lets_a_character_do_anything_to_a_terminal() {
        let value = || json!({ "id": "a\u{9b}\u{1b}", "\u{1b}": ["\u{202e}"] });
        assert_eq!(
            shown(Format::Json, "x", value()),
            "{\"schema\":\"aicp.x/1\",\"\\u001b\":[\"\\u202e\"],\"id\":\"a\\u009b\\u001b\"}"
        );
        for format in [Format::Json, Format::Jsonl, Format::Yaml, Format::Id] {
            let text = shown(format, "x", value());
            assert!(!text.chars().any(|c| is_active(c) && c != '\n'), "{text:?}");
        }
    }

    #[test]
    fn a_list_is_one_item_a_line_and_ids_alone_where_that_is_asked() {
        let list = || json!({ "agents": [{ "id": "aicp1a", "name": "a" }, { "id": "aicp1b", "name": "b" }] });
        assert_eq!(
            shown(Format::Jsonl, "agents", list()),
            "{\"schema\":\"aicp.agent/1\",\"id\":\"aicp1a\",\"name\":\"a\"}\n\
             {\"schema\":\"aicp.agent/1\",\"id\":\"aicp1b\",\"name\":\"b\"}"
        );
        assert_eq!(shown(Format::Id, "agents", list()), "aicp1a\naicp1b");
        assert_eq!(shown(Format::Id, "send", json!({ "id": "0123", "to": "x" })), "0123");
        assert_eq!(shown(Format::Id, "agents", json!({ "agents": [] })), "");
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        let value = json!({ "a": { "b": 1, "no": "yes" }, "c": [], "d": [{ "e": "f: g", "h": [1, 2] }, {}, "i"] });
        assert_eq!(
            shown(Format::Yaml, "x", value),
            "---\nschema: \"aicp.x/1\"\na:\n  b: 1\n  \"no\": \"yes\"\nc: []\nd:\n  - e: \"f: g\"\n    h: [1,2]\n  - {}\n  \
             - \"i\""
        );
    }
}
