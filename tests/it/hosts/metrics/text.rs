//! A strict reader of exposition text, written from the OpenMetrics specification: whatever a scraper could stumble
//! over fails the test.

use std::collections::BTreeMap;

/// What was told: names with their labels, and values.
#[derive(Debug)]
pub(super) struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// A sample by its name and labels, as they stand in the text.
    pub(super) fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("{name} is not told"))
    }

    /// How far it has moved.
    pub(super) fn moved(&self, before: &Self, name: &str) -> f64 {
        self.get(name) - before.get(name)
    }
}

/// Name, labels in their order, value.
type Sample = (String, Vec<(String, String)>, f64);

/// A family: the samples between one TYPE and the next.
struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Reads all of it; every line must be one that the format knows, where it may stand.
pub(super) fn read(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let mut families: Vec<Family> = Vec::new();
    let mut helped = None;
    for line in body.split_inclusive('\n') {
        let line = line.strip_suffix('\n').expect("every line ends");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and words");
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            assert_eq!(helped.replace(name.to_owned()), None, "{line}: a family without a type before it");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(helped.take().as_deref(), Some(name), "{line}: its help stands above it");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.iter().all(|family| family.name != name), "{line}: a family stands in one place");
            families.push(Family { name: name.into(), kind: kind.into(), samples: Vec::new() });
        } else {
            let family = families.last_mut().expect("a sample stands below its type");
            let sample = sample(line);
            assert!(belongs(family, &sample.0), "{line}: not a sample of a {} {}", family.kind, family.name);
            assert!(sample.2.is_finite() && (family.kind == "gauge" || sample.2 >= 0.0), "{line}");
            family.samples.push(sample);
        }
    }
    assert_eq!(helped, None, "help without a type");
    families.iter().filter(|family| family.kind == "histogram").for_each(judge_histogram);
    let mut samples = BTreeMap::new();
    for (name, labels, value) in families.into_iter().flat_map(|family| family.samples) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let whole = if labels.is_empty() { name } else { format!("{name}{{{}}}", labels.join(",")) };
        assert_eq!(samples.insert(whole.clone(), value), None, "{whole} is told twice");
    }
    Samples(samples)
}

fn belongs(family: &Family, sample: &str) -> bool {
    let Some(suffix) = sample.strip_prefix(&family.name) else { return false };
    match family.kind.as_str() {
        "counter" => suffix == "_total",
        "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
        _ => suffix.is_empty(),
    }
}

/// Buckets grow, and the last one holds all.
fn judge_histogram(family: &Family) {
    let (mut bound, mut held) = (f64::NEG_INFINITY, 0.0);
    let mut count = None;
    for (name, labels, value) in &family.samples {
        if name.ends_with("_bucket") {
            let [(key, le)] = labels.as_slice() else { panic!("{name}: one label") };
            assert_eq!(key, "le");
            let le = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a bound") };
            assert!(le > bound && *value >= held, "{name}: buckets grow");
            (bound, held) = (le, *value);
        } else if name.ends_with("_count") {
            count = Some(*value);
        }
    }
    assert_eq!((bound, Some(held)), (f64::INFINITY, count), "{}: +Inf holds all", family.name);
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}: no value"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}: a label"));
            assert!(is_name(key) && !key.contains(':'), "{line}");
            let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("{line}: a label's end"));
            assert!(!value.contains(['\\', '\n']) && value.len() <= 64, "{line}: our labels need no escapes");
            assert!(labels.iter().all(|(known, _)| known != key), "{line}: a label twice");
            labels.push((key.to_owned(), value.to_owned()));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("{line}: the labels' end"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}: one space before the value"));
    assert!(value.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c)), "{line}");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}: a number")))
}

fn is_name(text: &str) -> bool {
    let may_stand = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b':';
    !text.is_empty() && text.bytes().all(may_stand) && !text.as_bytes()[0].is_ascii_digit()
}
