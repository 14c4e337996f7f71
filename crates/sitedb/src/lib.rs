//! The site database: tables, migrations, transactions, leases.
