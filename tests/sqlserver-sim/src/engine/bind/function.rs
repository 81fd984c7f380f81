//! Calls of functions: those of T-SQL, of change data capture, and of users.

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType, Value};

use super::super::expression::{Comparison, Expression, Node, Predicate};
use super::super::functions::{self, Parameter};
use super::super::parse::{self, NEXT_VALUE};
use super::super::statement::Name;
use super::super::{execute, module, system};
use super::{Binder, source};

/// Parts of dates, as `DATEADD` and its like take them.
const DATE_PART_FUNCTIONS: &[&str] = &["DATEADD", "DATEDIFF", "DATEDIFF_BIG", "DATEPART", "DATENAME", "DATETRUNC"];

impl Binder<'_, '_> {
    pub(super) fn function(&mut self, function: &ast::Function) -> SqlResult<Expression> {
        if function.filter.is_some()
            || function.null_treatment.is_some()
            || !matches!(function.parameters, ast::FunctionArguments::None)
        {
            return Err(SqlError::syntax_near(&function.name.to_string()));
        }
        let name = source::object_name(&function.name)?;
        if name.schema.is_none() {
            let upper = name.object.to_ascii_uppercase();
            if let Some(aggregate) = self.aggregate(&upper, function)? {
                return Ok(aggregate);
            }
            if upper == "IIF" {
                return self.iif(function);
            }
            if DATE_PART_FUNCTIONS.contains(&upper.as_str()) {
                return self.of_date_part(&upper, function);
            }
            let arguments = self.arguments(function)?;
            if upper == NEXT_VALUE {
                return self.next_value(arguments);
            }
            return self.call(&upper, arguments);
        }
        let arguments = self.arguments(function)?;
        let schema = name.schema.as_deref().unwrap_or("dbo");
        if schema.eq_ignore_ascii_case("$PARTITION") {
            return self.partition_number(&name, arguments);
        }
        if schema.starts_with('@') {
            return Err(SqlError::unsupported(format!("the method {} of a variable", name.object)));
        }
        if schema.eq_ignore_ascii_case("sys") {
            return self.system_function(&name.object, arguments);
        }
        let found = module::scalar_function(self, &name)?;
        let mut converted = Vec::with_capacity(arguments.len());
        if arguments.len() != found.parameters.len() {
            return Err(SqlError::too_few_arguments(&name.to_string()));
        }
        for (argument, parameter) in arguments.into_iter().zip(&found.parameters) {
            converted.push(self.converted(argument, parameter.sql_type)?);
        }
        let sql_type = found.returns;
        Ok(Expression { node: Node::User { function: found, arguments: converted }, sql_type, nullable: true })
    }

    /// `NEXT VALUE FOR s`, which has the type of its sequence.
    fn next_value(&mut self, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let name = match arguments.first().map(|argument| &argument.node) {
            Some(Node::Literal(Value::Text(name))) => parse::name(name)?,
            _ => return Err(SqlError::syntax_near("NEXT VALUE FOR")),
        };
        let sql_type = execute::sequence_type(self.execution.state, &name)?;
        let function = functions::find(NEXT_VALUE).ok_or_else(|| SqlError::no_function("NEXT VALUE FOR"))?;
        Ok(Expression { node: Node::Function { function, arguments }, sql_type, nullable: false })
    }

    /// `$PARTITION.f(value)`.
    fn partition_number(&mut self, name: &Name, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let database = self.execution.state.database_of(name)?;
        let catalog = self.execution.state.catalog(database)?;
        let found = catalog
            .partition_function(&name.object)
            .ok_or_else(|| SqlError::new(7718, 16, format!("Partition function '{}' does not exist.", name.object)))?;
        let Ok([value]) = <[Expression; 1]>::try_from(arguments) else {
            return Err(SqlError::too_few_arguments(&name.to_string()));
        };
        let value = self.converted(value, found.sql_type)?;
        let named = Expression::literal(Value::text(&found.name), SqlType::SysName);
        self.call("PARTITION_NUMBER", vec![named, value])
    }

    fn system_function(&mut self, name: &str, arguments: Vec<Expression>) -> SqlResult<Expression> {
        if let Some(function) = system::function(name) {
            if arguments.len() != function.parameters.len() {
                return Err(SqlError::too_few_arguments(&format!("sys.{name}")));
            }
            let mut converted = Vec::with_capacity(arguments.len());
            for (argument, sql_type) in arguments.into_iter().zip(function.parameters) {
                converted.push(self.converted(argument, *sql_type)?);
            }
            let node = Node::System { function, arguments: converted };
            return Ok(Expression { node, sql_type: function.returns, nullable: true });
        }
        let upper = name.to_ascii_uppercase();
        if functions::find(&upper).is_some() {
            return self.call(&upper, arguments);
        }
        Err(SqlError::invalid_object(&format!("sys.{name}")))
    }

