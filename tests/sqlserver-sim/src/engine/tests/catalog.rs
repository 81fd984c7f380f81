//! What the catalog tells of views, modules, types, sequences and partitions.

use super::in_database;

#[test]
fn views_and_functions_have_columns_and_parameters() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int NOT NULL PRIMARY KEY, name nvarchar(20))");
    client.ask("CREATE VIEW v (number, what) AS SELECT id, name FROM t");
    client.ask("CREATE FUNCTION f (@least int) RETURNS TABLE AS RETURN SELECT id FROM t WHERE id >= @least");
    client.ask("CREATE FUNCTION g (@a decimal(9,2)) RETURNS nvarchar(5) AS BEGIN RETURN N'x' END");
    client.ask("CREATE PROCEDURE p @in int = 3, @out varchar(7) OUTPUT AS SET @out = 'x'");
    let columns = "SELECT c.name, TYPE_NAME(c.user_type_id), c.max_length, c.is_nullable FROM sys.columns AS c WHERE object_id = OBJECT_ID";
    assert_eq!(client.ask(&format!("{columns}('v') ORDER BY column_id")), "number,int,4,0|what,nvarchar,40,1");
    assert_eq!(client.ask(&format!("{columns}('f')")), "id,int,4,0");
    assert_eq!(
        client.ask("SELECT TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS ORDER BY 1, ORDINAL_POSITION"),
        "t,id|t,name|v,number|v,what"
    );
    let parameters = "SELECT parameter_id, name, TYPE_NAME(user_type_id), max_length, is_output FROM sys.parameters WHERE object_id = OBJECT_ID";
    assert_eq!(client.ask(&format!("{parameters}('p') ORDER BY 1")), "1,@in,int,4,0|2,@out,varchar,7,1");
    assert_eq!(client.ask(&format!("{parameters}('g') ORDER BY 1")), "0,,nvarchar,10,1|1,@a,decimal,5,0");
    assert_eq!(
        client.ask("SELECT ORDINAL_POSITION, PARAMETER_MODE, PARAMETER_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.PARAMETERS WHERE SPECIFIC_NAME = 'p' ORDER BY 1"),
        "1,IN,@in,int|2,INOUT,@out,varchar"
    );
}

#[test]
fn types_sequences_triggers_and_partitions_are_listed() {
    let mut client = in_database();
    client.ask("CREATE TYPE dbo.phone FROM varchar(20); CREATE TYPE dbo.ids AS TABLE (id int PRIMARY KEY)");
    assert_eq!(
        client.ask("SELECT name, system_type_id, max_length, is_table_type FROM sys.types WHERE is_user_defined = 1 ORDER BY name"),
        "ids,243,-1,1|phone,167,20,0"
    );
    assert_eq!(client.ask("SELECT TYPE_NAME(TYPE_ID('dbo.phone'))"), "phone");
    assert_eq!(
        client.ask("SELECT t.name, c.name FROM sys.table_types AS t JOIN sys.columns AS c ON c.object_id = t.type_table_object_id"),
        "ids,id"
    );
    client.ask("CREATE SEQUENCE dbo.s AS int START WITH 5 INCREMENT BY 2 MAXVALUE 7");
    let sequence = "SELECT start_value, increment, maximum_value, current_value, is_exhausted, TYPE_NAME(user_type_id) FROM sys.sequences";
    assert_eq!(client.ask(sequence), "5,2,7,5,0,int");
    client.ask("SELECT NEXT VALUE FOR dbo.s; SELECT NEXT VALUE FOR dbo.s");
    assert_eq!(client.ask(sequence), "5,2,7,7,1,int");
    client.ask("CREATE TABLE t (id int CONSTRAINT own PRIMARY KEY, v int DEFAULT 1)");
    client.ask("CREATE TRIGGER tr ON t AFTER INSERT, DELETE AS RETURN");
    assert_eq!(
        client.ask("SELECT OBJECT_NAME(t.parent_id), e.type_desc FROM sys.triggers AS t JOIN sys.trigger_events AS e ON e.object_id = t.object_id"),
        "t,INSERT|t,DELETE"
    );
    assert_eq!(client.ask("SELECT is_system_named FROM sys.key_constraints"), "0");
    assert_eq!(client.ask("SELECT is_system_named FROM sys.default_constraints"), "1");
    client.ask("CREATE PARTITION FUNCTION pf (int) AS RANGE RIGHT FOR VALUES (10, 20)");
    client.ask("CREATE PARTITION SCHEME ps AS PARTITION pf ALL TO ([PRIMARY])");
    client.ask("CREATE TABLE parted (id int PRIMARY KEY) ON ps (id); INSERT INTO parted VALUES (1), (10), (11), (30)");
    assert_eq!(
        client
            .ask("SELECT partition_number, rows FROM sys.partitions WHERE object_id = OBJECT_ID('parted') ORDER BY 1"),
        "1,1|2,2|3,1"
    );
    assert_eq!(
        client.ask(
            "SELECT f.name, f.fanout, f.boundary_value_on_right, v.boundary_id, v.value FROM sys.indexes AS i \
             JOIN sys.partition_schemes AS s ON s.data_space_id = i.data_space_id \
             JOIN sys.partition_functions AS f ON f.function_id = s.function_id \
             JOIN sys.partition_range_values AS v ON v.function_id = f.function_id \
             WHERE i.object_id = OBJECT_ID('parted') ORDER BY v.boundary_id"
        ),
        "pf,3,1,1,10|pf,3,1,2,20"
    );
}

