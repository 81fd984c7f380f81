//! The sample shop.

use std::fs;
use std::path::Path;

use millstream_sqlserver_sim::{ScriptError, SqlServerSim};

use crate::Outcome;

pub(crate) const DATABASE: &str = "shop";
pub(crate) const PASSWORD: &str = "Only-for-this-demo-1";
/// The file with the authority that signed the server's certificate.
pub(crate) const AUTHORITY: &str = "authority.pem";
pub(crate) const PRODUCTS: u32 = 2_000;

const USER: &str = "millstream";
const ORDERS: u32 = 5_000;
/// A statement takes no more rows of values.
const ROWS_PER_INSERT: usize = 1_000;

/// Makes and fills the tables, with change data capture, and a user for Millstream. Gives the number of rows.
pub(crate) fn load(server: &SqlServerSim) -> Result<u32, ScriptError> {
    server.run_script(&format!(
        "CREATE DATABASE {DATABASE};
         ALTER DATABASE {DATABASE} SET READ_COMMITTED_SNAPSHOT ON;
         GO
         CREATE LOGIN {USER} WITH PASSWORD = '{PASSWORD}';
         GO
         USE {DATABASE};
         GO
         EXEC sys.sp_cdc_enable_db;
         CREATE TABLE products (id int PRIMARY KEY, name nvarchar(40) NOT NULL, price decimal(10,2) NOT NULL);
         CREATE TABLE orders (id bigint PRIMARY KEY, product_id int NOT NULL, quantity int NOT NULL);
         GO
         EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'products', @role_name = NULL;
         EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'orders', @role_name = NULL;
         CREATE USER {USER} FOR LOGIN {USER};
         ALTER ROLE db_owner ADD MEMBER {USER};
         GO"
    ))?;
    insert(server, "products", PRODUCTS, |id| format!("({id}, 'Product {id}', {}.{:02})", id % 90, id % 100))?;
    insert(server, "orders", ORDERS, |id| format!("({id}, {}, {})", 1 + id * 31 % PRODUCTS, 1 + id % 4))?;
    Ok(PRODUCTS + ORDERS)
}

fn insert(server: &SqlServerSim, table: &str, rows: u32, row: impl Fn(u32) -> String) -> Result<(), ScriptError> {
    let ids: Vec<u32> = (1..=rows).collect();
    ids.chunks(ROWS_PER_INSERT).try_for_each(|ids| {
        let values: Vec<String> = ids.iter().map(|id| row(*id)).collect();
        server.run_script(&format!("USE {DATABASE};\nGO\nINSERT INTO {table} VALUES {}", values.join(", ")))
    })
}

/// The database, as `millstream init` takes it.
pub(crate) fn uri(server: &SqlServerSim, password: &str) -> String {
    format!("mssql://{USER}:{password}@localhost:{}/{DATABASE}", server.address().port())
}

/// Has Millstream make capture instances, which it doesn't unless it is told to.
pub(crate) fn set_up(folder: &Path) -> Outcome<()> {
    let file = folder.join("millstream.yaml");
    let text = fs::read_to_string(&file)?;
    const COMMENTED: &str = "    # capture_instances: auto";
    if !text.contains(COMMENTED) {
        return Err("init wrote a configuration without the setting capture_instances".into());
    }
    Ok(fs::write(&file, text.replace(COMMENTED, "    capture_instances: auto"))?)
}
