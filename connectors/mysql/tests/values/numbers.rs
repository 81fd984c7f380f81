//! Numbers.

use super::bed::Bed;

on_servers!(integers, decimals, floating_point, bits_and_years);

async fn integers(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a TINYINT, b TINYINT UNSIGNED, c SMALLINT, d SMALLINT UNSIGNED, e MEDIUMINT,
             f MEDIUMINT UNSIGNED, g INT, h INT UNSIGNED, i BIGINT, j BIGINT UNSIGNED, k INT ZEROFILL, l BOOLEAN)",
            "INSERT INTO t VALUES (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295,
                                   -9223372036854775808, 18446744073709551615, 12, TRUE);
             INSERT INTO t VALUES (2, 127, 1, 32767, 1, 8388607, 1, 2147483647, 1,
                                   9223372036854775807, 9223372036854775808, 0, FALSE);
             INSERT INTO t VALUES (3, -1, 128, -1, 32768, -1, 8388608, -1, 2147483648, -1, 9223372036854775807, 1, 2);
             INSERT INTO t (id) VALUES (4);
             UPDATE t SET i = 0 WHERE id = 3",
        )
        .await;
    assert_eq!(
        rows,
        [
            "1,-128,255,-32768,65535,-8388608,16777215,-2147483648,4294967295,-9223372036854775808,\
             '18446744073709551615',12,1",
            "2,127,1,32767,1,8388607,1,2147483647,1,9223372036854775807,'9223372036854775808',0,0",
            "3,-1,128,-1,32768,-1,8388608,-1,2147483648,0,9223372036854775807,1,2",
            "4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        ]
    );
}

async fn decimals(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a DECIMAL(10,2), b DECIMAL(65,30), c DECIMAL(5,0) UNSIGNED, d DECIMAL(9,9),
             e DECIMAL(8,2) ZEROFILL, f DECIMAL(18,9))",
            "INSERT INTO t VALUES
             (1, -12345678.90, -99999999999999999999999999999999999.999999999999999999999999999999, 99999,
              0.999999999, 1.5, 123456789.123456789),
             (2, 0, 0, 0, 0, 0, 0),
             (3, 0.05, -0.000000000000000000000000000001, 7, -0.000000001, 999999.99, -0.5),
             (4, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    assert_eq!(
        rows,
        [
            "1,'-12345678.90','-99999999999999999999999999999999999.999999999999999999999999999999','99999',\
             '0.999999999','1.50','123456789.123456789'",
            "2,'0.00','0.000000000000000000000000000000','0','0.000000000','0.00','0.000000000'",
            "3,'0.05','-0.000000000000000000000000000001','7','-0.000000001','999999.99','-0.500000000'",
            "4,NULL,NULL,NULL,NULL,NULL,NULL",
        ]
    );
}

async fn floating_point(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a FLOAT, b DOUBLE, c FLOAT UNSIGNED, d FLOAT(7,3), e DOUBLE(10,2))",
            "INSERT INTO t VALUES (1, 0.1, 0.1, 1.5, 1.125, 1.25), (2, 3.4028235e38, 1.7976931348623157e308, 0, -1, -1),
                                  (3, 1.17549e-38, 5e-324, 16777216, 9999.999, 0), (4, 16777217, 1e22, 0.01, 0.001, 3),
                                  (5, -0e0, -0e0, 0, 0, 0), (6, 1.1e-45, 123456789.123456789, 7, 7, 7)",
        )
        .await;
    assert_eq!(rows[0], "1,0.1,0.1,1.5,1.125,1.25");
    assert_eq!(rows[1], "2,3.4028235e38,1.7976931348623157e308,0.0,-1.0,-1.0");
    assert_eq!(rows[2], "3,1.17549e-38,5e-324,16777216.0,9999.999,0.0");
    assert_eq!(rows[3], "4,16777216.0,1e22,0.01,0.001,3.0");
    assert_eq!(rows[5], "6,1e-45,123456789.12345679,7.0,7.0,7.0");
}

async fn bits_and_years(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a BIT(1), b BIT(9), c BIT(64), d YEAR)",
            "INSERT INTO t VALUES (1, 1, 511, 18446744073709551615, 2155), (2, 0, 256, 1, 0), (3, 1, 1, 2, 1901),
                                  (4, NULL, NULL, NULL, NULL)",
        )
        .await;
    let expected = ["1,x01,x01ff,xffffffffffffffff,2155", "2,x00,x0100,x0000000000000001,0"];
    assert_eq!(rows[..2], expected);
    assert_eq!(rows[2..], ["3,x01,x0001,x0000000000000002,1901", "4,NULL,NULL,NULL,NULL"]);
}
