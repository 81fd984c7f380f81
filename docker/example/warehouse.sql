-- What the shop has in stock, on a SQL Server, with change data capture.
CREATE DATABASE warehouse;
GO
ALTER DATABASE warehouse SET READ_COMMITTED_SNAPSHOT ON;
GO
USE warehouse;
GO
CREATE TABLE dbo.stock (
    id int PRIMARY KEY,
    item nvarchar(80) NOT NULL,
    pieces int NOT NULL,
    price decimal(8, 2) NULL
);
INSERT INTO dbo.stock (id, item, pieces, price) VALUES (1, N'flour', 40, 2.50), (2, N'yeast', 15, 0.80), (3, N'salt', 60, 1.20);
GO
EXEC sys.sp_cdc_enable_db;
GO
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'stock', @role_name = NULL,
     @supports_net_changes = 0;
GO
-- What Millstream needs: to read the tables and the change tables, and to see how far the log has been captured.
CREATE LOGIN millstream WITH PASSWORD = 'Millstream-1433';
GO
CREATE USER millstream FOR LOGIN millstream;
GRANT SELECT ON SCHEMA::dbo TO millstream;
GRANT SELECT ON SCHEMA::cdc TO millstream;
GRANT VIEW DATABASE STATE TO millstream;
GO