    pub(super) fn arguments(&mut self, function: &ast::Function) -> SqlResult<Vec<Expression>> {
        match &function.args {
            ast::FunctionArguments::None => Ok(Vec::new()),
            ast::FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
                list.args.iter().map(|argument| self.argument(argument)).collect()
            }
            _ => Err(SqlError::syntax_near(&function.name.to_string())),
        }
    }

    pub(super) fn argument(&mut self, argument: &ast::FunctionArg) -> SqlResult<Expression> {
        match argument {
            // DEFAULT stands for the parameter's default, which for functions of the server is NULL.
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(name)))
                if name.value.eq_ignore_ascii_case("DEFAULT") && name.quote_style.is_none() =>
            {
                Ok(Expression::literal(Value::Null, SqlType::Int))
            }
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expression)) => self.scalar(expression),
            other => Err(SqlError::syntax_near(&other.to_string())),
        }
    }

    fn of_date_part(&mut self, upper: &str, function: &ast::Function) -> SqlResult<Expression> {
        let ast::FunctionArguments::List(list) = &function.args else { return Err(SqlError::syntax_near(upper)) };
        let mut arguments = Vec::with_capacity(list.args.len());
        for (at, argument) in list.args.iter().enumerate() {
            arguments.push(match argument {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(part))) if at == 0 => {
                    let part = functions::date_part(&part.value).ok_or_else(|| {
                        let text = format!("'{}' is not a recognized {} option.", part.value, upper.to_lowercase());
                        SqlError::new(155, 15, text)
                    })?;
                    Expression::literal(Value::text(part), SqlType::VarChar(Length::Limited(20)))
                }
                other => self.argument(other)?,
            });
        }
        self.call(upper, arguments)
    }

    /// A function of T-SQL by its name in capitals.
    pub(super) fn call(&mut self, upper: &str, arguments: Vec<Expression>) -> SqlResult<Expression> {
        match (upper, arguments.len()) {
            ("COALESCE", 2..) => return self.coalesce(arguments),
            ("ISNULL", 2) => return self.is_null(arguments),
            ("NULLIF", 2) => return self.null_if(arguments),
            ("CHOOSE", 2..) => return self.choose(arguments),
            ("CONCAT" | "CONCAT_WS", 2..) => return self.concatenation(upper, arguments),
            _ => {}
        }
        let function = functions::find(upper).ok_or_else(|| {
            let real = functions::is_missing(upper);
            if real { SqlError::unsupported(upper) } else { SqlError::no_function(&upper.to_lowercase()) }
        })?;
        if !function.arguments.contains(&arguments.len()) {
            let text =
                format!("The {} function requires {} argument(s).", upper.to_lowercase(), function.arguments.start());
            return Err(SqlError::new(174, 15, text));
        }
        let mut converted = Vec::with_capacity(arguments.len());
        for (at, argument) in arguments.into_iter().enumerate() {
            let parameter =
                function.parameters.get(at).or(function.parameters.last()).copied().unwrap_or(Parameter::Any);
            converted.push(self.as_parameter(argument, parameter)?);
        }
        let types: Vec<SqlType> = converted.iter().map(|argument| argument.sql_type).collect();
        let sql_type = (function.returns)(&types)?;
        Ok(Expression { node: Node::Function { function, arguments: converted }, sql_type, nullable: true })
    }

    fn as_parameter(&mut self, argument: Expression, parameter: Parameter) -> SqlResult<Expression> {
        let sql_type = argument.sql_type;
        let wanted = match parameter {
            Parameter::Any => return Ok(argument),
            Parameter::Text if sql_type.is_character() && !argument.is_null_literal() => return Ok(argument),
            Parameter::Text if sql_type.family() == crate::value::sql_type::Family::Binary => {
                return Ok(Self::wrapped(argument, SqlType::VarChar(Length::Max), None, false));
            }
            Parameter::Text if sql_type.is_number() => SqlType::VarChar(Length::Limited(41)),
            Parameter::Text => SqlType::NVarChar(Length::Max),
            Parameter::Integer => SqlType::BigInt,
            Parameter::Number if sql_type.is_number() => return Ok(argument),
            Parameter::Number | Parameter::Float => SqlType::Float,
            Parameter::Moment if sql_type.family() == crate::value::sql_type::Family::DateTime => return Ok(argument),
            Parameter::Moment if sql_type.is_number() => SqlType::DateTime,
            Parameter::Moment => SqlType::DateTime2(7),
        };
        if argument.sql_type == SqlType::Variant {
            return Ok(Self::wrapped(argument, wanted, None, false));
        }
        self.converted(argument, wanted)
    }

    fn coalesce(&mut self, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let (list, sql_type) = self.unified(arguments)?;
        let nullable = list.iter().all(|item| item.nullable);
        Ok(Expression { node: Node::Coalesce(list), sql_type, nullable })
    }

    /// Unlike COALESCE, it has the type of the first.
    fn is_null(&mut self, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let mut arguments = arguments.into_iter();
        let (Some(first), Some(second)) = (arguments.next(), arguments.next()) else {
            return Err(SqlError::syntax_near("ISNULL"));
        };
        // A NULL that stands alone has no type of its own, and is told by the one that stands for it.
        let untyped = first.is_null_literal() && first.sql_type == SqlType::Int;
        let sql_type = if untyped { second.sql_type } else { first.sql_type };
        let first = self.converted(first, sql_type)?;
        let own = second.sql_type;
        let mut second = self.converted(second, sql_type)?;
        // A text or binary that is longer is cut.
        if own != sql_type && second.sql_type != SqlType::Variant && !second.is_null_literal() {
            second = Self::wrapped(second, sql_type, None, false);
        }
        let nullable = first.nullable && second.nullable;
        Ok(Expression { node: Node::Coalesce(vec![first, second]), sql_type, nullable })
    }

    fn null_if(&mut self, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let mut arguments = arguments.into_iter();
        let (Some(first), Some(second)) = (arguments.next(), arguments.next()) else {
            return Err(SqlError::syntax_near("NULLIF"));
        };
        let sql_type = first.sql_type;
        let null = Expression::literal(Value::Null, sql_type);
        let (left, right) = self.compared(first.clone(), second)?;
        let equal = Predicate::Compare { comparison: Comparison::Equal, left, right };
        let mut result = self.case_of(vec![equal], vec![null, first], true)?;
        result.nullable = true;
        Ok(result)
    }

    fn choose(&mut self, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let mut arguments = arguments.into_iter();
        let Some(index) = arguments.next() else { return Err(SqlError::syntax_near("CHOOSE")) };
        let index = self.converted(index, SqlType::Int)?;
        let mut whens = Vec::new();
        let mut thens = Vec::new();
        for (at, argument) in arguments.enumerate() {
            let number = Value::Int(i32::try_from(at + 1).unwrap_or(i32::MAX));
            let right = Expression::literal(number, SqlType::Int);
            whens.push(Predicate::Compare { comparison: Comparison::Equal, left: index.clone(), right });
            thens.push(argument);
        }
        self.case_of(whens, thens, false)
    }

    /// NULL counts as an empty text.
    fn concatenation(&mut self, upper: &str, arguments: Vec<Expression>) -> SqlResult<Expression> {
        let unicode = arguments.iter().any(|argument| argument.sql_type.is_unicode());
        let unbounded = arguments.iter().any(|argument| argument.sql_type.character_length() == Length::Max);
        let limit = if unicode { 4000 } else { 8000 };
        let units: usize = arguments.iter().filter_map(|argument| argument.sql_type.character_length().units()).sum();
        let length = if unbounded {
            Length::Max
        } else {
            Length::Limited(u16::try_from(units).unwrap_or(limit).clamp(1, limit))
        };
        let sql_type = if unicode { SqlType::NVarChar(length) } else { SqlType::VarChar(length) };
        let piece = if unicode { SqlType::NVarChar(Length::Max) } else { SqlType::VarChar(Length::Max) };
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(if argument.sql_type.is_character() { argument } else { self.converted(argument, piece)? });
        }
        let function = functions::find(upper).ok_or_else(|| SqlError::no_function(upper))?;
        Ok(Expression { node: Node::Function { function, arguments: texts }, sql_type, nullable: false })
    }

    /// `IIF(condition, a, b)`, whose first argument isn't a value.
    pub(super) fn iif(&mut self, function: &ast::Function) -> SqlResult<Expression> {
        let ast::FunctionArguments::List(list) = &function.args else { return Err(SqlError::syntax_near("IIF")) };
        let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(condition)), then, otherwise] = list.args.as_slice()
        else {
            return Err(SqlError::syntax_near("IIF"));
        };
        let condition = self.predicate(condition)?;
        let results = vec![self.argument(then)?, self.argument(otherwise)?];
        self.case_of(vec![condition], results, true)
    }
}