#[test]
fn the_session_tells_its_isolation_and_program() {
    let mut client = in_database();
    client.ask("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(
        client.ask("SELECT transaction_isolation_level, program_name, host_name FROM sys.dm_exec_sessions WHERE session_id = @@SPID"),
        "4,a,h"
    );
}

#[test]
fn periods_are_listed() {
    let mut client = in_database();
    client.ask(
        "CREATE TABLE t (id int PRIMARY KEY, f datetime2 GENERATED ALWAYS AS ROW START, u datetime2 GENERATED ALWAYS AS ROW END, \
         PERIOD FOR SYSTEM_TIME (f, u)) WITH (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h))",
    );
    assert_eq!(client.ask("SELECT OBJECT_NAME(object_id), start_column_id, end_column_id FROM sys.periods"), "t,2,3");
    assert_eq!(
        client.ask("SELECT name, generated_always_type_desc FROM sys.columns WHERE object_id = OBJECT_ID('t') ORDER BY column_id"),
        "id,NOT_APPLICABLE|f,AS_ROW_START|u,AS_ROW_END"
    );
}

#[test]
fn extended_properties_are_kept_with_their_objects() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int)");
    client.ask("EXEC sys.sp_addextendedproperty 'MS_Description', N'Things', 'SCHEMA', 'dbo', 'TABLE', 't'");
    client.ask(
        "EXEC sp_addextendedproperty @name = N'MS_Description', @value = N'A value', @level0type = N'SCHEMA', @level0name = N'dbo', \
         @level1type = N'TABLE', @level1name = N't', @level2type = N'COLUMN', @level2name = N'v'",
    );
    client.ask("EXEC sp_addextendedproperty 'version', 7");
    let all = "SELECT class_desc, OBJECT_NAME(major_id), minor_id, name, value FROM sys.extended_properties ORDER BY class, minor_id";
    assert_eq!(
        client.ask(all),
        "DATABASE,NULL,0,version,7|OBJECT_OR_COLUMN,t,0,MS_Description,Things|OBJECT_OR_COLUMN,t,2,MS_Description,A value"
    );
    let again = "EXEC sp_addextendedproperty 'MS_Description', N'x', 'SCHEMA', 'dbo', 'TABLE', 't'";
    assert_eq!(client.fails(again), 15_233);
    client.ask("EXEC sp_updateextendedproperty 'MS_Description', N'Other', 'SCHEMA', 'dbo', 'TABLE', 't'");
    client.ask("EXEC sp_dropextendedproperty 'version'");
    assert_eq!(client.fails("EXEC sp_dropextendedproperty 'version'"), 15_217);
    assert_eq!(client.fails("EXEC sp_addextendedproperty 'a', 1, 'SCHEMA', 'dbo', 'TABLE', 'none'"), 15_135);
    client.ask("ALTER TABLE t DROP COLUMN v");
    assert_eq!(client.ask(all), "OBJECT_OR_COLUMN,t,0,MS_Description,Other");
    client.ask("DROP TABLE t");
    assert_eq!(client.ask(all), "");
}

#[test]
fn modules_are_renamed_and_numbers_are_shown_in_two_parentheses() {
    let mut client = in_database();
    client.ask(
        "CREATE TABLE t (id int CONSTRAINT pk PRIMARY KEY, a int DEFAULT 1, b int DEFAULT (-2), c int DEFAULT (1 + 2))",
    );
    assert_eq!(
        client.ask("SELECT definition FROM sys.default_constraints ORDER BY parent_column_id"),
        "((1))|((-2))|(1 + 2)"
    );
    client.ask("INSERT INTO t (id) VALUES (1)");
    assert_eq!(client.ask("SELECT a, b, c FROM t"), "1,-2,3");
    client.ask("CREATE VIEW v AS SELECT id FROM t");
    client.ask("EXEC sp_rename 'v', 'w'");
    assert_eq!(client.ask("SELECT id FROM w"), "1");
    assert_eq!(client.fails("SELECT id FROM v"), 208);
    assert_eq!(client.fails("EXEC sp_rename 'w', 't'"), 15_335);
    assert_eq!(client.fails("EXEC sp_rename 'pk', 'pk2'"), 40_517);
    assert_eq!(client.ask("SELECT name, stats_id FROM sys.stats WHERE object_id = OBJECT_ID('t')"), "pk,1");
}
