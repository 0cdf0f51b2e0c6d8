//! Changes what an operator asked for: in a drop-in of its own, so that comments and other files stay as they are. The
//! whole is judged before anything is written, and what is written is there whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::key::ALLOW;
use crate::load::{drop_in_folder, file_of, load_with};
use crate::{Config, ConfigError, Flags, Host, Key, Origin, RawAllow};

/// The drop-in that is written. It counts after those whose names come before it.
pub const OWN: &str = "90-aicpctl.toml";
const HEAD: &str = "# Written by aicpctl (config set, allow add). What you write here stays.\n";

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such key.
    #[error("there is no key {key}")]
    NoKey {
        /// What was said.
        key: String,
        /// What was meant, perhaps.
        meant: Option<&'static str>,
    },
    /// A value of another kind.
    #[error("{key} takes {wanted}")]
    Kind {
        /// The key.
        key: &'static str,
        /// What it takes.
        wanted: &'static str,
    },
    /// It would change nothing, for something that counts later says otherwise.
    #[error("{key} is set by {by}, which counts before it")]
    Overridden {
        /// The key.
        key: &'static str,
        /// What says otherwise.
        by: Origin,
    },
    /// No rule of that name stands in the drop-in.
    #[error("no rule here is called {name}")]
    NoRule {
        /// What was said.
        name: String,
        /// Where a rule of that name stands, if there is one.
        elsewhere: Option<Origin>,
    },
    /// What would stand there then is no configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Nothing says where the configuration lies.
    #[error("nothing says where the configuration lies")]
    NoPlace,
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The drop-in, as it shall be.
#[derive(Debug)]
pub struct Edit {
    flags: Flags,
    host: Host,
    own: PathBuf,
    document: DocumentMut,
    /// The key that must hold in the end.
    set: Option<&'static Key>,
}

impl Edit {
    /// Begins with what stands there. The file itself need not be there.
    pub fn open(flags: &Flags, host: &Host) -> Result<Self, EditError> {
        let file = file_of(flags, host).ok_or(EditError::NoPlace)?;
        let own = drop_in_folder(&file).join(OWN);
        let text = match std::fs::read_to_string(&own) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => HEAD.into(),
            Err(source) => return Err(EditError::Io { path: own, source }),
        };
        let syntax =
            |error: toml_edit::TomlError| ConfigError::Syntax { path: own.clone(), message: error.to_string() };
        let document = text.parse().map_err(syntax)?;
        Ok(Self { flags: flags.clone(), host: host.clone(), own, document, set: None })
    }

    /// Where it is written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.own
    }

    /// Sets a key. A list has commas between its elements.
    pub fn set(&mut self, name: &str, text: &str) -> Result<&'static Key, EditError> {
        let key = find(name)?;
        let (section, short) = key.parts();
        let kind = EditError::Kind { key: key.name, wanted: "a whole number" };
        let new = match key.value_of(text).ok_or(kind)? {
            toml::Value::Integer(number) => value(number),
            toml::Value::Array(elements) => {
                let texts = elements.iter().filter_map(toml::Value::as_str);
                value(texts.map(Value::from).collect::<Array>())
            }
            toml::Value::String(text) => value(text),
            toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                Item::None
            }
        };
        let there = self.document.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let Some(section) = there.as_table_like_mut() else {
            return Err(EditError::Kind { key: key.name, wanted: "a section around it" });
        };
        match section.get_mut(short).and_then(Item::as_value_mut).zip(new.as_value()) {
            // What stands before and behind the value stays.
            Some((old, new)) => {
                let decor = old.decor().clone();
                *old = new.clone();
                *old.decor_mut() = decor;
            }
            None => drop(section.insert(short, new)),
        }
        self.set = Some(key);
        Ok(key)
    }

    /// Leaves a key to the other files, or to its default. Whether it stood here.
    pub fn unset(&mut self, name: &str) -> Result<bool, EditError> {
        let (section, short) = find(name)?.parts();
        let there = self.document.get_mut(section).and_then(Item::as_table_like_mut);
        Ok(there.is_some_and(|section| section.remove(short).is_some()))
    }

    /// Adds a rule. One without a name gets one that nobody has. Says which.
    pub fn allow(&mut self, rule: &RawAllow) -> Result<String, EditError> {
        let there = self.check()?.allow;
        let is_free = |name: &String| there.iter().all(|rule| rule.name != *name);
        let numbered = || (1..).map(|number| format!("allow-{number}")).find(is_free).unwrap_or_default();
        let name = rule.name.clone().unwrap_or_else(numbered);
        let mut table = Table::new();
        let parts = [
            ("name", Some(&name)),
            ("to", rule.to.as_ref()),
            ("from", rule.from.as_ref()),
            ("node", rule.node.as_ref()),
            ("capability", rule.capability.as_ref()),
            ("subject", rule.subject.as_ref()),
        ];
        for (part, text) in parts {
            if let Some(text) = text {
                table.insert(part, value(text.as_str()));
            }
        }
        let rules = self.document.entry(ALLOW).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let Some(rules) = rules.as_array_of_tables_mut() else {
            return Err(EditError::Kind { key: ALLOW, wanted: "[[allow]] tables" });
        };
        rules.push(table);
        Ok(name)
    }

    /// Takes a rule away that stands here.
    pub fn disallow(&mut self, name: &str) -> Result<(), EditError> {
        let rules = self.document.get_mut(ALLOW).and_then(Item::as_array_of_tables_mut);
        let is_named = |rule: &Table| rule.get("name").and_then(Item::as_str) == Some(name);
        let at = rules.as_ref().and_then(|rules| rules.iter().position(is_named));
        if let (Some(rules), Some(at)) = (rules, at) {
            rules.remove(at);
            return Ok(());
        }
        let elsewhere = self.check()?.allow.into_iter().find(|rule| rule.name == name).map(|rule| rule.origin);
        Err(EditError::NoRule { name: name.into(), elsewhere })
    }

    /// What all files and the rest would come to.
    pub fn check(&self) -> Result<Config, EditError> {
        Ok(load_with(&self.flags, &self.host, Some((&self.own, &self.document.to_string())))?)
    }

    /// Puts it in place, if the whole is a configuration and what was set holds in it.
    pub fn save(self) -> Result<Config, EditError> {
        let config = self.check()?;
        if let Some(key) = self.set {
            let by = config.sources.origin(key.name);
            if by != Origin::File(self.own.clone()) {
                return Err(EditError::Overridden { key: key.name, by });
            }
        }
        write(&self.own, self.document.to_string().as_bytes())
            .map_err(|source| EditError::Io { path: self.own.clone(), source })?;
        Ok(config)
    }
}

