"""Row-level security: which rows belong to which organization, said once per table in its app's migrations.

Every policy is forced, so it holds for the owner of the tables as well. What a transaction may see is in
`core/context`; the functions that the policies ask are made by `core/migrations/0006`.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import migrations

POLICY = "of_organization"
# Found once per statement, since the platform reads many rows; what customers ask for is a few, and asked for each.
_PLATFORM = "(SELECT parcelle_platform())"
_PERSON = "parcelle_person()"

FUNCTIONS = """
CREATE FUNCTION parcelle_platform() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT current_setting('parcelle.platform', true) <> '' $$;
CREATE FUNCTION parcelle_organization() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('parcelle.organization', true), '')::uuid $$;
CREATE FUNCTION parcelle_organizations() RETURNS uuid[] LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('parcelle.organizations', true), '')::uuid[] $$;
CREATE FUNCTION parcelle_person() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('parcelle.person', true), '')::uuid $$;
"""
NO_FUNCTIONS = """
DROP FUNCTION parcelle_platform();
DROP FUNCTION parcelle_organization();
DROP FUNCTION parcelle_organizations();
DROP FUNCTION parcelle_person();
"""


@dataclass(frozen=True)
class Owned:
    """Whose a row is.

    by          the column with the organization; a row without one is the platform's own
    part_of     instead: the column that names the row which it is a part of, and that row's table and key
    few         the column of that table with the organization, where each has but a few of those rows: they are found
                once per statement, and not for each row
    by_user     besides: a column with the person who may see it whichever organization is asked for
    """

    table: str
    by: str = ""
    part_of: tuple[str, str, str] | None = None
    few: str = ""
    by_user: str = ""
    besides: str = ""

    @property
    def condition(self) -> str:
        seen = [_PLATFORM]
        if self.by:
            seen += [f"{self.by} = parcelle_organization()", f"{self.by} = ANY (parcelle_organizations())"]
        if self.part_of:
            column, table, key = self.part_of
            # Of what it is a part of only those rows are found that may be seen themselves.
            if self.few:
                mine = f"SELECT {key} FROM {table} WHERE {self.few} = ANY ((SELECT parcelle_organizations())::uuid[])"  # noqa: S608
                seen.append(f"{column} = ANY (ARRAY({mine}))")
            else:
                seen.append(f"EXISTS (SELECT FROM {table} whole WHERE whole.{key} = {self.table}.{column})")
        if self.by_user:
            seen.append(f"{self.by_user} = {_PERSON}")
        if self.besides:
            seen.append(self.besides)
        return " OR ".join(seen)

    @property
    def sql(self) -> str:
        return (
            f"ALTER TABLE {self.table} ENABLE ROW LEVEL SECURITY;"
            f"ALTER TABLE {self.table} FORCE ROW LEVEL SECURITY;"
            f"CREATE POLICY {POLICY} ON {self.table} USING ({self.condition}) WITH CHECK ({self.condition});"
        )

    @property
    def reverse_sql(self) -> str:
        return (
            f"DROP POLICY {POLICY} ON {self.table};"
            f"ALTER TABLE {self.table} NO FORCE ROW LEVEL SECURITY;"
            f"ALTER TABLE {self.table} DISABLE ROW LEVEL SECURITY;"
        )


def policies(*owned: Owned) -> list[migrations.RunSQL]:
    """The operations of a migration that gives these tables their policies."""
    return [migrations.RunSQL(one.sql, one.reverse_sql) for one in owned]
