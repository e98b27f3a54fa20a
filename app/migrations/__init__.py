"""The schema's versions: Alembic revisions of plain SQL. `app.postgres.migrate` applies them."""
