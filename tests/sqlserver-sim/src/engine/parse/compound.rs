//! `SELECT @a += 1`: sqlparser knows no such thing, so the sign goes to it as the end of the variable's name.

use sqlparser::tokenizer::{Token, Word};

use crate::value::arithmetic::Operator;

use super::Lexeme;

/// Every sign that may stand before the `=` of an assignment.
const SIGNS: [(Token, char, Operator); 8] = [
    (Token::Plus, '+', Operator::Add),
    (Token::Minus, '-', Operator::Subtract),
    (Token::Mul, '*', Operator::Multiply),
    (Token::Div, '/', Operator::Divide),
    (Token::Mod, '%', Operator::Modulo),
    (Token::Ampersand, '&', Operator::And),
    (Token::Pipe, '|', Operator::Or),
    (Token::Caret, '^', Operator::Xor),
];

/// The operator that a token is the sign of.
pub fn operator(token: &Token) -> Option<Operator> {
    SIGNS.iter().find(|(own, ..)| own == token).map(|(.., operator)| *operator)
}

/// The tokens with `@a += 1` as `@a+ = 1`, and for each where it comes from if the first is at `from`. None where there
/// is no such thing.
pub fn joined(lexemes: &[Lexeme], from: usize) -> Option<(Vec<Lexeme>, Vec<usize>)> {
    let pairs = lexemes.iter().zip(lexemes.iter().skip(1));
    if !pairs.into_iter().any(|(sign, next)| next.token == Token::Eq && operator(&sign.token).is_some()) {
        return None;
    }
    let (mut made, mut origin): (Vec<Lexeme>, Vec<usize>) = (Vec::with_capacity(lexemes.len()), Vec::new());
    for (at, lexeme) in lexemes.iter().enumerate() {
        let sign = SIGNS.iter().find(|(token, ..)| *token == lexeme.token).map(|(_, sign, _)| *sign);
        let assigns = lexemes.get(at + 1).is_some_and(|next| next.token == Token::Eq);
        if let (Some(sign), true, Some(Lexeme { token: Token::Word(variable), .. })) = (sign, assigns, made.last_mut())
            && is_variable(variable)
        {
            variable.value.push(sign);
            continue;
        }
        made.push(lexeme.clone());
        origin.push(from + at);
    }
    Some((made, origin))
}

fn is_variable(word: &Word) -> bool {
    word.quote_style.is_none() && word.value.starts_with('@')
}

/// What [`joined`] made of a variable: its name and the operator.
pub fn parted(name: &str) -> (&str, Option<Operator>) {
    let found = SIGNS.iter().find_map(|(_, sign, operator)| Some((name.strip_suffix(*sign)?, *operator)));
    found.map_or((name, None), |(name, operator)| (name, Some(operator)))
}
