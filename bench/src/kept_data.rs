//! The program's data as it was, so that the same changes can be followed once more.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::{Line, run};

/// Where the program keeps its data in the directory of its configuration.
const DATA: &str = "millstream-data";

pub(crate) struct KeptData {
    data: PathBuf,
    copy: PathBuf,
}

impl KeptData {
    /// Keeps what the program has stored; it must not be running.
    pub(crate) async fn keep(directory: &Path) -> Result<KeptData, Failure> {
        let kept = KeptData { data: directory.join(DATA), copy: directory.join("kept-data") };
        copy(&kept.data, &kept.copy).await?;
        Ok(kept)
    }

    /// Makes the program's data what they were.
    pub(crate) async fn put_back(&self) -> Result<(), Failure> {
        forget(&self.data)?;
        copy(&self.copy, &self.data).await
    }
}

/// Removes all that the program has stored.
pub(crate) fn forget_data(directory: &Path) -> Result<(), Failure> {
    forget(&directory.join(DATA))
}

fn forget(data: &Path) -> Result<(), Failure> {
    std::fs::remove_dir_all(data).map_err(Failure::own(format!("removing {}", data.display())))
}

async fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let line = |program: &str, arguments: Vec<std::ffi::OsString>| Line {
        program: program.into(),
        arguments,
        directory: from.parent().unwrap_or(from).to_owned(),
    };
    run(&line("cp", vec!["-r".into(), from.into(), to.into()])).await?;
    // So that writing the copy to the disk isn't part of what is measured next.
    run(&line("sync", Vec::new())).await?;
    Ok(())
}
