//! Programs of packages: what `SMS_Program` keeps.

use restock_names::PackageId;

use crate::replica::Kind;
use crate::replica::kinds::program::key;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// A program of a package. Names are compared without letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The package.
    pub package: PackageId,
    /// Its name, in the spelling it was put with.
    pub name: String,
    /// Every other property that was put, as one JSON object by property name. Numbers are numbers,
    /// times UTC microseconds, bytes hexadecimal digits, `SupportedOperatingSystems` an array of
    /// objects. A property that is `NULL` is left out.
    pub properties: String,
}

fn program(row: &Row) -> Result<Program, DatabaseError> {
    Ok(Program {
        package: row.parse("package_id")?,
        name: row.text("program_name")?,
        properties: row.text("properties")?,
    })
}

impl Tx {
    /// A program by name.
    pub async fn program(
        &mut self,
        package: PackageId,
        name: &str,
    ) -> Result<Option<Program>, DatabaseError> {
        let row = self
            .row(
                "SELECT package_id, program_name, properties FROM programs
                 WHERE package_id = $1 AND program_name = $2",
                bind![package, name],
            )
            .await?;
        row.as_ref().map(program).transpose()
    }

    /// The programs of a package by name.
    pub async fn programs(&mut self, package: PackageId) -> Result<Vec<Program>, DatabaseError> {
        self.rows(
            "SELECT package_id, program_name, properties FROM programs WHERE package_id = $1
             ORDER BY program_name",
            bind![package],
        )
        .await?
        .iter()
        .map(program)
        .collect()
    }

    /// Keeps a program, new or changed; the spelling of the name stays as it was first.
    pub async fn put_program(&mut self, p: &Program) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO programs (package_id, program_name, properties) VALUES ($1, $2, $3)
             ON CONFLICT (package_id, program_name) DO UPDATE SET properties = EXCLUDED.properties",
            bind![p.package, &p.name, &p.properties],
        )
        .await?;
        self.touch(Kind::Program, key(p.package, &p.name));
        Ok(())
    }

    /// Removes a program; false when there is none.
    pub async fn delete_program(&mut self, package: PackageId, name: &str) -> Result<bool, DatabaseError> {
        let gone = self
            .execute("DELETE FROM programs WHERE package_id = $1 AND program_name = $2", bind![package, name])
            .await?;
        self.touch(Kind::Program, key(package, name));
        Ok(gone == 1)
    }
}
