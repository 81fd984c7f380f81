//! EXECUTE AS and REVERT.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{PrincipalId, PrincipalKind, Securable};

use super::super::context::has_permission;
use super::super::state::{Execution, Identity, State};
use super::super::statement::ExecuteAs;
use super::value_of;

/// Takes the session for somebody else until it is reverted.
///
/// # Errors
/// 15517 and 15406 where there is nobody of that name, or the session may not.
pub fn begin(execution: &mut Execution<'_>, who: &ExecuteAs) -> SqlResult<()> {
    let identity = match who {
        // Within a procedure it is already its caller.
        ExecuteAs::Caller => return Ok(()),
        ExecuteAs::Owner => owner(execution.state),
        ExecuteAs::User(name) => user(execution, name, Right::Checked)?,
        ExecuteAs::Login(name) => login(execution, name)?,
    };
    become_other(execution.state, identity);
    Ok(())
}

/// Takes the session for whom a module runs as. Who made the module had the right to say so.
///
/// # Errors
/// 15517 where there is nobody of that name any more.
pub fn begin_module(execution: &mut Execution<'_>, who: &ExecuteAs) -> SqlResult<()> {
    let identity = match who {
        ExecuteAs::User(name) => user(execution, name, Right::Given)?,
        other => return begin(execution, other),
    };
    become_other(execution.state, identity);
    Ok(())
}

/// Whether it must be looked at that a session may be somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Checked,
    Given,
}

fn become_other(state: &mut State, identity: Identity) {
    let before = Identity {
        login_name: std::mem::replace(&mut state.login_name, identity.login_name),
        sysadmin: std::mem::replace(&mut state.sysadmin, identity.sysadmin),
        user: std::mem::replace(&mut state.user, identity.user),
    };
    state.impersonations.push(before);
}

/// Goes back to who the session was before the last EXECUTE AS. Without one it does nothing.
pub fn revert(state: &mut State) {
    if let Some(before) = state.impersonations.pop() {
        Identity { login_name: state.login_name, sysadmin: state.sysadmin, user: state.user } = before;
    }
}

/// Goes back until no more are left than there were: at the end of a procedure.
pub fn revert_to(state: &mut State, depth: usize) {
    while state.impersonations.len() > depth {
        revert(state);
    }
}

/// Modules belong to the owner of the database.
fn owner(state: &State) -> Identity {
    Identity { login_name: Arc::from("sa"), sysadmin: false, user: Some((state.database, PrincipalId::DBO)) }
}

fn name_of(execution: &mut Execution<'_>, name: &Expr) -> SqlResult<String> {
    Ok(value_of(execution, name)?.0.as_text().unwrap_or_default().to_owned())
}

fn user(execution: &mut Execution<'_>, name: &Expr, right: Right) -> SqlResult<Identity> {
    let name = name_of(execution, name)?;
    let state = &*execution.state;
    let refused = || {
        let text = format!(
            "Cannot execute as the database principal because the principal \"{name}\" does not exist, this type of principal cannot be impersonated, or you do not have permission."
        );
        SqlError::new(15_517, 16, text)
    };
    let catalog = state.catalog(state.database)?;
    let found = catalog.principal_named(&name).ok_or_else(refused)?;
    let PrincipalKind::User { login } = &found.kind else { return Err(refused()) };
    let own = state.user(state.database)?;
    if right == Right::Checked
        && own != found.principal_id
        && !has_permission(&catalog, own, "CONTROL", Securable::Database)
    {
        return Err(refused());
    }
    Ok(Identity {
        login_name: login.clone().unwrap_or_else(|| Arc::clone(&found.name)),
        sysadmin: false,
        user: Some((state.database, found.principal_id)),
    })
}

fn login(execution: &mut Execution<'_>, name: &Expr) -> SqlResult<Identity> {
    let name = name_of(execution, name)?;
    let state = &*execution.state;
    let found = state.storage.login_named(&name);
    match found {
        Some(login) if state.sysadmin || *login.name == *state.login_name => {
            Ok(Identity { login_name: Arc::clone(&login.name), sysadmin: login.sysadmin, user: None })
        }
        _ => {
            let text = format!(
                "Cannot execute as the server principal because the principal \"{name}\" does not exist, this type of principal cannot be impersonated, or you do not have permission."
            );
            Err(SqlError::new(15_406, 16, text))
        }
    }
}

/// Who logged in, whoever the session takes itself for.
pub fn original(state: &State) -> Arc<str> {
    state.impersonations.first().map_or_else(|| Arc::clone(&state.login_name), |first| Arc::clone(&first.login_name))
}
