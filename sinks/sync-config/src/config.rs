//! The whole file.

use millstream_core::schema::TableSchema;
use millstream_core::selection::TablePattern;

use crate::data_query::DataQuery;
use crate::definition::{BucketDefinition, DEFAULT_PRIORITY, fingerprint};
use crate::document::{Content, Node, read};
use crate::draft::Draft;
use crate::evaluator::TableEvaluator;
use crate::fault::{Fault, Faults, Place};
use crate::keys::{any_entries, boolean, entries, queries, query};
use crate::lines::Lines;
use crate::options::{Options, refuse_streams};
use crate::parameter_query::{ParameterQuery, parameter_names};
use crate::report::{QueryReport, Report};
use crate::scalar::Scalar;
use crate::spelling::suggest;
use crate::sql::syntax::{ExprKind, Select};
use crate::table_name::SourceScope;

const TOP_KEYS: [&str; 3] = ["config", "bucket_definitions", "event_definitions"];
const STREAM_KEYS: [&str; 2] = ["streams", "with"];
const DEFINITION_KEYS: [&str; 4] = ["parameters", "data", "priority", "accept_potentially_dangerous_queries"];

/// Queries of more definitions than this aren't read.
const DEFINITIONS_MAX: usize = 10_000;

/// A sync config that can be used.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    pub(crate) file: String,
    pub(crate) options: Options,
    pub(crate) definitions: Vec<BucketDefinition>,
    events: Vec<EventDefinition>,
    pub(crate) warnings: Vec<Fault>,
}

/// An event definition: kept so that a config which has them is read as it is; nothing runs them yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDefinition {
    /// Its name.
    pub name: String,
    /// Its queries, in canonical SQL.
    pub payloads: Vec<String>,
}

impl SyncConfig {
    /// Reads a config. `file` is what faults call it.
    ///
    /// # Errors
    /// Everything that is wrong, errors and warnings, in the order of the file.
    pub fn parse(text: &str, file: &str) -> Result<SyncConfig, Vec<Fault>> {
        Draft::read(text, file).finish()
    }

    /// The bucket definitions, in the order of the file.
    pub fn definitions(&self) -> &[BucketDefinition] {
        &self.definitions
    }

    /// The event definitions, in the order of the file.
    pub fn events(&self) -> &[EventDefinition] {
        &self.events
    }

