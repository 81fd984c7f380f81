//! The conformance suite: each operation rewrites a file.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_core::source::SourceConnector;
use millstream_csv_example::{Directory, NAMESPACE};
use millstream_testkit::conformance::{
    Backend, BackendError, Capability, ColumnType, Input, Operation, TypeCase, Value,
};
use millstream_testkit::conformance_suite;
use tempfile::TempDir;

/// A directory of a case's own.
struct Files {
    directory: TempDir,
}

/// A file's content: the header and the lines.
struct Content {
    header: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Content {
    fn column(&self, name: &str) -> usize {
        self.header.iter().position(|column| column == name).expect("the column is there")
    }

    fn line(&mut self, row: &[(String, Input)]) -> usize {
        let wanted: Vec<(usize, String)> = row.iter().map(|(name, value)| (self.column(name), field(value))).collect();
        let is_it = |line: &Vec<String>| wanted.iter().all(|(column, value)| line[*column] == *value);
        self.lines.iter().position(is_it).expect("the row is there")
    }
}

fn field(value: &Input) -> String {
    match value {
        Input::Null => String::new(),
        Input::Integer(value) => value.to_string(),
        Input::Text(text) => text.clone(),
        Input::Native { literal, .. } => literal.clone(),
    }
}

impl Files {
    fn path(&self, table: &str) -> PathBuf {
        self.directory.path().join("files").join(format!("{table}.csv"))
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn read(&self, table: &str) -> Content {
        let mut reader = csv::Reader::from_path(self.path(table)).unwrap();
        let fields = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<String>>();
        let header = fields(reader.headers().unwrap());
        let lines = reader.records().map(|record| fields(&record.unwrap())).collect();
        Content { header, lines }
    }

    /// Replaces a file as a whole.
    fn write(&self, table: &str, content: &Content) {
        let beside = self.path(table).with_extension("new");
        let mut writer = csv::Writer::from_path(&beside).unwrap();
        writer.write_record(&content.header).unwrap();
        content.lines.iter().for_each(|line| writer.write_record(line).unwrap());
        writer.flush().unwrap();
        fs::rename(beside, self.path(table)).unwrap();
    }

    fn edit(&self, table: &str, edit: impl FnOnce(&mut Content)) {
        let mut content = self.read(table);
        edit(&mut content);
        self.write(table, &content);
    }
}

#[async_trait]
impl Backend for Files {
    const NAME: &'static str = "csv";

    fn lacks() -> &'static [(Capability, &'static str)] {
        &[
            (Capability::Transactions, "files are replaced one by one"),
            (Capability::Rollback, "files are replaced one by one"),
            (Capability::EveryVersion, "what a file held between two looks is gone"),
            (Capability::CompositeKeys, "the first column is the key"),
            (Capability::TablesWithoutKey, "the first column is the key"),
            (Capability::ChangeKey, "the first column is the key"),
            (Capability::Truncate, "rows that go at once are rows that go"),
            (Capability::SwapTables, "files are renamed one by one"),
            (Capability::RenamesInLog, "what a file was called between two looks is gone"),
            (Capability::RetypeColumn, "every value is text"),
            (Capability::CutConnections, "there are no connections"),
            (Capability::RestartSource, "there is no server"),
        ]
    }

    async fn start(_: &[Capability]) -> Result<Self, BackendError> {
        let files = Self { directory: TempDir::new()? };
        fs::create_dir(files.directory.path().join("files"))?;
        Ok(files)
    }

    fn namespace(&self) -> String {
        NAMESPACE.to_owned()
    }

    fn connector(&self) -> Result<Arc<dyn SourceConnector>, BackendError> {
        let files = self.directory.path().join("files");
        Ok(Directory { files, journal: self.journal() }.connector()?)
    }

    async fn execute(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        for operation in transaction {
            self.execute_one(operation);
        }
        Ok(())
    }

    fn types(&self) -> Vec<TypeCase> {
        let text = |text: &'static str| (text, Value::text(text));
        vec![TypeCase::new(
            "text",
            [
                text("a"),
                text("0"),
                text(" "),
                text("a, b"),
                text("\"quoted\""),
                text("two\nlines"),
                text("Zürich ŧ→🦀"),
            ],
        )]
    }

    /// All that files hold is text.
    fn delivered(&self, _: &ColumnType, input: &Input) -> Value {
        match input {
            Input::Null => Value::Null,
            other => Value::Text(field(other)),
        }
    }

    async fn lose_log(&self) -> Result<(), BackendError> {
        Ok(fs::remove_file(self.journal())?)
    }
}

impl Files {
    fn execute_one(&self, operation: &Operation) {
        match operation {
            Operation::CreateTable { table, columns, .. } => {
                let header = columns.iter().map(|column| column.name.clone()).collect();
                self.write(table, &Content { header, lines: Vec::new() });
            }
            Operation::DropTable { table } => fs::remove_file(self.path(table)).unwrap(),
            Operation::RenameTable { from, to } => fs::rename(self.path(from), self.path(to)).unwrap(),
            Operation::Insert { table, rows } => self.edit(table, |content| {
                content.lines.extend(rows.iter().map(|row| row.iter().map(field).collect()));
            }),
            Operation::Update { table, row, set } => self.edit(table, |content| {
                let line = content.line(row);
                for (name, value) in set {
                    let column = content.column(name);
                    content.lines[line][column] = field(value);
                }
            }),
            Operation::Delete { table, row } => self.edit(table, |content| {
                let line = content.line(row);
                content.lines.remove(line);
            }),
            Operation::AddColumn { table, column } => self.edit(table, |content| {
                content.header.push(column.name.clone());
                let value = column.default.as_ref().map(field).unwrap_or_default();
                content.lines.iter_mut().for_each(|line| line.push(value.clone()));
            }),
            Operation::DropColumn { table, column } => self.edit(table, |content| {
                let column = content.column(column);
                content.header.remove(column);
                content.lines.iter_mut().for_each(|line| drop(line.remove(column)));
            }),
            Operation::RenameColumn { table, from, to } => self.edit(table, |content| {
                let column = content.column(from);
                content.header[column].clone_from(to);
            }),
            Operation::Truncate { .. }
            | Operation::SwapTables { .. }
            | Operation::RetypeColumn { .. }
            | Operation::ChangeKey { .. } => panic!("declared as lacking: {operation:?}"),
        }
    }
}

conformance_suite!(Files);
