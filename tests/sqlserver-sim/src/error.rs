//! Errors and messages as clients see them: a number that programs act on, a severity, a state, a text.

use std::fmt;

/// One error or informational message. Below severity 11 it is information and ends nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub number: i32,
    pub severity: u8,
    pub state: u8,
    pub message: String,
    /// The procedure that was running, or empty.
    pub procedure: String,
    /// In the batch or procedure, from 1; 0 where it isn't known.
    pub line: u32,
    /// What the client is told before it of the same statement.
    pub preceding: Vec<SqlError>,
}

pub type SqlResult<T> = Result<T, SqlError>;

impl SqlError {
    pub fn new(number: i32, severity: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { number, severity, state: 1, message, procedure: String::new(), line: 0, preceding: Vec::new() }
    }

    /// Told after others, which say more. A handler is given this one.
    pub fn after(mut self, preceding: Vec<Self>) -> Self {
        self.preceding = preceding;
        self
    }

    pub fn with_state(mut self, state: u8) -> Self {
        self.state = state;
        self
    }

    /// The place, where none is known yet.
    pub fn at_line(mut self, line: u32) -> Self {
        if self.line == 0 {
            self.line = line;
            self.preceding.iter_mut().for_each(|error| error.line = line);
        }
        self
    }

    /// The procedure, where none is known yet.
    pub fn in_procedure(mut self, name: &str) -> Self {
        if self.procedure.is_empty() {
            name.clone_into(&mut self.procedure);
            self.preceding.iter_mut().for_each(|error| name.clone_into(&mut error.procedure));
        }
        self
    }

    /// A message that ends nothing.
    pub fn is_information(&self) -> bool {
        self.severity <= 10
    }

    /// Whether the connection ends with it.
    pub fn is_fatal(&self) -> bool {
        self.severity >= 20
    }

    pub fn syntax_near(text: &str) -> Self {
        Self::new(102, 15, format!("Incorrect syntax near '{text}'."))
    }