    /// What may not be what the author means, in the order of the file.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The tables of a source that the definitions read.
    pub fn patterns(&self, scope: SourceScope<'_>) -> Vec<TablePattern> {
        let mut patterns: Vec<TablePattern> =
            self.definitions.iter().flat_map(|definition| definition.patterns(scope)).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    /// The tables that name a source which isn't one of `sources`: they would never hold a row.
    pub fn unknown_sources(&self, sources: &[&str]) -> Vec<Fault> {
        let mut faults = Faults::new(&self.file);
        for table in self.definitions.iter().flat_map(BucketDefinition::tables) {
            if let Some((name, place)) = table.source.as_ref().filter(|(name, _)| !sources.contains(&name.as_str())) {
                let known = format!("the sources are {}", sources.join(", "));
                let suggestion = suggest(name, sources.iter().copied()).unwrap_or(known);
                faults.error(*place, format!("there is no source `{name}`"), Some(suggestion));
            }
        }
        faults.into_list()
    }

    /// Prepares the evaluation of one table's rows: do it once for each schema that the table has.
    pub fn bind(&self, scope: SourceScope<'_>, schema: &TableSchema) -> TableEvaluator {
        TableEvaluator::new(self, scope, schema)
    }

    /// Reads a file as far as it can be read. Faults are in the order of the file.
    pub(crate) fn read(text: &str, file: &str) -> (SyncConfig, Vec<Fault>) {
        let mut report = Report { lines: Lines::new(text), faults: Faults::new(file) };
        let mut config = SyncConfig {
            file: file.to_owned(),
            options: Options::edition_1(),
            definitions: Vec::new(),
            events: Vec::new(),
            warnings: Vec::new(),
        };
        match read(text, &mut report.faults) {
            Some(root) => config.read_root(&root, &mut report),
            None if report.faults.has_errors() => {}
            None => {
                report.faults.error(Place::START, "the file is empty", Some("add `bucket_definitions:`".to_owned()))
            }
        }
        (config, report.faults.into_list())
    }

    fn read_root(&mut self, root: &Node, report: &mut Report<'_>) {
        let Some(all) = any_entries(root, "a sync config", report) else { return };
        for (name, key, value) in &all {
            match *name {
                // Before the definitions, as they depend on it wherever it stands.
                "config" => self.options = Options::read(value, report),
                "bucket_definitions" | "event_definitions" => {}
                name if STREAM_KEYS.contains(&name) => refuse_streams(key.place, &format!("`{name}`"), report),
                name => {
                    let suggestion = suggest(name, TOP_KEYS);
                    let suggestion = suggestion.or_else(|| Some(format!("known are {}", TOP_KEYS.join(", "))));
                    report.faults.error(key.place, format!("a sync config has no key `{name}`"), suggestion);
                }
            }
        }
        let find = |wanted: &str| all.iter().find(|(name, ..)| *name == wanted).map(|(.., value)| *value);
        match find("bucket_definitions") {
            Some(definitions) => self.read_definitions(definitions, report),
            None if report.faults.has_errors() => {}
            None => report.faults.error(root.place, "there are no `bucket_definitions`", None),
        }
        if let Some(events) = find("event_definitions") {
            self.read_events(events, report);
        }
    }

    fn read_definitions(&mut self, node: &Node, report: &mut Report<'_>) {
        let Some(all) = any_entries(node, "`bucket_definitions`", report) else { return };
        if all.is_empty() {
            report.faults.warning(node.place, "there are no bucket definitions, so nothing is synced", None);
        }
        if all.len() > DEFINITIONS_MAX {
            report.faults.error(node.place, format!("there are more than {DEFINITIONS_MAX} bucket definitions"), None);
            return;
        }
        for (name, key, value) in all {
            let reader = DefinitionReader { name, key, options: self.options };
            self.definitions.extend(reader.read(value, report));
        }
    }

    fn read_events(&mut self, node: &Node, report: &mut Report<'_>) {
        let Some(all) = any_entries(node, "`event_definitions`", report) else { return };
        for (name, key, value) in all {
            let what = format!("the event definition `{name}`");
            let Some(found) = entries(value, &what, &["payloads"], report) else { continue };
            let Some((_, payloads)) = found.first() else {
                report.faults.error(key.place, format!("{what} has no `payloads`"), None);
                continue;
            };
            let Content::Sequence(items) = &payloads.content else {
                let message = format!("`payloads` must be a list of queries, not {}", payloads.kind());
                report.faults.error(payloads.place, message, None);
                continue;
            };
            let payloads = queries(items, report).into_iter().filter_map(|scalar| {
                let (select, mut query) = QueryReport::parse(report, scalar, self.options.quoting)?;
                crate::data_query::check_event(&select, &mut query)?;
                Some(select.to_string())
            });
            let event = EventDefinition { name: name.to_owned(), payloads: payloads.collect() };
            self.events.push(event);
        }
    }
}

/// What a definition says of its parameters, as far as it could be read.
struct ParametersRead {
    queries: Vec<ParameterQuery>,
    /// What they are called, where that is known.
    names: Option<Vec<String>>,
}

/// Reads one bucket definition. What is wrong in it is left out: the report refuses the whole file then.
struct DefinitionReader<'n> {
    name: &'n str,
    key: &'n Node,
    options: Options,
}

