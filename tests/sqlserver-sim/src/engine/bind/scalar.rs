//! Values.

use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};

use crate::error::{SqlError, SqlResult};
use crate::value::arithmetic::{self, Operator};
use crate::value::convert::{self, Manner};
use crate::value::{Decimal, Length, SqlType, Value, literal};

use super::super::expression::{Comparison, Expression, Node, Predicate};
use super::super::parse::QUOTED;
use super::{Binder, types};

fn operator(operator: &BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Plus => Operator::Add,
        BinaryOperator::Minus => Operator::Subtract,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::BitwiseAnd => Operator::And,
        BinaryOperator::BitwiseOr => Operator::Or,
        BinaryOperator::BitwiseXor => Operator::Xor,
        _ => return None,
    })
}

impl Binder<'_, '_> {
    pub fn scalar(&mut self, expression: &Expr) -> SqlResult<Expression> {
        if let Some(key) = self.group_key(expression)? {
            return Ok(key);
        }
        match expression {
            Expr::Nested(inner) => self.scalar(inner),
            Expr::Value(value) => constant(&value.value),
            Expr::Identifier(name) if name.quote_style != Some(QUOTED) => self.bare_name(name),
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::BinaryOp { .. } => self.arithmetic(expression),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::Cast { kind, expr, data_type, format: None } => {
                let attempt = match kind {
                    ast::CastKind::Cast => false,
                    ast::CastKind::TryCast => true,
                    ast::CastKind::SafeCast | ast::CastKind::DoubleColon => return Err(SqlError::syntax_near("::")),
                };
                self.cast(expr, data_type, &[], attempt)
            }
            Expr::Convert {
                is_try,
                expr,
                data_type: Some(data_type),
                charset: None,
                target_before_value: true,
                styles,
            } => self.cast(expr, data_type, styles, *is_try),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query) => {
                let query = self.subquery(query, false)?;
                let [column] = query.columns.as_slice() else { return Err(super::predicate::one_column_wanted()) };
                let sql_type = column.sql_type;
                Ok(Expression { node: Node::Subquery(Box::new(query)), sql_type, nullable: true })
            }
            Expr::Collate { expr, collation } => {
                check_collation(&collation.to_string())?;
                self.scalar(expr)
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.method(root, access_chain),
            Expr::AtTimeZone { timestamp, time_zone } => {
                let (value, zone) = (self.scalar(timestamp)?, self.scalar(time_zone)?);
                self.call("AT_TIME_ZONE", vec![value, zone])
            }
            Expr::Exists { .. }
            | Expr::InList { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Like { .. }
            | Expr::Between { .. } => {
                Err(SqlError::new(156, 15, "Incorrect syntax: a condition stands where a value is expected."))
            }
            other => Err(SqlError::unsupported(format!("the expression {other}"))),
        }
    }

    /// A variable, a function without parentheses, or a column.
    fn bare_name(&mut self, name: &ast::Ident) -> SqlResult<Expression> {
        if name.value.starts_with("@@") {
            return self.call(&name.value.to_ascii_uppercase(), Vec::new());
        }
        if name.value.starts_with('@') {
            let slot = self.execution.variables.find(&name.value).ok_or_else(|| SqlError::undeclared(&name.value))?;
            let sql_type = self.execution.variables.get(slot).map_or(SqlType::Int, |variable| variable.sql_type);
            return Ok(Expression { node: Node::Variable(slot), sql_type, nullable: true });
        }
        let upper = name.value.to_ascii_uppercase();
        if matches!(upper.as_str(), "CURRENT_TIMESTAMP" | "CURRENT_USER" | "SESSION_USER" | "SYSTEM_USER" | "USER") {
            return self.call(&upper, Vec::new());
        }
        self.column(std::slice::from_ref(name))
    }

    /// Chains of operators are nested to the left: walked without recursion, as texts are put together from hundreds of
    /// parts.
    fn arithmetic(&mut self, expression: &Expr) -> SqlResult<Expression> {
        let mut rights = Vec::new();
        let mut left = expression;
        while let Expr::BinaryOp { left: inner, op, right } = left {
            let operator = operator(op).ok_or_else(|| SqlError::syntax_near(&op.to_string()))?;
            refuse_mixed(operator, inner)?;
            refuse_mixed(operator, right)?;
            rights.push((operator, right));
            left = inner;
        }
        let mut result = self.scalar(left)?;
        for (operator, right) in rights.into_iter().rev() {
            let right = self.scalar(right)?;
            result = self.operation(operator, result, right)?;
        }
        Ok(result)
    }

    pub fn operation(&mut self, operator: Operator, left: Expression, right: Expression) -> SqlResult<Expression> {
        let (left_type, right_type) = (left.sql_type, right.sql_type);
        let (left, right) = (exact_literal(left, right_type), exact_literal(right, left_type));
        // NULL takes the type of the other side.
        let left_type = if left.is_null_literal() { right.sql_type } else { left.sql_type };
        let right_type = if right.is_null_literal() { left.sql_type } else { right.sql_type };
        let shape = arithmetic::shape(operator, left_type, right_type)?;
        let nullable = left.nullable || right.nullable;
        let text = shape.result.is_character();
        let side = |binder: &Self, side: Expression, to: SqlType| {
            if text && side.sql_type.is_character() { Ok(side) } else { binder.converted(side, to) }
        };
        let left = Box::new(side(self, left, shape.left)?);
        let right = Box::new(side(self, right, shape.right)?);
        Ok(Expression { node: Node::Arithmetic { operator, left, right }, sql_type: shape.result, nullable })
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &Expr) -> SqlResult<Expression> {
        let value = self.scalar(operand)?;
        match operator {
            UnaryOperator::Plus => Ok(value),
            UnaryOperator::Minus => {
                if let Node::Literal(literal) = &value.node {
                    // -2147483648 is an int although 2147483648 isn't.
                    let negative = arithmetic::negate(literal, value.sql_type)?;
                    return Ok(Expression::literal(negative, value.sql_type));
                }
                if !value.sql_type.is_number() {
                    let text = format!("Operand data type {} is invalid for minus operator.", value.sql_type.name());
                    return Err(SqlError::new(8117, 16, text));
                }
                let (sql_type, nullable) = (value.sql_type, value.nullable);
                Ok(Expression { node: Node::Negate(Box::new(value)), sql_type, nullable })
            }
            UnaryOperator::BitwiseNot => {
                let (sql_type, nullable) = (value.sql_type, value.nullable);
                Ok(Expression { node: Node::Complement(Box::new(value)), sql_type, nullable })
            }
            _ => Err(SqlError::syntax_near(&operator.to_string())),
        }
    }

    fn cast(
        &mut self,
        value: &Expr,
        data_type: &ast::DataType,
        styles: &[Expr],
        attempt: bool,
    ) -> SqlResult<Expression> {
        let value = self.scalar(value)?;
        let to = types::type_of(self.execution.state, data_type)?;
        if !value.is_null_literal() {
            convert::check(value.sql_type, to, Manner::Explicit)?;
        }
        let style = match styles {
            [] => None,
            [style] => Some(self.scalar(style)?),
            _ => return Err(SqlError::syntax_near(",")),
        };
        Ok(Self::wrapped(value, to, style, attempt))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> SqlResult<Expression> {
        let operand = operand.map(|operand| self.scalar(operand)).transpose()?;
        let mut whens = Vec::with_capacity(conditions.len());
        let mut thens = Vec::with_capacity(conditions.len() + 1);
        for case in conditions {
            whens.push(match &operand {
                Some(operand) => {
                    let value = self.scalar(&case.condition)?;
                    let (left, right) = self.compared(operand.clone(), value)?;
                    Predicate::Compare { comparison: Comparison::Equal, left, right }
                }
                None => self.predicate(&case.condition)?,
            });
            thens.push(self.scalar(&case.result)?);
        }
        let has_otherwise = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            thens.push(self.scalar(otherwise)?);
        }
        self.case_of(whens, thens, has_otherwise)
    }

    /// A CASE of conditions and results; the last result, one more than there are conditions, is that of ELSE.
    pub(super) fn case_of(
        &mut self,
        whens: Vec<Predicate>,
        thens: Vec<Expression>,
        has_otherwise: bool,
    ) -> SqlResult<Expression> {
        let (mut thens, sql_type) = self.unified(thens)?;
        let otherwise = if has_otherwise { thens.pop().map(Box::new) } else { None };
        let nullable =
            otherwise.as_ref().is_none_or(|otherwise| otherwise.nullable) || thens.iter().any(|then| then.nullable);
        let branches = whens.into_iter().zip(thens).collect();
        Ok(Expression { node: Node::Case { branches, otherwise }, sql_type, nullable })
    }
}

/// All texts compare alike here: without regard to case, with regard to accents. A collation that asks for something else
/// is refused.
fn check_collation(name: &str) -> SqlResult<()> {
    let upper = name.trim_matches(['[', ']', '"']).to_ascii_uppercase();
    if upper == "DATABASE_DEFAULT" || upper == "CATALOG_DEFAULT" || upper.contains("_CI_AS") {
        return Ok(());
    }
    Err(SqlError::unsupported(format!(
        "COLLATE {name}; texts compare without regard to case and with regard to accents"
    )))
}

/// In T-SQL `+`, `-`, `&`, `^` and `|` bind alike, from left to right; sqlparser binds them otherwise. Where that would
/// matter, parentheses are asked for.
fn refuse_mixed(operator: Operator, operand: &Expr) -> SqlResult<()> {
    let rank = |operator: Operator| match operator {
        Operator::Add | Operator::Subtract => Some(0),
        Operator::And => Some(1),
        Operator::Or => Some(2),
        Operator::Xor => Some(3),
        Operator::Multiply | Operator::Divide | Operator::Modulo => None,
    };
    if let Expr::BinaryOp { op, .. } = operand
        && let (Some(outer), Some(inner)) = (rank(operator), self::operator(op).and_then(rank))
        && outer != inner
    {
        return Err(SqlError::unsupported("additions and bitwise operators side by side; put parentheses around them"));
    }
    Ok(())
}

/// A whole constant beside a decimal is a decimal of as many digits as it has, not of all that an `int` may have.
fn exact_literal(expression: Expression, beside: SqlType) -> Expression {
    match &expression.node {
        Node::Literal(Value::Int(number)) if beside.family() == crate::value::sql_type::Family::Decimal => {
            let number = Decimal::new(i128::from(*number), 0);
            Expression::literal(Value::Decimal(number), SqlType::Numeric { precision: number.digits(), scale: 0 })
        }
        _ => expression,
    }
}

/// A constant as it is written.
fn constant(value: &ast::Value) -> SqlResult<Expression> {
    Ok(match value {
        ast::Value::Null => Expression::literal(Value::Null, SqlType::Int),
        ast::Value::Number(digits, _) => number(digits)?,
        ast::Value::SingleQuotedString(text) => {
            Expression::literal(Value::text(text), SqlType::VarChar(Length::of(text.chars().count(), 8000)))
        }
        ast::Value::NationalStringLiteral(text) => {
            Expression::literal(Value::text(text), SqlType::NVarChar(Length::of(text.encode_utf16().count(), 4000)))
        }
        ast::Value::HexStringLiteral(digits) => {
            let even = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.clone() };
            let bytes = literal::bytes(&even).ok_or_else(|| SqlError::syntax_near(digits))?;
            Expression::literal(Value::binary(&bytes), SqlType::VarBinary(Length::of(bytes.len(), 8000)))
        }
        ast::Value::Placeholder(text) => return money(text),
        other => return Err(SqlError::syntax_near(&other.to_string())),
    })
}

fn number(digits: &str) -> SqlResult<Expression> {
    if digits.contains(['e', 'E']) {
        let number: f64 = digits.parse().map_err(|_| SqlError::syntax_near(digits))?;
        return Ok(Expression::literal(Value::Float(number), SqlType::Float));
    }
    if let Ok(number) = digits.parse::<i32>() {
        return Ok(Expression::literal(Value::Int(number), SqlType::Int));
    }
    let too_long = || {
        SqlError::new(
            1007,
            15,
            format!("The number '{digits}' is out of the range for numeric representation (maximum precision 38)."),
        )
    };
    let number = Decimal::parse(digits).ok_or_else(|| SqlError::syntax_near(digits))?.map_err(|_| too_long())?;
    let precision = number.digits().max(number.scale()).max(1);
    Ok(Expression::literal(Value::Decimal(number), SqlType::Numeric { precision, scale: number.scale() }))
}

/// `$1.50`.
fn money(text: &str) -> SqlResult<Expression> {
    let value = convert::convert(&Value::text(text), SqlType::VarChar(Length::Max), SqlType::Money, None);
    value.map(|value| Expression::literal(value, SqlType::Money)).map_err(|_| SqlError::syntax_near(text))
}
