//! Prepared statements: the procedures by which clients prepare, run and forget them, by number and by name.

use crate::client::start;
use crate::programs::{get, python};

/// Each call goes by the number that the protocol has for the procedure, then by its name.
const SCRIPT: &str = r#"
import sys, pytds
from pytds import tds_base
c = pytds.connect('127.0.0.1', user='sa', password=sys.argv[2], port=int(sys.argv[1]), database='master', autocommit=True)
cur = c.cursor()
cur.execute('CREATE TABLE t (id int PRIMARY KEY, name nvarchar(20))')
cur.execute("INSERT INTO t VALUES (1, N'a'), (2, N'b'), (3, N'c')")

NUMBERS = {'sp_prepare': 11, 'sp_execute': 12, 'sp_prepexec': 13, 'sp_unprepare': 15}

def number(name):
    return tds_base.InternalProc(NUMBERS[name], name)

OUT = pytds.output(param_type=int)

def call(name, *arguments):
    """What a call gives: its rows, and the values of its output parameters."""
    cur.callproc(way(name), arguments)
    rows = [tuple(row) for row in cur.fetchall()] if cur.description else None
    return rows, cur._session.get_proc_outputs()

def failure(name, *arguments):
    try:
        call(name, *arguments)
    except pytds.Error as e:
        return e.number

for way in (number, str):
    rows, [handle] = call('sp_prepare', OUT, '@least int, @found int OUTPUT',
        'SET @found = (SELECT COUNT(*) FROM t WHERE id >= @least); SELECT name FROM t WHERE id >= @least ORDER BY id')
    print('prepared', handle > 0, rows)
    print('executed', *call('sp_execute', handle, 2, OUT))
    print('executed', *call('sp_execute', handle, 3, OUT))
    rows, [both] = call('sp_prepexec', OUT, '@id int', 'SELECT name FROM t WHERE id = @id', 1)
    print('prepared and executed', both != handle, rows)
    print('executed', call('sp_execute', both, 3)[0])
    # A statement that fails leaves its handle as it is.
    _, [bad] = call('sp_prepare', OUT, '@d int', 'SELECT 1 / @d')
    print('failed', failure('sp_execute', bad, 0))
    print('executed', call('sp_execute', bad, 1)[0])
    # Values are converted to what was declared, and none may be left out.
    print('failed', failure('sp_execute', both, 'no number'), failure('sp_execute', both))
    for known in (handle, both, bad):
        call('sp_unprepare', known)
    print('failed', failure('sp_execute', handle), failure('sp_unprepare', handle))
"#;

const ONCE: &str = "prepared True None\n\
    executed [('b',), ('c',)] [2]\n\
    executed [('c',)] [1]\n\
    prepared and executed True [('a',)]\n\
    executed [('c',)]\n\
    failed 8134\n\
    executed [(1,)]\n\
    failed 245 8178\n\
    failed 8179 8179\n";

#[test]
fn statements_are_prepared_run_and_forgotten() {
    let Some(program) = get("get-python") else { return };
    assert_eq!(python(&program, &start(), SCRIPT), ONCE.repeat(2));
}
