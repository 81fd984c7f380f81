//! FreeTDS and two drivers of Python.

use crate::client::start;
use crate::programs::{get, python, tsql};

#[test]
fn freetds_lists_tables_and_reads_changes() {
    let Some(program) = get("get-freetds") else { return };
    let sim = start();
    let out = tsql(
        &program,
        &sim,
        "CREATE DATABASE shop\nGO\nUSE shop\nGO\n\
         CREATE TABLE dbo.orders (id int PRIMARY KEY, note nvarchar(20), total decimal(10,2))\nGO\n\
         INSERT INTO dbo.orders VALUES (1, N'größe', 12.50), (2, NULL, -0.05)\nGO\n\
         SELECT s.name, t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id\nGO\n\
         SELECT id, note, total FROM dbo.orders ORDER BY id\nGO\n\
         SELECT * FROM dbo.nowhere\nGO",
    );
    assert!(out.contains("dbo\torders"), "{out}");
    assert!(out.contains("1\tgröße\t12.50"), "{out}");
    assert!(out.contains("2\tNULL\t-0.05"), "{out}");
    assert!(out.contains("Msg 208"), "{out}");
}

const PYTDS: &str = r#"
import sys, datetime, decimal, uuid, pytds
c = pytds.connect('127.0.0.1', user='sa', password=sys.argv[2], port=int(sys.argv[1]), database='master', autocommit=True)
cur = c.cursor()
cur.execute('CREATE DATABASE shop')
cur.execute('USE shop')
cur.execute('CREATE TABLE dbo.t (id int PRIMARY KEY, d decimal(38,10), s nvarchar(max), b varbinary(max), '
            'dt datetime2(7), u uniqueidentifier, f float)')
u = uuid.UUID('00112233-4455-6677-8899-aabbccddeeff')
row = (1, decimal.Decimal('1234567890123456789.0123456789'), 'é漢😀' * 3000, pytds.Binary(bytes(range(256)) * 100),
       datetime.datetime(2024, 2, 29, 23, 59, 59, 123456), u, 0.1)
cur.execute('INSERT INTO dbo.t VALUES (%s, %s, %s, %s, %s, %s, %s)', row)
cur.execute('INSERT INTO dbo.t (id) VALUES (%s)', (2,))
cur.execute('SELECT * FROM dbo.t ORDER BY id')
rows = cur.fetchall()
assert tuple(rows[0]) == row, rows[0]
assert tuple(rows[1]) == (2,) + (None,) * 6, rows[1]
cur.execute("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE'")
print([name for (name,) in cur.fetchall()])
try:
    cur.execute('SELECT * FROM dbo.nowhere')
except pytds.Error as e:
    print(e.number)
c.autocommit = False
cur.execute('DELETE FROM dbo.t')
c.rollback()
cur.execute('SELECT COUNT(*) FROM dbo.t')
print(cur.fetchone()[0])
"#;

#[test]
fn python_tds_writes_and_reads() {
    let Some(program) = get("get-python") else { return };
    assert_eq!(python(&program, &start(), PYTDS), "['t']\n208\n2\n");
}

const PYMSSQL: &str = r#"
import sys, datetime, decimal, pymssql
c = pymssql.connect(server='127.0.0.1', port=int(sys.argv[1]), user='sa', password=sys.argv[2], database='master', autocommit=True)
cur = c.cursor(as_dict=True)
cur.execute('CREATE DATABASE shop')
cur.execute('USE shop')
cur.execute('CREATE TABLE dbo.t (id int IDENTITY PRIMARY KEY, d decimal(10,2), s nvarchar(50), dt datetime)')
cur.executemany('INSERT INTO dbo.t (d, s, dt) VALUES (%s, %s, %s)',
                [(decimal.Decimal('1.50'), 'größe', datetime.datetime(2024, 2, 29, 1, 2, 3)), (None, None, None)])
cur.execute('SELECT * FROM dbo.t WHERE id = %d', (1,))
print(cur.fetchone())
cur.execute('SELECT name FROM sys.tables')
print(cur.fetchall())
# Messages, which the driver would raise if they came with a class above 0.
cur.execute('EXEC sys.sp_cdc_enable_db; EXEC sys.sp_cdc_enable_db')
cur.execute("EXEC sp_rename 'dbo.t.s', 'z', 'COLUMN'")
cur.execute("RAISERROR('a word', 10, 1)")
try:
    cur.execute('SELECT 1/0')
    cur.fetchall()
except pymssql.Error as e:
    print(e.args[0])
"#;

#[test]
fn pymssql_writes_and_reads() {
    let Some(program) = get("get-python") else { return };
    assert_eq!(
        python(&program, &start(), PYMSSQL),
        "{'id': 1, 'd': Decimal('1.50'), 's': 'größe', 'dt': datetime.datetime(2024, 2, 29, 1, 2, 3)}\n\
         [{'name': 't'}]\n8134\n"
    );
}
