-- Run by the MySQL image when it makes its data.
USE shop;

CREATE TABLE customers (
    id INT PRIMARY KEY AUTO_INCREMENT,
    name VARCHAR(80) NOT NULL
);
CREATE TABLE orders (
    id INT PRIMARY KEY AUTO_INCREMENT,
    customer_id INT NOT NULL,
    item VARCHAR(80) NOT NULL,
    price DECIMAL(8, 2) NOT NULL,
    INDEX (customer_id)
);

INSERT INTO customers (name) VALUES ('Ada'), ('Grace');
INSERT INTO orders (customer_id, item, price) VALUES (1, 'flour', 2.50), (1, 'yeast', 0.80), (2, 'salt', 1.20);

-- What Millstream needs: to read the tables and to follow the binlog.
CREATE USER millstream@'%' IDENTIFIED BY 'millstream';
GRANT SELECT ON shop.* TO millstream@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO millstream@'%';
