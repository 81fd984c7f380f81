//! The statements that transactions consist of.

use super::cursor::Cursor;
use super::lexer::Token;
use super::statement::{Transaction, Xid};

/// Reads a statement of transaction control; `None` if it isn't one. The cursor is at the first keyword.
pub(super) fn read(mut cursor: Cursor<'_>) -> Option<Transaction> {
    let control = if cursor.eat("BEGIN") {
        cursor.eat("WORK");
        // BEGIN NOT ATOMIC is a block of statements, which aren't logged as one.
        return cursor.at_end().then_some(Transaction::Begin);
    } else if cursor.eat_all(&["START", "TRANSACTION"]) {
        return Some(Transaction::Begin);
    } else if cursor.eat("COMMIT") {
        return Some(Transaction::Commit);
    } else if cursor.eat("ROLLBACK") {
        cursor.eat_any(&["WORK", "TRAN", "TRANSACTION"]);
        if !cursor.eat("TO") {
            return Some(Transaction::Rollback);
        }
        cursor.eat("SAVEPOINT");
        Transaction::RollbackTo
    } else if cursor.eat_all(&["RELEASE", "SAVEPOINT"]) {
        Transaction::Release
    } else if cursor.eat("SAVEPOINT") {
        Transaction::Savepoint
    } else {
        return cursor.eat("XA").then(|| distributed(cursor)).flatten();
    };
    // Savepoints' names aren't case-sensitive.
    cursor.name().map(|name| control(name.to_lowercase()))
}

fn distributed(mut cursor: Cursor<'_>) -> Option<Transaction> {
    let verb = cursor.bump()?;
    let xid = xid(&mut cursor)?;
    Some(match () {
        () if verb.is_any(&["START", "BEGIN"]) => Transaction::XaStart(xid),
        () if verb.is("END") => Transaction::XaEnd(xid),
        () if verb.is("PREPARE") => Transaction::XaPrepare(xid),
        () if verb.is("COMMIT") => Transaction::XaCommit { xid, one_phase: cursor.eat_all(&["ONE", "PHASE"]) },
        () if verb.is("ROLLBACK") => Transaction::XaRollback(xid),
        () => return None,
    })
}

fn xid(cursor: &mut Cursor<'_>) -> Option<Xid> {
    let global = bytes(cursor)?;
    let branch = if cursor.eat_symbol(',') { bytes(cursor)? } else { Vec::new() };
    let format = match cursor.eat_symbol(',') {
        true => match cursor.bump()? {
            Token::Word(number) => number.parse().ok()?,
            _ => return None,
        },
        false => 1,
    };
    Some(Xid { global, branch, format })
}

/// A string, or bytes in hexadecimal digits: X'6162', 0x6162.
fn bytes(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    match cursor.bump()? {
        Token::Text(text) => Some(text.as_bytes().to_vec()),
        Token::Word(word) if word.eq_ignore_ascii_case("x") => match cursor.bump()? {
            Token::Text(digits) => from_hex(digits),
            _ => None,
        },
        Token::Word(word) => from_hex(word.strip_prefix("0x")?),
        _ => None,
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}
