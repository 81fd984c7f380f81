//! What is in a database: its schemas, tables, modules and principals, as one version that never changes once shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::Moment;
use crate::value::collation::folded;

use super::capture::CaptureInstance;
use super::partition::{PartitionFunction, PartitionScheme};
use super::principal::{Grant, Permission, Principal, PrincipalId, PrincipalKind};
use super::property::{Property, PropertyOwner};
use super::signature::Signature;
use super::table::{ForeignKey, Table};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DatabaseId(pub u32);

impl DatabaseId {
    pub const MASTER: Self = Self(1);
    pub const TEMPDB: Self = Self(2);
    pub const MODEL: Self = Self(3);
    pub const MSDB: Self = Self(4);
}

/// Never given twice within a database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectId(pub i32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SchemaId(pub i32);

impl SchemaId {
    pub const DBO: Self = Self(1);
    pub const GUEST: Self = Self(2);
    pub const INFORMATION_SCHEMA: Self = Self(3);
    pub const SYS: Self = Self(4);
}

#[derive(Clone, Debug)]
pub struct Schema {
    pub schema_id: SchemaId,
    pub name: Arc<str>,
    pub owner: PrincipalId,
}

/// A view, procedure, function, trigger or type that is held as its text.
#[derive(Clone, Debug)]
pub struct Module {
    /// 0 until it is created.
    pub object_id: ObjectId,
    pub schema_id: SchemaId,
    pub name: Arc<str>,
    pub kind: ModuleKind,
    /// The whole CREATE statement.
    pub definition: Arc<str>,
    pub signature: Arc<Signature>,
    pub created: Moment,
    pub modified: Moment,
    pub system: bool,
    /// A trigger that doesn't fire.
    pub disabled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModuleKind {
    View,
    Procedure,
    ScalarFunction,
    InlineFunction,
    /// A table function of several statements.
    TableFunction,
    Trigger,
    Synonym,
    Sequence,
    /// A type of users: another name for a type, or that of tables.
    Type,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DatabaseOptions {
    pub allow_snapshot_isolation: bool,
    pub read_committed_snapshot: bool,
    pub cdc_enabled: bool,
    pub read_only: bool,
    /// 160 is SQL Server 2022.
    pub compatibility_level: u8,
}

/// Entries that many versions share.
type Entries<K, V> = BTreeMap<K, Arc<V>>;

#[derive(Clone, Debug)]
pub struct Catalog {
    pub options: DatabaseOptions,
    schemas: Entries<SchemaId, Schema>,
    tables: Entries<ObjectId, Table>,
    modules: Entries<ObjectId, Module>,
    principals: Entries<PrincipalId, Principal>,
    permissions: BTreeMap<Permission, Grant>,
    /// By the object of the change table.
    instances: Entries<ObjectId, CaptureInstance>,
    /// By name in lower case.
    partition_functions: Entries<String, PartitionFunction>,
    partition_schemes: Entries<String, PartitionScheme>,
    /// By owner, and name in lower case.
    properties: Entries<(PropertyOwner, String), Property>,
    /// Tables and modules by schema and name in lower case. Follows from the above.
    names: BTreeMap<(SchemaId, String), ObjectId>,
}

/// Something that has a name in a schema.
#[derive(Clone, Debug)]
pub enum Object {
    Table(Arc<Table>),
    Module(Arc<Module>),
}

impl Catalog {
    /// What a new database has.
    pub fn initial() -> Self {
        let mut catalog = Self {
            options: DatabaseOptions { compatibility_level: 160, ..DatabaseOptions::default() },
            schemas: BTreeMap::new(),
            tables: BTreeMap::new(),
            modules: BTreeMap::new(),
            principals: BTreeMap::new(),
            permissions: BTreeMap::new(),
            instances: BTreeMap::new(),
            partition_functions: BTreeMap::new(),
            partition_schemes: BTreeMap::new(),
            properties: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let schemas = [
            (SchemaId::DBO, "dbo", PrincipalId::DBO),
            (SchemaId::GUEST, "guest", PrincipalId::GUEST),
            (SchemaId::INFORMATION_SCHEMA, "INFORMATION_SCHEMA", PrincipalId(3)),
            (SchemaId::SYS, "sys", PrincipalId(4)),
        ];
        for (schema_id, name, owner) in schemas {
            catalog.put_schema(Schema { schema_id, name: Arc::from(name), owner });
        }
        let login = |login: &str| PrincipalKind::User { login: Some(Arc::from(login)) };
        let role = PrincipalKind::Role { fixed: true };
        let principals = [
            (0, "public", PrincipalKind::Role { fixed: false }),
            (1, "dbo", login("sa")),
            (2, "guest", PrincipalKind::User { login: None }),
            (3, "INFORMATION_SCHEMA", PrincipalKind::User { login: None }),
            (4, "sys", PrincipalKind::User { login: None }),
            (16384, "db_owner", role.clone()),
            (16385, "db_accessadmin", role.clone()),
            (16386, "db_securityadmin", role.clone()),
            (16387, "db_ddladmin", role.clone()),
            (16389, "db_backupoperator", role.clone()),
            (16390, "db_datareader", role.clone()),
            (16391, "db_datawriter", role.clone()),
            (16392, "db_denydatareader", role.clone()),
            (16393, "db_denydatawriter", role),
        ];
        for (id, name, kind) in principals {
            let roles = if id == 1 { vec![PrincipalId::DB_OWNER] } else { Vec::new() };
            let principal_id = PrincipalId(id);
            catalog.put_principal(Principal { principal_id, name: Arc::from(name), kind, roles, default_schema: None });
        }
        catalog
    }

    // Schemas

    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    pub fn schema(&self, id: SchemaId) -> Option<&Arc<Schema>> {
        self.schemas.get(&id)
    }

    pub fn schema_named(&self, name: &str) -> Option<&Arc<Schema>> {
        let name = folded(name);
        self.schemas.values().find(|schema| folded(&schema.name) == name)
    }

    /// The number that the next schema gets.
    pub fn next_schema_id(&self) -> SchemaId {
        let greatest = self.schemas.keys().map(|id| id.0).filter(|id| *id < 16_384).max().unwrap_or(4);
        SchemaId(greatest.max(4) + 1)
    }

    /// Adds or replaces a schema.
    pub fn put_schema(&mut self, schema: Schema) {
        self.schemas.insert(schema.schema_id, Arc::new(schema));
    }

    pub fn remove_schema(&mut self, id: SchemaId) {
        self.schemas.remove(&id);
    }

    // Objects

    /// The foreign keys of all tables that refer to one.
    pub fn referencing(&self, table: ObjectId) -> Vec<ForeignKey> {
        let keys = self.tables().flat_map(|other| &other.foreign_keys);
        keys.filter(|key| key.referenced_table == table).cloned().collect()
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    pub fn table(&self, id: ObjectId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    pub fn table_named(&self, schema: SchemaId, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(self.names.get(&(schema, folded(name)))?)
    }

    pub fn modules(&self) -> impl Iterator<Item = &Arc<Module>> {
        self.modules.values()
    }

    pub fn module_named(&self, schema: SchemaId, name: &str) -> Option<&Arc<Module>> {
        self.modules.get(self.names.get(&(schema, folded(name)))?)
    }

    /// A table or module.
    pub fn object_named(&self, schema: SchemaId, name: &str) -> Option<Object> {
        self.object(self.id_named(schema, name)?)
    }

    pub fn id_named(&self, schema: SchemaId, name: &str) -> Option<ObjectId> {
        self.names.get(&(schema, folded(name))).copied()
    }

    pub fn object(&self, id: ObjectId) -> Option<Object> {
        let table = self.tables.get(&id).map(|table| Object::Table(Arc::clone(table)));
        table.or_else(|| self.modules.get(&id).map(|module| Object::Module(Arc::clone(module))))
    }

    /// Adds or replaces a table's description. Its rows are the transaction's business:
    /// [`super::Transaction::create_table`] and [`super::Transaction::alter_table`].
    pub(super) fn put_table(&mut self, table: Table) -> Arc<Table> {
        let table = Arc::new(table);
        if let Some(old) = self.tables.insert(table.object_id, Arc::clone(&table)) {
            self.names.remove(&(old.schema_id, folded(&old.name)));
        }
        self.names.insert((table.schema_id, folded(&table.name)), table.object_id);
        table
    }

    pub(super) fn remove_table(&mut self, id: ObjectId) {
        if let Some(old) = self.tables.remove(&id) {
            self.names.remove(&(old.schema_id, folded(&old.name)));
        }
    }

    /// Adds or replaces a module, which has its number already.
    pub fn put_module(&mut self, module: Module) {
        let module = Arc::new(module);
        if let Some(old) = self.modules.insert(module.object_id, Arc::clone(&module)) {
            self.names.remove(&(old.schema_id, folded(&old.name)));
        }
        self.names.insert((module.schema_id, folded(&module.name)), module.object_id);
    }

    pub fn remove_module(&mut self, id: ObjectId) {
        if let Some(old) = self.modules.remove(&id) {
            self.names.remove(&(old.schema_id, folded(&old.name)));
        }
    }

    // Principals

    pub fn principals(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.principals.values()
    }

    pub fn principal(&self, id: PrincipalId) -> Option<&Arc<Principal>> {
        self.principals.get(&id)
    }

    pub fn principal_named(&self, name: &str) -> Option<&Arc<Principal>> {
        let name = folded(name);
        self.principals.values().find(|principal| folded(&principal.name) == name)
    }

    /// The user that a login comes in as, where it has one of its own.
    pub fn user_of_login(&self, login: &str) -> Option<&Arc<Principal>> {
        let login = folded(login);
        self.principals.values().find(|principal| match &principal.kind {
            PrincipalKind::User { login: Some(name) } => folded(name) == login,
            _ => false,
        })
    }

    /// The number that the next user or role gets.
    pub fn next_principal_id(&self) -> PrincipalId {
        let greatest = self.principals.keys().map(|id| id.0).filter(|id| *id < 16_384).max().unwrap_or(4);
        PrincipalId(greatest.max(4) + 1)
    }

    pub fn put_principal(&mut self, principal: Principal) {
        self.principals.insert(principal.principal_id, Arc::new(principal));
    }

    /// Removes it, its memberships and its permissions.
    pub fn remove_principal(&mut self, id: PrincipalId) {
        self.principals.remove(&id);
        self.permissions.retain(|permission, _| permission.grantee != id);
        for principal in self.principals.values_mut() {
            if principal.roles.contains(&id) {
                Arc::make_mut(principal).roles.retain(|role| *role != id);
            }
        }
    }

    /// Whether `member` is `role` or a member of it, through other roles too. Everybody is a member of `public`.
    pub fn is_member(&self, member: PrincipalId, role: PrincipalId) -> bool {
        role == PrincipalId::PUBLIC || self.with_roles(member).contains(&role)
    }

    /// The principal and all the roles that it is a member of.
    pub fn with_roles(&self, principal: PrincipalId) -> Vec<PrincipalId> {
        let mut all = vec![principal];
        let mut at = 0;
        while let Some(id) = all.get(at).copied() {
            for role in self.principals.get(&id).map_or(&[][..], |principal| &principal.roles) {
                if !all.contains(role) {
                    all.push(*role);
                }
            }
            at += 1;
        }
        if !all.contains(&PrincipalId::PUBLIC) {
            all.push(PrincipalId::PUBLIC);
        }
        all
    }

    pub fn permissions(&self) -> impl Iterator<Item = (&Permission, Grant)> {
        self.permissions.iter().map(|(permission, grant)| (permission, *grant))
    }

    pub fn permission(&self, permission: &Permission) -> Option<Grant> {
        self.permissions.get(permission).copied()
    }

    pub fn put_permission(&mut self, permission: Permission, grant: Grant) {
        self.permissions.insert(permission, grant);
    }

    pub fn remove_permission(&mut self, permission: &Permission) {
        self.permissions.remove(permission);
    }

    // Capture instances

    /// By the object of the change table.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<CaptureInstance>> {
        self.instances.values()
    }

    pub fn instance_named(&self, name: &str) -> Option<&Arc<CaptureInstance>> {
        let name = folded(name);
        self.instances.values().find(|instance| folded(&instance.name) == name)
    }

    pub fn instances_of(&self, source: ObjectId) -> impl Iterator<Item = &Arc<CaptureInstance>> {
        self.instances.values().filter(move |instance| instance.source == source)
    }

    pub fn put_instance(&mut self, instance: CaptureInstance) {
        self.instances.insert(instance.change_table, Arc::new(instance));
    }

    pub fn remove_instance(&mut self, change_table: ObjectId) {
        self.instances.remove(&change_table);
    }

    // Partitions

    pub fn partition_function(&self, name: &str) -> Option<&Arc<PartitionFunction>> {
        self.partition_functions.get(&folded(name))
    }

    pub fn put_partition_function(&mut self, function: PartitionFunction) {
        self.partition_functions.insert(folded(&function.name), Arc::new(function));
    }

    pub fn remove_partition_function(&mut self, name: &str) {
        self.partition_functions.remove(&folded(name));
    }

    pub fn partition_functions(&self) -> impl Iterator<Item = &Arc<PartitionFunction>> {
        self.partition_functions.values()
    }

    pub fn partition_schemes(&self) -> impl Iterator<Item = &Arc<PartitionScheme>> {
        self.partition_schemes.values()
    }

    pub fn partition_scheme(&self, name: &str) -> Option<&Arc<PartitionScheme>> {
        self.partition_schemes.get(&folded(name))
    }

    pub fn put_partition_scheme(&mut self, scheme: PartitionScheme) {
        self.partition_schemes.insert(folded(&scheme.name), Arc::new(scheme));
    }

    pub fn remove_partition_scheme(&mut self, name: &str) {
        self.partition_schemes.remove(&folded(name));
    }

    // Extended properties

    pub fn properties(&self) -> impl Iterator<Item = &Arc<Property>> {
        self.properties.values()
    }

    pub fn property(&self, owner: PropertyOwner, name: &str) -> Option<&Arc<Property>> {
        self.properties.get(&(owner, folded(name)))
    }

    pub fn put_property(&mut self, property: Property) {
        self.properties.insert((property.owner, folded(&property.name)), Arc::new(property));
    }

    pub fn remove_property(&mut self, owner: PropertyOwner, name: &str) {
        self.properties.remove(&(owner, folded(name)));
    }

    /// Brings what `mine` changed since `base` into `self`, which others may have changed otherwise. Locks keep two
    /// transactions from changing one object, so that what both changed doesn't occur.
    pub(super) fn merge(&mut self, base: &Self, mine: &Self) {
        if mine.options != base.options {
            self.options = mine.options.clone();
        }
        merge_entries(&mut self.schemas, &base.schemas, &mine.schemas, Arc::ptr_eq, |_, _| ());
        let names = &mut self.names;
        merge_entries(&mut self.tables, &base.tables, &mine.tables, Arc::ptr_eq, |old, new| {
            let key = |table: &Arc<Table>| (table.schema_id, folded(&table.name));
            rename(names, old.map(key), new.map(|table| (key(table), table.object_id)));
        });
        merge_entries(&mut self.modules, &base.modules, &mine.modules, Arc::ptr_eq, |old, new| {
            let key = |module: &Arc<Module>| (module.schema_id, folded(&module.name));
            rename(names, old.map(key), new.map(|module| (key(module), module.object_id)));
        });
        merge_entries(&mut self.principals, &base.principals, &mine.principals, Arc::ptr_eq, |_, _| ());
        merge_entries(&mut self.permissions, &base.permissions, &mine.permissions, |a, b| a == b, |_, _| ());
        merge_entries(&mut self.instances, &base.instances, &mine.instances, Arc::ptr_eq, |_, _| ());
        let (into, base_of, mine_of) =
            (&mut self.partition_functions, &base.partition_functions, &mine.partition_functions);
        merge_entries(into, base_of, mine_of, Arc::ptr_eq, |_, _| ());
        merge_entries(&mut self.properties, &base.properties, &mine.properties, Arc::ptr_eq, |_, _| ());
        let (into, base_of, mine_of) = (&mut self.partition_schemes, &base.partition_schemes, &mine.partition_schemes);
        merge_entries(into, base_of, mine_of, Arc::ptr_eq, |_, _| ());
    }
}

fn merge_entries<K: Ord + Clone, V: Clone>(
    into: &mut BTreeMap<K, V>,
    base: &BTreeMap<K, V>,
    mine: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
    mut changed: impl FnMut(Option<&V>, Option<&V>),
) {
    for (key, old) in base {
        if !mine.contains_key(key) {
            changed(Some(old), None);
            into.remove(key);
        }
    }
    for (key, new) in mine {
        let old = base.get(key);
        if !old.is_some_and(|old| same(old, new)) {
            changed(old, Some(new));
            into.insert(key.clone(), new.clone());
        }
    }
}

/// An old name is only removed where it still is this object's: another may have taken it in the same transaction.
fn rename(
    names: &mut BTreeMap<(SchemaId, String), ObjectId>,
    old: Option<(SchemaId, String)>,
    new: Option<((SchemaId, String), ObjectId)>,
) {
    match (old, new) {
        (Some(old), Some((new, id))) => {
            if names.get(&old) == Some(&id) {
                names.remove(&old);
            }
            names.insert(new, id);
        }
        (Some(old), None) => {
            names.remove(&old);
        }
        (None, Some((new, id))) => {
            names.insert(new, id);
        }
        (None, None) => {}
    }
}
