//! The sample shop.

use std::fs;
use std::path::Path;

use millstream_testkit::{Endpoint, Error};

use crate::Outcome;

pub(crate) const DATABASE: &str = "shop";
pub(crate) const USER: &str = "millstream";
pub(crate) const PASSWORD: &str = "only-for-this-demo";

const CUSTOMERS: u32 = 5_000;
const PRODUCTS: u32 = 2_000;
const ORDERS: u32 = 12_000;
const ITEMS_PER_ORDER: u32 = 3;
const CARTS: u32 = 300;

/// Makes and fills the tables, and a user for Millstream. Gives the number of rows.
pub(crate) async fn load(server: &Endpoint) -> Result<u32, Error> {
    server.sql(&format!("CREATE DATABASE {DATABASE}")).await?;
    server.create_replication_user(USER, PASSWORD).await?;
    let items = ORDERS * ITEMS_PER_ORDER;
    let numbers =
        |count: u32| format!("WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let statements = format!(
        "SET SESSION cte_max_recursion_depth = {items};
         CREATE TABLE customers (
             id INT UNSIGNED PRIMARY KEY, name VARCHAR(60) NOT NULL, email VARCHAR(100), city VARCHAR(40),
             joined DATE NOT NULL);
         CREATE TABLE products (
             id INT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL,
             colour ENUM('red', 'green', 'blue') NOT NULL, details JSON);
         CREATE TABLE orders (
             id INT UNSIGNED PRIMARY KEY, customer_id INT UNSIGNED NOT NULL, status VARCHAR(20) NOT NULL,
             ordered_at DATETIME(3) NOT NULL, KEY (customer_id));
         CREATE TABLE order_items (
             order_id INT UNSIGNED, line TINYINT UNSIGNED, product_id INT UNSIGNED NOT NULL, quantity INT NOT NULL,
             price DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, line));
         CREATE TABLE carts (id INT UNSIGNED PRIMARY KEY, customer_id INT UNSIGNED NOT NULL);
         INSERT INTO customers {customers}
             SELECT i, CONCAT('Customer ', i), CONCAT('customer', i, '@example.com'),
                    ELT(1 + i % 5, 'Lisbon', 'Oslo', 'Kyoto', 'Quito', 'Accra'), '2020-01-01' + INTERVAL i % 1800 DAY
             FROM n;
         INSERT INTO products {products}
             SELECT i, CONCAT('Product ', i), 1 + i * 37 % 9000 / 100, 1 + i % 3, JSON_OBJECT('weight_g', i * 11 % 5000)
             FROM n;
         INSERT INTO orders {orders}
             SELECT i, 1 + i * 7919 % {CUSTOMERS}, ELT(1 + i % 3, 'new', 'paid', 'sent'),
                    '2026-01-01' + INTERVAL i * 1000 SECOND
             FROM n;
         INSERT INTO order_items {all_items}
             SELECT 1 + (i - 1) DIV {ITEMS_PER_ORDER}, 1 + i % {ITEMS_PER_ORDER}, 1 + i * 31 % {PRODUCTS}, 1 + i % 4,
                    1 + i * 37 % 9000 / 100
             FROM n;
         INSERT INTO carts {carts} SELECT i, 1 + i * 13 % {CUSTOMERS} FROM n",
        customers = numbers(CUSTOMERS),
        products = numbers(PRODUCTS),
        orders = numbers(ORDERS),
        all_items = numbers(items),
        carts = numbers(CARTS),
    );
    server.sql_in(DATABASE, &statements).await?;
    Ok(CUSTOMERS + PRODUCTS + ORDERS + items + CARTS)
}

/// The script creates this table later; the sync config names it from the beginning.
pub(crate) fn expect_reviews(folder: &Path) -> Outcome<()> {
    const AFTER: &str = "      - SELECT * FROM \"products\"\n";
    let file = folder.join("sync-config.yaml");
    let text = fs::read_to_string(&file)?;
    if !text.contains(AFTER) {
        return Err("init wrote a sync config without the table `products`".into());
    }
    Ok(fs::write(&file, text.replace(AFTER, &format!("{AFTER}      - SELECT * FROM \"reviews\"\n")))?)
}
