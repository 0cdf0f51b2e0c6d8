//! `aicpctl man`: a page for every verb, made from the same words as `--help`.

use clap::CommandFactory;
use serde_json::json;

use crate::args::{Args, Man};
use crate::failure::{Exit, Failure};
use crate::render::{Out, plural};

pub(crate) fn run(asked: &Man, out: Out) -> Result<(), Failure> {
    let folder = &asked.folder;
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("no pages can be written to {}", folder.display()))
            .why(error.to_string())
            .fix("a folder that you may write to")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), folder).map_err(failed)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("aicpctl") && name.ends_with(".1") {
            pages.push(name);
        }
    }
    pages.sort();
    out.object("man", json!({ "folder": folder.display().to_string(), "pages": pages }));
    let count = pages.len();
    out.line(format_args!("{count} page{} in {}", plural(count), folder.display()));
    if !out.is_json() {
        out.talk(format_args!("man -l {}", folder.join("aicpctl.1").display()));
    }
    Ok(())
}
