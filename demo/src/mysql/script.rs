//! What happens to the shop, and what is to be seen in it.

use millstream_testkit::{Endpoint, Error};

use super::shop::DATABASE;
use crate::Outcome;
use crate::command::Millstream;
use crate::stage::Stage;

/// Statements, and what they show.
struct Scene {
    about: &'static str,
    statements: &'static [&'static str],
}

const SCENES: &[Scene] = &[
    Scene {
        about: "A price goes up: one row, one op.",
        statements: &["UPDATE products SET price = price * 1.10 WHERE id = 7"],
    },
    Scene {
        about: "An order comes in: one transaction, one checkpoint.",
        statements: &[
            "BEGIN",
            "INSERT INTO orders VALUES (900001, 42, 'new', NOW(3))",
            "INSERT INTO order_items VALUES (900001, 1, 7, 2, 3.85), (900001, 2, 8, 1, 3.96)",
            "COMMIT",
        ],
    },
    Scene {
        about: "A column is added that existing rows read as NULL: nothing to do.",
        statements: &["ALTER TABLE products ADD COLUMN note VARCHAR(80)"],
    },
    Scene {
        about: "A column is added that gives every row a value: re-read, and every row changes.",
        statements: &["ALTER TABLE products ADD COLUMN stock INT NOT NULL DEFAULT 5"],
    },
    Scene {
        about: "A column gets another name.",
        statements: &["ALTER TABLE products RENAME COLUMN stock TO in_stock"],
    },
    Scene {
        about: "A column gets wider: no stored value can differ.",
        statements: &["ALTER TABLE customers MODIFY name VARCHAR(200) NOT NULL"],
    },
    Scene {
        about: "A table is created, and filled by the stream.",
        statements: &[
            "CREATE TABLE reviews (id INT PRIMARY KEY, product_id INT UNSIGNED, stars TINYINT)",
            "INSERT INTO reviews SELECT id, id, 1 + id % 5 FROM products WHERE id <= 500",
        ],
    },
    Scene { about: "A table is emptied at once.", statements: &["TRUNCATE TABLE carts"] },
    Scene {
        about: "An online schema change tool at work: a copy is made, altered, filled and swapped in. The rows are the \
                same.",
        statements: &[
            "CREATE TABLE _orders_gho LIKE orders",
            "ALTER TABLE _orders_gho ADD KEY (status)",
            "INSERT INTO _orders_gho SELECT * FROM orders",
            "RENAME TABLE orders TO _orders_del, _orders_gho TO orders",
            "DROP TABLE _orders_del",
        ],
    },
    Scene { about: "A table is dropped.", statements: &["DROP TABLE reviews"] },
];

/// What happens while Millstream isn't there.
const MEANWHILE: Scene = Scene {
    about: "Millstream is killed (kill -9), the shop goes on, and Millstream starts again.",
    statements: &[
        "UPDATE customers SET city = 'Lima' WHERE id <= 1000",
        "ALTER TABLE order_items MODIFY quantity BIGINT NOT NULL",
        "DELETE FROM customers WHERE id > 4900",
    ],
};

pub(crate) async fn play(stage: &Stage, server: &Endpoint, millstream: &mut Millstream) -> Outcome<()> {
    for scene in SCENES {
        let happening = millstream.observe(server, run(server, scene)).await?;
        stage.happening(scene.about, &shown(scene), &happening);
    }
    millstream.kill()?;
    let before = millstream.look()?;
    run(server, &MEANWHILE).await?;
    millstream.start()?;
    let happening = millstream.observe_from(before, server).await?;
    stage.happening(MEANWHILE.about, &shown(&MEANWHILE), &happening);
    Ok(())
}

async fn run(server: &Endpoint, scene: &Scene) -> Result<(), Error> {
    server.sql_in(DATABASE, &scene.statements.join(";\n")).await
}

fn shown(scene: &Scene) -> Vec<String> {
    scene.statements.iter().map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