fn find(name: &str) -> Result<&'static Key, EditError> {
    Key::find(name).ok_or_else(|| EditError::NoKey { key: name.into(), meant: Key::meant(name) })
}

/// Whole or not at all, also after a crash. The new file's name is not one that is read before it has its own.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        flags: Flags,
        host: Host,
    }

    fn place(text: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("aicpd.toml");
        std::fs::write(&file, text).expect("written");
        let flags = Flags { config: Some(file), ..Flags::default() };
        let host = Host { variables: vec![("HOME", folder.path().into())], ..Host::default() };
        Place { folder, flags, host }
    }

    impl Place {
        fn edit(&self) -> Edit {
            Edit::open(&self.flags, &self.host).expect("opened")
        }

        fn own(&self) -> PathBuf {
            self.folder.path().join("aicpd.toml.d").join(OWN)
        }
    }

    #[test]
    fn what_is_set_holds_and_comments_and_other_files_stay_as_they_are() {
        let file = "# mine\n[log]\nlevel = \"warn\" # why\n";
        let place = place(file);
        let mut edit = place.edit();
        edit.set("log.level", "debug").expect("set");
        let config = edit.save().expect("saved");
        assert_eq!(config.log.level, "debug");
        assert_eq!(std::fs::read_to_string(place.folder.path().join("aicpd.toml")).expect("there"), file);
        let own = std::fs::read_to_string(place.own()).expect("there").replace("\"debug\"", "\"debug\" # at night");
        std::fs::write(place.own(), format!("# by hand\n{own}")).expect("written");
        let mut edit = place.edit();
        edit.set("log.level", "trace").expect("set");
        edit.set("mesh.advertise", "a:1, b:2").expect("set");
        edit.set("limits.mailbox_bytes", "32MiB").expect("set");
        edit.save().expect("saved");
        let own = std::fs::read_to_string(place.own()).expect("there");
        assert!(own.starts_with("# by hand\n") && own.contains("level = \"trace\" # at night"), "{own}");
        assert!(own.contains("advertise = [\"a:1\", \"b:2\"]") && own.contains("\"32MiB\""), "{own}");
        let mut edit = place.edit();
        assert!(edit.unset("log.level").expect("a key"));
        assert_eq!(edit.save().expect("saved").log.level, "warn", "the file's own holds again");
    }

    #[test]
    fn what_would_be_no_configuration_or_would_not_hold_changes_nothing() {
        let mut place = place("[node]\nname = \"file\"\n");
        let refused = |place: &Place, key: &str, text: &str| {
            let mut edit = place.edit();
            let error = edit.set(key, text).err().or_else(|| edit.save().err()).expect("refused");
            assert!(!place.own().exists(), "nothing was written");
            error.to_string()
        };
        assert!(refused(&place, "limits.mailbox_bytes", "1KiB").contains("16MiB"));
        assert!(refused(&place, "mesh.max_hops", "many").contains("a whole number"));
        assert!(refused(&place, "log.levle", "x").contains("no key log.levle"));
        let later = place.folder.path().join("aicpd.toml.d/99-later.toml");
        std::fs::create_dir_all(later.parent().expect("a folder")).expect("made");
        std::fs::write(&later, "[log]\nlevel = \"error\"\n").expect("written");
        let told = refused(&place, "log.level", "debug");
        assert!(told.contains("99-later.toml") && told.contains("counts before"), "{told}");
        place.host.variables.push(("AICP_NODE_NAME", "variable".into()));
        assert!(refused(&place, "node.name", "set").contains("AICP_NODE_NAME"));
    }

    #[test]
    fn a_rule_that_is_added_has_a_name_by_which_it_goes_again_and_others_stay_where_they_are() {
        let place = place("[[allow]]\nname = \"hand\"\nto = \"writer\"\n");
        let rule = RawAllow { to: Some("writer".into()), from: Some("a@b".into()), ..RawAllow::default() };
        let mut edit = place.edit();
        assert_eq!(edit.allow(&rule).expect("added"), "allow-1");
        assert_eq!(edit.allow(&rule).expect("added"), "allow-2");
        assert_eq!(edit.save().expect("saved").allow.len(), 3);
        let mut edit = place.edit();
        let told = edit.disallow("hand").expect_err("it stands elsewhere");
        assert!(matches!(told, EditError::NoRule { elsewhere: Some(_), .. }), "{told}");
        edit.disallow("allow-1").expect("it goes");
        let left: Vec<String> = edit.save().expect("saved").allow.into_iter().map(|rule| rule.name).collect();
        assert_eq!(left, ["hand", "allow-2"]);
        let mut edit = place.edit();
        edit.allow(&RawAllow { to: Some("NOBODY".into()), ..RawAllow::default() }).expect("added");
        assert!(edit.save().is_err(), "a rule that can be none is not written");
    }
}
