//! The statements that make and drop capture instances, exactly as they are run or shown to an administrator.

use millstream_core::schema::TableName;

use super::instance::InstanceOptions;
use crate::quote::{literal, quoted};

/// The longest name of an instance that the server takes.
const INSTANCE_NAME_LETTERS_MAX: usize = 100;
/// Room in it for a number that tells it from others.
const NUMBER_LETTERS_MAX: usize = 11;

/// What names of instances begin with that are made for Millstream.
const OWN_PREFIX: &str = "millstream_";

/// Turns change data capture on for the database.
pub(crate) const ENABLE_DATABASE: &str = "EXEC sys.sp_cdc_enable_db";

/// Makes a capture instance. `columns` are those to capture; all of the table's, if `None`.
pub(crate) fn enable(
    table: &TableName,
    instance: &str,
    options: &InstanceOptions,
    columns: Option<&[String]>,
) -> String {
    let text = |text: &Option<String>| text.as_deref().map_or("NULL".to_owned(), literal);
    let mut statement = format!(
        "EXEC sys.sp_cdc_enable_table @source_schema = {}, @source_name = {}, @capture_instance = {}, @role_name = {}",
        literal(&table.schema),
        literal(&table.name),
        literal(instance),
        text(&options.role)
    );
    statement.push_str(&format!(", @supports_net_changes = {}", u8::from(options.net_changes)));
    if let Some(index) = &options.index {
        statement.push_str(&format!(", @index_name = {}", literal(index)));
    }
    if let Some(columns) = columns {
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        statement.push_str(&format!(", @captured_column_list = {}", literal(&columns.join(", "))));
    }
    if let Some(filegroup) = &options.filegroup {
        statement.push_str(&format!(", @filegroup_name = {}", literal(filegroup)));
    }
    if !options.partition_switch {
        statement.push_str(", @allow_partition_switch = 0");
    }
    statement
}

/// Drops a capture instance with its change table.
pub(crate) fn disable(table: &TableName, instance: &str) -> String {
    format!(
        "EXEC sys.sp_cdc_disable_table @source_schema = {}, @source_name = {}, @capture_instance = {}",
        literal(&table.schema),
        literal(&table.name),
        literal(instance)
    )
}

/// A name for a table's next instance that no instance has: one that nobody else gives, and if that is taken, with a
/// number behind it.
pub(crate) fn instance_name(table: &TableName, taken: impl Fn(&str) -> bool) -> String {
    let whole = format!("{OWN_PREFIX}{}_{}", table.schema, table.name);
    let mut room = INSTANCE_NAME_LETTERS_MAX - NUMBER_LETTERS_MAX;
    // The server counts as UTF-16 does.
    let fits = |letter: &char| room.checked_sub(letter.len_utf16()).map(|left| room = left).is_some();
    let base: String = whole.chars().take_while(fits).collect();
    if whole == base && !taken(&base) {
        return base;
    }
    let mut number = 2_u32;
    loop {
        let name = format!("{base}_{number}");
        // There are fewer instances than numbers.
        if number == u32::MAX || !taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// Whether a name is one that [`instance_name`] gave, to whatever table. The server's own default isn't: whoever made that
/// instance may read it.
pub(crate) fn is_own_name(instance: &str) -> bool {
    instance.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_told_from_those_that_the_server_or_others_give() {
        let table = TableName::new("dbo", "t");
        assert!(is_own_name(&instance_name(&table, |_| false)));
        assert!(is_own_name(&instance_name(&table, |name| name == "millstream_dbo_t")));
        assert!(["dbo_t", "dbo_t_2", "debezium_t"].iter().all(|name| !is_own_name(name)));
    }

    #[test]
    fn statements_name_what_they_are_about_whatever_it_is_called() {
        let table = TableName::new("dbo", "O'Hara]s");
        let options = InstanceOptions { role: Some("readers".into()), partition_switch: true, ..Default::default() };
        assert_eq!(
            enable(&table, "dbo_t_2", &options, Some(&["id".into(), "a]b".into()])),
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'O''Hara]s', @capture_instance = \
             N'dbo_t_2', @role_name = N'readers', @supports_net_changes = 0, @captured_column_list = N'[id], [a]]b]'"
        );
        assert_eq!(
            disable(&table, "dbo_t"),
            "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'O''Hara]s', @capture_instance = \
             N'dbo_t'"
        );
    }

    #[test]
    fn a_name_is_new_and_short_enough() {
        let table = TableName::new("dbo", "t");
        assert_eq!(instance_name(&table, |_| false), "millstream_dbo_t");
        let taken = |name: &str| matches!(name, "millstream_dbo_t" | "millstream_dbo_t_2");
        assert_eq!(instance_name(&table, taken), "millstream_dbo_t_3");
        let long = TableName::new("dbo", "é".repeat(120));
        assert_eq!(instance_name(&long, |_| false).chars().count(), 91);
        let wide = TableName::new("dbo", "🦀".repeat(60));
        assert_eq!(instance_name(&wide, |_| false).encode_utf16().count(), 91);
    }
}
