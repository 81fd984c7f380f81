//! Statements in the log: what each means for the selected tables.

use std::sync::Arc;

use millstream_core::schema::{TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;

use super::event::Query;
use super::follower::{End, Follower};
use super::settle::{Question, Reason};
use super::tables::Standing;
use crate::connect::Server;
use crate::ddl::{self, Context, SqlMode, Statement, Suspects, Transaction};
use crate::virtual_columns::is_recomputed_otherwise;

/// How much of a statement the history keeps, in characters.
const STATEMENT_CHARS_MAX: usize = 4_000;

/// What a statement of the log does.
pub(super) fn read(query: &Query<'_>, server: &Server) -> Statement {
    let database = server.names.fold(&query.database);
    ddl::read(query.text, &context(query, server, &database))
}

fn context<'a>(query: &Query<'_>, server: &Server, database: &'a str) -> Context<'a> {
    Context {
        database,
        mode: SqlMode::from_bits(query.session.sql_mode),
        client_collation: query.session.client_collation,
        thread_specific: query.thread_specific,
        version: server.version,
        names: server.names,
    }
}

/// A statement as the history keeps it.
pub(super) fn kept(statement: &Statement, query: &Query<'_>, server: &Server) -> String {
    let cut = |text: &str| text.chars().take(STATEMENT_CHARS_MAX).collect();
    match statement {
        // Their text may hold values of rows.
        Statement::Dml(_) | Statement::Unknown(_) => cut(&ddl::without_values(query.text, &context(query, server, ""))),
        _ => cut(&String::from_utf8_lossy(query.text)),
    }
}

/// Whether a table may look otherwise, or not exist, or be another one, after a statement than before it.
pub(super) fn may_reshape(statement: &Statement, name: &TableName) -> bool {
    match statement {
        Statement::Noise
        | Statement::Transaction(_)
        | Statement::StoredObjects(_)
        | Statement::Dml(_)
        | Statement::Truncate { .. }
        | Statement::Optimize { .. } => false,
        Statement::Alter(alter) if alter.table == *name => alter.shape || alter.rename_to.is_some(),
        Statement::Create(_)
        | Statement::Drop { .. }
        | Statement::DropDatabase { .. }
        | Statement::Rename { .. }
        | Statement::Alter(_)
        | Statement::Unknown(_) => statement.concerns(name),
    }
}

/// The table looks as before.
fn altered_alike(schema: Arc<TableSchema>, rows_replaced: bool) -> SchemaChangeKind {
    SchemaChangeKind::Altered { schema, values_kept: Vec::new(), rows_replaced }
}

impl Follower {
    /// Handles a statement that is neither BEGIN nor COMMIT.
    pub(super) async fn statement(&mut self, query: &Query<'_>) -> Result<(), End> {
        let statement = read(query, &self.server);
        match &statement {
            Statement::Noise => return Ok(()),
            Statement::Transaction(control) => {
                self.control(control);
                return Ok(());
            }
            Statement::Dml(dml) => return self.rows_changed(dml, &statement, query).await,
            _ => {}
        }
        self.note_foreign_keys(&statement, query.text).await?;
        self.note_set_off(&statement);
        if matches!(statement, Statement::StoredObjects(_)) {
            return Ok(());
        }
        let concerned = self.tables.concerned(&statement);
        let unbounded = matches!(&statement, Statement::Unknown(suspects) if !matches!(suspects, Suspects::Named(_)));
        if concerned.is_empty() && !unbounded {
            return Ok(());
        }
        let text = kept(&statement, query, &self.server);
        // A statement that failed half-way did some of what it says; only the catalog knows which.
        let whole = query.error_code == 0;
        match statement {
            Statement::Drop { .. } | Statement::DropDatabase { .. } if whole => {
                for name in concerned {
                    self.dropped(&name, Some(&text));
                }
            }
            Statement::Truncate { table } if whole => {
                if matches!(self.tables.get(&table), Some(Standing::Known(_))) {
                    self.change(&table, SchemaChangeKind::Truncated, Some(&text));
                }
            }
            Statement::Optimize { .. } if whole => {
                for name in concerned {
                    if let Some(Standing::Known(schema)) = self.tables.get(&name)
                        && is_recomputed_otherwise(&schema.columns, self.server.version.flavor)
                    {
                        let kind = altered_alike(Arc::clone(schema), true);
                        self.change(&name, kind, Some(&text));
                    }
                }
            }
            statement => {
                let questions = self.questions(&statement, concerned, whole, &text);
                self.settle(questions, unbounded, Some(&text)).await?;
            }
        }
        Ok(())
    }

    /// What has to be found out, and what is certain without asking.
    fn questions(
        &mut self,
        statement: &Statement,
        concerned: Vec<TableName>,
        whole: bool,
        text: &str,
    ) -> Vec<Question> {
        let mut questions = Vec::new();
        for name in concerned {
            let reason = match statement {
                Statement::Create(create) if whole => Reason::Created {
                    replaces: create.or_replace,
                    conditional: create.if_not_exists,
                    empty: !create.as_select,
                },
                Statement::Rename { pairs } if whole => match pairs.iter().any(|(_, to)| *to == name) {
                    true => Reason::Renamed,
                    false => {
                        self.dropped(&name, Some(text));
                        continue;
                    }
                },
                Statement::Alter(alter) if whole && alter.rename_to.is_some() && alter.table == name => {
                    self.dropped(&name, Some(text));
                    continue;
                }
                Statement::Alter(alter) if whole && alter.rename_to.as_ref() == Some(&name) => Reason::Renamed,
                Statement::Alter(alter) if whole && alter.table == name => {
                    match self.tables.get(&name) {
                        // Said again, so that it is in the history.
                        Some(Standing::Known(schema)) if !alter.shape => {
                            let flavor = self.server.version.flavor;
                            let rows_replaced = alter.rows || is_recomputed_otherwise(&schema.columns, flavor);
                            let kind = altered_alike(Arc::clone(schema), rows_replaced);
                            self.change(&name, kind, Some(text));
                            continue;
                        }
                        _ => Reason::Altered { rows: alter.rows, strict: alter.strict },
                    }
                }
                _ => Reason::Unclear,
            };
            questions.push(Question { name, reason });
        }
        questions
    }

    /// The name denotes no table any more.
    pub(super) fn dropped(&mut self, name: &TableName, statement: Option<&str>) {
        if self.tables.remove(name) {
            self.change(name, SchemaChangeKind::Dropped, statement);
        }
    }

    fn control(&mut self, control: &Transaction) {
        match control {
            Transaction::Begin => self.open.get_or_insert_default().stays_open(),
            Transaction::Commit => self.open.get_or_insert_default().ends_here(),
            Transaction::Rollback => {
                self.rolled_back();
                self.open.get_or_insert_default().ends_here();
            }
            Transaction::RollbackTo(_) => self.rolled_back(),
            Transaction::Savepoint(_) | Transaction::Release(_) | Transaction::XaEnd(_) => {}
            Transaction::XaStart(xid) => self.xa_start(xid.clone()),
            Transaction::XaPrepare(_) => {
                self.keep_prepared();
                self.open.get_or_insert_default().ends_here();
            }
            Transaction::XaCommit { xid, one_phase: _ } => {
                self.xa_commit(xid);
                self.open.get_or_insert_default().ends_here();
            }
            Transaction::XaRollback(xid) => {
                self.xa_rollback(xid);
                self.open.get_or_insert_default().ends_here();
            }
        }
    }
}