impl DefinitionReader<'_> {
    fn read(&self, node: &Node, report: &mut Report<'_>) -> Option<BucketDefinition> {
        let what = format!("the bucket definition `{}`", self.name);
        let entries = entries(node, &what, &DEFINITION_KEYS, report)?;
        let find = |wanted: &str| entries.iter().find(|(key, _)| *key == wanted).map(|(_, node)| *node);
        let accepts = find("accept_potentially_dangerous_queries")
            .and_then(|node| boolean(node, "accept_potentially_dangerous_queries", report))
            .unwrap_or(false);
        let priority = find("priority").map(|node| self.priority(node, report));
        let mut canonical = vec![self.options.fingerprint(), self.name.to_owned()];
        let parameters = self.parameters(find("parameters"), accepts, &mut canonical, report);
        if priority.is_some()
            && let Some(query) = parameters.queries.iter().find(|query| query.priority.is_some())
        {
            let suggestion = Some("keep either `priority` or `_priority`".to_owned());
            report.faults.error(query.place, "the definition sets a priority already", suggestion);
        }
        // Faults that only follow from others would hide these: a misspelt `parameters` isn't the lack of them.
        let complete = matches!(&node.content, Content::Mapping(all) if all.len() == entries.len());
        let names = parameters.names.filter(|_| complete || find("parameters").is_some());
        let data_queries = match find("data") {
            Some(data) => self.data(data, names.as_deref(), &mut canonical, report),
            None => {
                report.faults.error(self.key.place, format!("{what} has no `data`"), None);
                Vec::new()
            }
        };
        Some(BucketDefinition {
            name: self.name.into(),
            priority: priority.flatten().unwrap_or(DEFAULT_PRIORITY),
            parameters: names.unwrap_or_default(),
            parameter_queries: parameters.queries,
            data_queries,
            fingerprint: fingerprint(canonical.iter().map(String::as_str)),
        })
    }

    fn priority(&self, node: &Node, report: &mut Report<'_>) -> Option<u8> {
        match node.scalar().and_then(Scalar::integer) {
            Some(priority @ 0..=3) => Some(priority as u8),
            _ => {
                report.faults.error(node.place, "priority must be 0, 1, 2 or 3", None);
                None
            }
        }
    }

    fn parameters(
        &self,
        node: Option<&Node>,
        accepts: bool,
        canonical: &mut Vec<String>,
        report: &mut Report<'_>,
    ) -> ParametersRead {
        let scalars = match node {
            None => {
                let queries = vec![ParameterQuery::everybody(self.key.place)];
                return ParametersRead { queries, names: Some(Vec::new()) };
            }
            Some(Node { content: Content::Sequence(items), place }) => {
                if items.is_empty() {
                    let suggestion = Some("remove `parameters` for one bucket that everybody gets".to_owned());
                    report.faults.error(*place, "the list of parameter queries is empty", suggestion);
                }
                queries(items, report)
            }
            Some(single) => query(single, report).into_iter().collect(),
        };
        let mut found = ParametersRead { queries: Vec::new(), names: None };
        for scalar in scalars {
            let Some((select, mut query)) = QueryReport::parse(report, scalar, self.options.quoting) else { continue };
            let new = ParameterQuery::new(&select, &mut query);
            if new.is_some() && !accepts {
                warn_of_danger(&select, &mut query);
            }
            // A query may be wrong and still tell what the data queries can use.
            match (&found.names, parameter_names(&select)) {
                (None, names) => found.names = names,
                (Some(first), Some(names)) if !is_same(first, &names) => {
                    let suggestion = Some(format!("the first one selects {}", first.join(", ")));
                    query.error(select.at, "all parameter queries of a definition must select the same", suggestion);
                }
                (Some(_), _) => {}
            }
            canonical.push(format!("parameters {select}"));
            found.queries.extend(new);
        }
        found
    }

    fn data(
        &self,
        node: &Node,
        parameters: Option<&[String]>,
        canonical: &mut Vec<String>,
        report: &mut Report<'_>,
    ) -> Vec<DataQuery> {
        let items = self.data_items(node, report).unwrap_or_default();
        let mut found = Vec::new();
        for scalar in queries(items, report) {
            let Some((select, mut query)) = QueryReport::parse(report, scalar, self.options.quoting) else { continue };
            found.extend(DataQuery::new(&select, parameters, &mut query));
            canonical.push(format!("data {select}"));
        }
        found
    }

    fn data_items<'n>(&self, node: &'n Node, report: &mut Report<'_>) -> Option<&'n [std::rc::Rc<Node>]> {
        match &node.content {
            Content::Sequence(items) => {
                if items.is_empty() {
                    let message = format!("the bucket definition `{}` has no data queries", self.name);
                    report.faults.warning(node.place, message, None);
                }
                Some(items)
            }
            _ => {
                let message = format!("`data` must be a list of queries, not {}", node.kind());
                let suggestion = Some("write each query as a list item: - SELECT ..".to_owned());
                report.faults.error(node.place, message, suggestion);
                None
            }
        }
    }
}

/// Whether the same names stand in both, in whatever order.
fn is_same(one: &[String], other: &[String]) -> bool {
    let (mut one, mut other): (Vec<_>, Vec<_>) = (one.iter().collect(), other.iter().collect());
    one.sort_unstable();
    other.sort_unstable();
    one == other
}

/// Warns of a query that a client can steer without a token having a say: any client gets any of its buckets.
fn warn_of_danger(select: &Select, query: &mut QueryReport<'_, '_>) {
    let (mut trusted, mut first_untrusted) = (false, None);
    let mut look = |expr: &crate::sql::syntax::Expr| {
        expr.any(&mut |part| {
            match &part.kind {
                ExprKind::Call { namespace: Some(_), name, .. } => match name.text.as_str() {
                    "parameters" | "parameter" => first_untrusted = first_untrusted.or(Some(part.at)),
                    _ => trusted = true,
                },
                ExprKind::Column { qualifier: Some(qualifier), .. } => match qualifier.text.as_str() {
                    "user_parameters" => first_untrusted = first_untrusted.or(Some(part.at)),
                    "token_parameters" => trusted = true,
                    _ => {}
                },
                _ => {}
            }
            false
        });
    };
    select.expressions().for_each(&mut look);
    if let (Some(at), false) = (first_untrusted, trusted) {
        query.warning(
            at,
            "potentially dangerous: the client chooses these parameters, and nothing of its token is asked",
            Some("add a condition on request.user_id() or request.jwt(), or set `accept_potentially_dangerous_queries: true`".to_owned()),
        );
    }
}
