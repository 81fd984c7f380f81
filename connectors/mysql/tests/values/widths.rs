//! Rows of few and of many columns: the bitmaps that tell which are NULL end at different bits.

use super::bed::Bed;

on_servers!(rows_of_every_width);

async fn rows_of_every_width(bed: &Bed) {
    for width in [1, 7, 8, 9, 16, 17, 64, 300] {
        let columns: String = (1..width).map(|n| format!(", c{n} INT")).collect();
        let mut statements = String::new();
        for id in 0..6 {
            let value = |n: usize| if n * (id + 3) % 4 < 2 { ", NULL".to_owned() } else { format!(", {}", n * id) };
            let values: String = (1..width).map(value).collect();
            statements += &format!("INSERT INTO t VALUES ({id}{values});");
        }
        statements += "DELETE FROM t WHERE id = 4; UPDATE t SET id = 50 WHERE id = 5;";
        if width > 1 {
            statements += &format!("UPDATE t SET c{} = 77 WHERE id = 3;", width - 1);
        }
        let rows = bed.rows(&format!("id INT PRIMARY KEY{columns})"), &statements).await;
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[3].ends_with("77"), width > 1);
    }
}
