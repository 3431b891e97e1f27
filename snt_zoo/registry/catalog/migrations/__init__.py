"""Steps from every earlier schema of the catalog to the present one, run by alembic."""