    /// What the simulator doesn't do, said so that nobody takes it for a wrong statement.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(40_517, 16, format!("sqlserver-sim does not support {what}."))
    }

    pub fn invalid_column(name: &str) -> Self {
        Self::new(207, 16, format!("Invalid column name '{name}'."))
    }

    pub fn invalid_object(name: &str) -> Self {
        Self::new(208, 16, format!("Invalid object name '{name}'."))
    }

    pub fn ambiguous_column(name: &str) -> Self {
        Self::new(209, 16, format!("Ambiguous column name '{name}'."))
    }

    pub fn unbound(name: &str) -> Self {
        Self::new(4104, 16, format!("The multi-part identifier \"{name}\" could not be bound."))
    }

    pub fn undeclared(variable: &str) -> Self {
        Self::new(137, 15, format!("Must declare the scalar variable \"{variable}\".")).with_state(2)
    }

    pub fn conversion_failed(from: &str, text: &str, to: &str) -> Self {
        Self::new(245, 16, format!("Conversion failed when converting the {from} value '{text}' to data type {to}."))
    }

    pub fn date_conversion_failed() -> Self {
        Self::new(241, 16, "Conversion failed when converting date and/or time from character string.")
    }

    pub fn date_out_of_range(from: &str, to: &str) -> Self {
        Self::new(
            242,
            16,
            format!("The conversion of a {from} data type to a {to} data type resulted in an out-of-range value."),
        )
        .with_state(3)
    }

    pub fn arithmetic_overflow(from: &str, to: &str) -> Self {
        Self::new(8115, 16, format!("Arithmetic overflow error converting {from} to data type {to}.")).with_state(2)
    }

    pub fn divide_by_zero() -> Self {
        Self::new(8134, 16, "Divide by zero error encountered.")
    }

    pub fn implicit_conversion_refused(from: &str, to: &str) -> Self {
        Self::new(
            257,
            16,
            format!(
                "Implicit conversion from data type {from} to {to} is not allowed. Use the CONVERT function to run this query."
            ),
        )
        .with_state(3)
    }

    pub fn operand_clash(a: &str, b: &str) -> Self {
        Self::new(206, 16, format!("Operand type clash: {a} is incompatible with {b}")).with_state(2)
    }

    pub fn null_refused(column: &str, table: &str, operation: &str) -> Self {
        Self::new(
            515,
            16,
            format!(
                "Cannot insert the value NULL into column '{column}', table '{table}'; column does not allow nulls. {operation} fails."
            ),
        )
        .with_state(2)
    }

    pub fn truncated(table: &str, column: &str, value: &str) -> Self {
        Self::new(
            2628,
            16,
            format!(
                "String or binary data would be truncated in table '{table}', column '{column}'. Truncated value: '{value}'."
            ),
        )
    }

    /// `kind` is `PRIMARY KEY` or `UNIQUE KEY`.
    pub fn constraint_violated(kind: &str, constraint: &str, table: &str, key: &str) -> Self {
        Self::new(
            2627,
            14,
            format!(
                "Violation of {kind} constraint '{constraint}'. Cannot insert duplicate key in object '{table}'. The duplicate key value is ({key})."
            ),
        )
    }

    pub fn unique_index_violated(table: &str, index: &str, key: &str) -> Self {
        Self::new(
            2601,
            14,
            format!(
                "Cannot insert duplicate key row in object '{table}' with unique index '{index}'. The duplicate key value is ({key})."
            ),
        )
    }

    /// Violations of CHECK, FOREIGN KEY and REFERENCE constraints.
    pub fn constraint_conflict(
        statement: &str,
        kind: &str,
        constraint: &str,
        database: &str,
        table: &str,
        column: Option<&str>,
    ) -> Self {
        let column = column.map(|column| format!(", column '{column}'")).unwrap_or_default();
        Self::new(
            547,
            16,
            format!(
                "The {statement} statement conflicted with the {kind} constraint \"{constraint}\". The conflict occurred in database \"{database}\", table \"{table}\"{column}."
            ),
        )
        .with_state(0)
    }

    pub fn permission_denied(permission: &str, object: &str, database: &str, schema: &str) -> Self {
        Self::new(
            229,
            14,
            format!(
                "The {permission} permission was denied on the object '{object}', database '{database}', schema '{schema}'."
            ),
        )
        .with_state(5)
    }

    pub fn object_exists(name: &str) -> Self {
        Self::new(2714, 16, format!("There is already an object named '{name}' in the database.")).with_state(6)
    }

    pub fn cannot_drop(kind: &str, name: &str) -> Self {
        Self::new(
            3701,
            11,
            format!("Cannot drop the {kind} '{name}', because it does not exist or you do not have permission."),
        )
        .with_state(5)
    }

    pub fn cannot_find(name: &str) -> Self {
        Self::new(
            4902,
            16,
            format!("Cannot find the object \"{name}\" because it does not exist or you do not have permissions."),
        )
    }

    pub fn no_procedure(name: &str) -> Self {
        Self::new(2812, 16, format!("Could not find stored procedure '{name}'.")).with_state(62)
    }

    pub fn parameter_missing(procedure: &str, parameter: &str) -> Self {
        Self::new(
            201,
            16,
            format!("Procedure or function '{procedure}' expects parameter '{parameter}', which was not supplied."),
        )
        .with_state(4)
    }

    pub fn too_many_arguments(procedure: &str) -> Self {
        Self::new(8144, 16, format!("Procedure or function {procedure} has too many arguments specified."))
            .with_state(2)
    }

    pub fn no_parameter(procedure: &str, parameter: &str) -> Self {
        Self::new(8145, 16, format!("{parameter} is not a parameter for procedure {procedure}."))
    }

    /// Msg 313, of functions, the functions of change data capture among them.
    pub fn too_few_arguments(function: &str) -> Self {
        Self::new(
            313,
            16,
            format!("An insufficient number of arguments were supplied for the procedure or function {function}."),
        )
        .with_state(3)
    }

    pub fn no_function(name: &str) -> Self {
        Self::new(195, 15, format!("'{name}' is not a recognized built-in function name.")).with_state(10)
    }

    pub fn no_database(name: &str) -> Self {
        Self::new(911, 16, format!("Database '{name}' does not exist. Make sure that the name is entered correctly."))
    }

    pub fn lock_timeout() -> Self {
        Self::new(1222, 16, "Lock request time out period exceeded.").with_state(51)
    }

    pub fn deadlock(process: u32) -> Self {
        Self::new(
            1205,
            13,
            format!(
                "Transaction (Process ID {process}) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."
            ),
        )
        .with_state(51)
    }

    /// The client asked for the end of the request. It never reaches the wire: the attention's own answer does.
    pub fn cancelled() -> Self {
        Self::new(3617, 16, "The query was cancelled by the client.")
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msg {}, Level {}, State {}: {}", self.number, self.severity, self.state, self.message)
    }
}

impl std::error::Error for SqlError {}
