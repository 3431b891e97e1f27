"""The retrieval service: one process that a team runs beside its registry, and its page.

`app` makes the application; `guards` let a request in or refuse it; `api/` holds the routes under `/v1`,
`page/` those that people look at. It needs the extra `serve`, and nothing outside this room imports it but
the command `snt-zoo serve`.
"""
